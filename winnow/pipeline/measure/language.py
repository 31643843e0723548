"""Language identification: one ISO code and one probability per document.

The offline default computes py3langid's naive Bayes (its model ships in its wheel) with a kernel of our own:
the automaton walks Arrow bytes, and all sums are sums of integers, so a document gets the same bits in any
batch and on any machine. Only a sample of a long document is read (see `Language.max_chars`): one language
per document is what the label can say, and a few thousand characters settle it.
`benchmarks/bench_language.py` measured the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Columns, Context, Map, Schema, port
from winnow.core.operators.contract import Meaning
from winnow.core.words.text import utf8_buffers

UNDETERMINED = "und"
_ENTRY_SCALE = 512  # entries of the model are half floats of magnitude 2..16: multiples of 1 / 512
_WORTH_SCALE = 1 << 20  # log(1 + count) on a fixed grid, so that products and sums stay integers below 2**53
_MAX_CHARS = 100_000

Identify = Callable[[pl.Series], tuple[pl.Series, pl.Series]]


@dataclass(frozen=True, kw_only=True)
class Language(Map):
    """Language of a document: an ISO 639 code and its probability in [0, 1].

    Without `model_file`, py3langid's model: `language` is one of its codes (two or three letters; `zxx` is
    its code for no linguistic content), or `und` with score 0.0 where the text holds no known feature. With
    `model_file`, any fastText classifier (lid.176, GlotLID, ...): its labels without the `__label__` prefix.
    A null text stays null.

    A text of more than `max_chars` characters is judged by its first, middle and last third of `max_chars`: a
    licence header or a navigation bar alone does not decide.

    Source: Lui and Baldwin 2012 (langid.py) as retrained in py3langid; fixed-point evaluation and sampling
    are own.
    """

    name: ClassVar[str] = "language"
    meaning: ClassVar[Mapping[str, Meaning]] = {"languages": "labels"}
    role: ClassVar[str] = "signal"
    uses: ClassVar[tuple[str, ...]] = ("py3langid",)

    model_file: tuple[str, ...] = port("files", default=())
    languages: tuple[str, ...] = ()  # only these codes may be answered (py3langid); () = all
    max_chars: int = 3000

    def __post_init__(self) -> None:
        if self.model_file:  # then the other library decides the output
            object.__setattr__(self, "uses", ("fasttext-numpy2",))

    def needs(self) -> tuple[str, ...]:
        """The text alone."""
        return ("text",)

    def outputs(self) -> Schema:
        """`language` (code) and `language_score` (probability of that code)."""
        return {"language": pa.large_string(), "language_score": pa.float64()}

    def validate(self) -> None:
        """Raises: ConfigError where the sample is too short or too long, or fields contradict each other."""
        if not 30 <= self.max_chars <= _MAX_CHARS:
            raise ConfigError(
                f"max_chars is {self.max_chars}",
                where="max_chars",
                hint=f"30 to {_MAX_CHARS} characters of a document are looked at",
            )
        if self.model_file and self.languages:
            raise ConfigError(
                "languages restricts the built-in model only",
                where="languages",
                hint="drop one of the two fields",
            )

    def open(self, ctx: Context) -> Columns:
        """Batch -> language and score; the model is loaded once.

        Raises: ConfigError where the model file or a language code is not usable.
        """
        files = [str(path) for path in ctx.refs.get("model_file", self.model_file)]
        identify = _fasttext(files) if files else _builtin(self.languages)

        def columns(batch: pl.DataFrame) -> pl.DataFrame:
            text = batch["text"]
            known = text.is_not_null()
            language, score = identify(sampled(text.fill_null(""), self.max_chars))
            return pl.DataFrame({"language": language, "language_score": score}).select(pl.when(known).then(pl.all()))

        return columns


def sampled(text: pl.Series, max_chars: int) -> pl.Series:
    """At most `max_chars` + 2 characters of each text: all, or its first, middle and last piece on lines."""
    third = max_chars // 3
    chars = pl.col("text").str.len_chars()
    pieces = pl.concat_str(
        pl.col("text").str.head(third),
        pl.col("text").str.slice((chars - third) // 2, third),
        pl.col("text").str.tail(third),
        separator="\n",
    )
    return (
        pl.DataFrame({"text": text})
        .select(pl.when(chars <= max_chars).then(pl.col("text")).otherwise(pieces).alias("text"))
        .to_series()
    )


class _Tables(NamedTuple):
    """py3langid's model with integer weights."""

    step: npt.NDArray[np.uint32]  # [rows * 256]
    row_of: npt.NDArray[np.uint32]  # [states]
    emits: npt.NDArray[np.int32]  # [states]
    table: npt.NDArray[np.int16]  # [features, classes], in 1 / _ENTRY_SCALE
    prior: npt.NDArray[np.float64]  # [classes], integers in 1 / (_ENTRY_SCALE * _WORTH_SCALE)
    codes: tuple[str, ...]


