"""KenLM's own binary files, read by the `kenlm` module: the same answers as a table of ours, at that module's pace."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.installing import how_to_install
from winnow.core.words.backoff_model import LN_10, Floats, Longs, Scores, TextForm, text_buffers

MAGIC = b"mmap lm http://kheafield.com/code format version"
MARKERS = {b"<s>", b"</s>"}
NOT_A_WORD = b"\xff"  # no text in UTF-8 holds it


def is_kenlm(path: Path) -> bool:
    """Whether a file begins as KenLM's binaries do."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class KenlmModel:
    """A binary file of KenLM. One call into the module per sentence: three and more times slower than a table.

    Raises: ConfigError where the module is not installed, or tokens are no words; DataError where it refuses the file.
    """

    def __init__(self, path: Path, *, form: TextForm) -> None:
        if form.unit != "words":
            raise ConfigError(f"a binary of KenLM scores words, not {form.unit}", where="unit",
                              hint="give the ARPA file that it was built from")  # fmt: skip
        try:
            import kenlm
        except ImportError as error:
            said, hint = (
                f"{path.name} is a binary of KenLM",
                f"{how_to_install('kenlm')}, or give the ARPA file behind it",
            )
            raise ConfigError(f"{said}, which needs the `kenlm` module", where="model_file", hint=hint) from error
        try:
            self._model = kenlm.Model(str(path))
        except OSError as error:
            raise DataError(f"KenLM cannot read {path.name}: {error}", where="model_file") from error
        self.path, self.form, self.order = path, form, int(self._model.order)

    def score(self, texts: pa.Array | pa.ChunkedArray) -> Scores:
        """Nats, tokens and unknown words of every text; a null is a text without tokens."""
        rows = [self._tokens(text) for text in self._texts(texts)]
        nats = [-LN_10 * sum(log10 for log10, _ in row) + 0.0 for row in rows]
        return Scores(
            nats=np.array(nats, dtype=np.float64),
            tokens=np.array([len(row) for row in rows], dtype=np.int64),
            unknown=np.array([sum(unknown for _, unknown in row) for row in rows], dtype=np.int64),
        )

    def nats(self, texts: pa.Array | pa.ChunkedArray) -> tuple[Floats, Longs]:
        """(nats f64[texts], tokens i64[texts])."""
        found = self.score(texts)
        return found.nats, found.tokens

    def token_nats(self, texts: pa.Array | pa.ChunkedArray) -> tuple[Longs, npt.NDArray[np.float32]]:
        """(offsets i64[texts + 1], nats f32[tokens]): every token's, the end of each sentence among them."""
        rows = [self._tokens(text) for text in self._texts(texts)]
        starts = np.cumsum([0, *(len(row) for row in rows)]).astype(np.int64)
        each = np.array([log10 for row in rows for log10, _ in row], dtype=np.float32)
        return starts, each * np.float32(-LN_10)

    def _texts(self, texts: pa.Array | pa.ChunkedArray) -> list[bytes]:
        offsets, data = text_buffers(texts, self.form)
        return [data[a:b].tobytes() for a, b in pairwise(offsets)]

    def _tokens(self, text: bytes) -> list[tuple[float, bool]]:
        """(log10, unknown) of every token."""
        lines = text.replace(b"\0", b" ").split(b"\n") if self.form.sentences == "line" else [text.replace(b"\0", b" ")]
        out: list[tuple[float, bool]] = []
        for words in filter(None, map(bytes.split, lines)):
            # the module decodes nothing; a marker is a word that no model has
            plain = b" ".join(NOT_A_WORD if word in MARKERS else word for word in words)
            out += [(log10, unknown) for log10, _, unknown in self._model.full_scores(plain)]
        return out