@lru_cache(maxsize=1)
def language_tables() -> _Tables:
    """The model of py3langid as whole numbers, loaded once."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE)
    entries = np.asarray(model.nb_ptc, dtype=np.float64) * _ENTRY_SCALE
    table = np.rint(entries).astype(np.int16)
    if not np.array_equal(table, entries):
        raise DataError(
            "this py3langid model does not fit the fixed-point grid",
            hint="install py3langid 0.4, or give model_file",
        )
    return _Tables(
        step=np.asarray(model.tk_nextmove, dtype=np.uint32),
        row_of=np.asarray(model.tk_row, dtype=np.uint32),
        emits=np.asarray(model.tk_output, dtype=np.int32),
        table=table,
        prior=np.rint(np.asarray(model.nb_pc, dtype=np.float64) * (_ENTRY_SCALE * _WORTH_SCALE)),
        codes=tuple(model.nb_classes),
    )


def _restricted(tables: _Tables, languages: tuple[str, ...]) -> _Tables:
    if not languages:
        return tables
    unknown = sorted(set(languages) - set(tables.codes))
    if unknown:
        raise ConfigError(
            f"no such language: {', '.join(unknown)}",
            where="languages",
            hint="known: " + " ".join(sorted(set(tables.codes))),
        )
    keep = [at for at, code in enumerate(tables.codes) if code in languages]
    return tables._replace(
        table=np.ascontiguousarray(tables.table[:, keep]),
        prior=tables.prior[keep],
        codes=tuple(tables.codes[at] for at in keep),
    )


def _builtin(languages: tuple[str, ...]) -> Identify:
    from winnow.core.numerics import numeric
    from winnow.pipeline.measure import language_kernels as kernels

    tables = _restricted(language_tables(), languages)
    alias = np.array([tables.codes.index(code) for code in tables.codes], dtype=np.int64)
    codes = pl.Series([*tables.codes, UNDETERMINED], dtype=pl.String)
    counts = np.arange(1.0, 4 * _MAX_CHARS + 10)
    worth = np.rint(numeric.log(counts) * _WORTH_SCALE)

    def identify(text: pl.Series) -> tuple[pl.Series, pl.Series]:
        array = _composed(text).to_arrow(compat_level=pl.CompatLevel.oldest())
        offsets, data = utf8_buffers(array)
        sums, distinct = kernels.class_sums(
            offsets, data, (tables.step, tables.row_of, tables.emits, tables.table), worth
        )
        exponents = kernels.tempered(sums + tables.prior, offsets, float(_ENTRY_SCALE * _WORTH_SCALE))
        likelihood = numeric.exp(exponents.reshape(-1)).reshape(exponents.shape)
        chosen, share = kernels.best_class(likelihood, alias)
        silent = distinct == 0
        chosen[silent], share[silent] = len(tables.codes), 0.0
        return codes.gather(chosen), pl.Series(share)

    return identify


def _composed(text: pl.Series) -> pl.Series:
    """The texts as the model was trained on: composed (NFC), and in lower case where all is upper case."""
    shouted = text.str.contains(r"\p{Uppercase}") & ~text.str.contains(r"[\p{Lowercase}\p{Lt}]")
    if shouted.any():
        text = text.scatter(shouted.arg_true(), text.filter(shouted).str.to_lowercase())
    wide = text.str.len_bytes() != text.str.len_chars()
    if wide.any():
        text = text.scatter(wide.arg_true(), text.filter(wide).str.normalize("NFC"))
    return text


def _fasttext(files: list[str]) -> Identify:
    if len(files) != 1:
        raise ConfigError(f"model_file matches {len(files)} files", where="model_file", hint="name exactly one")
    model = _load_fasttext(Path(files[0]))

    def identify(text: pl.Series) -> tuple[pl.Series, pl.Series]:
        lines = text.str.replace_all(r"[\r\n\x00]+", " ").to_list()
        labels, probabilities = model.predict(lines, k=1) if lines else ([], [])
        names = [labelled[0].removeprefix("__label__") if labelled else UNDETERMINED for labelled in labels]
        scores = [min(max(float(labelled[0]), 0.0), 1.0) if len(labelled) else 0.0 for labelled in probabilities]
        return pl.Series(names, dtype=pl.String), pl.Series(scores, dtype=pl.Float64)

    return identify


def _load_fasttext(path: Path) -> Any:
    import fasttext

    try:
        return fasttext.load_model(str(path))
    except ValueError as error:
        raise ConfigError(
            f"{path.name} is not a fastText model: {error}",
            where="model_file",
            hint="give a .bin or .ftz classifier",
        ) from error
