"""`write_tokens`: a selection as token ids in files that Megatron, OLMo or Hugging Face `datasets` open.

Sub-stages: `tokenizer` (the given file, or one fitted on the pool), `tokens` (of the selected documents, part by
part) and `files`, which stand in the stage's folder `files/`. Another form tokenises nothing again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Operator, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.trainers.data.encoder import NARROW_VOCAB, check_vocab
from winnow.trainers.data.token_files import TokenFiles, TokenFileSettings
from winnow.trainers.data.token_formats import FORMS
from winnow.trainers.data.tokenizer import Tokenizer
from winnow.trainers.data.tokenizer_file import TokenizerFile
from winnow.trainers.data.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class WriteTokens(TokenFileSettings, Composite):
    """A selection as token ids: Megatron .bin/.idx, OLMo .npy, or Parquet for `datasets`; tokenizer.json beside them.

    A document is its ids and an end mark. `tokenizer` is a tokenizer.json; without one, a byte-level BPE of `vocab`
    ids is fitted on the pool (the stage's `inputs`, or all rows). `end` is the text of the token that ends documents;
    default: a new id behind the vocabulary. A selection's weights become repeats, a `column` (Parquet), or `none`.

    Source: own; file layouts of Megatron-LM, dolma (OLMo) and Apache Parquet
    """

    name: ClassVar[str] = "write_tokens"
    role: ClassVar[str] = "writer"
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)

    selection: str = port("ref")
    tokenizer: tuple[str, ...] = port("files", default=())
    vocab: int = 32_768
    tokenizer_bytes: int = 100_000_000

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a field is out of its range, or only Parquet has a column of weights.
        """
        check_vocab(self.vocab)
        if self.form not in FORMS:
            raise ConfigError(f"form is {self.form!r}", where="form", hint=f"one of {', '.join(FORMS)}")
        if self.file_tokens < 1:
            raise ConfigError(f"file_tokens is {self.file_tokens}, and must be at least 1", where="file_tokens")
        if self.weights == "column" and self.form != "parquet":
            raise ConfigError(f"a {self.form} file has no weights", where="weights", hint="`repeat` or `none`")

    def expand(self, scope: Scope) -> list[Sub]:
        """Tokenizer, tokens of the selection, files."""
        pool = scope.inputs or (scope.space(self.selection),)
        given = bool(self.tokenizer)
        fit: Operator = Tokenizer(vocab=self.vocab, sample_bytes=self.tokenizer_bytes)
        taught = Sub(name="tokenizer", operator=fit, inputs=pool, where=scope.where)
        if given:
            taught = Sub(name="tokenizer", operator=TokenizerFile(files=self.tokenizer))
        chosen = scope.where if "." in self.selection else f"kept_{self.selection}"
        weighted = self.weights != "none" and "weight" in scope.lookup(self.selection).operator.outputs()
        files = TokenFiles(weighted=weighted, **part_of(self, TokenFileSettings))
        return [
            taught,
            Sub(name="tokens", operator=Tokens(wide=given or self.vocab > NARROW_VOCAB), inputs=pool, where=chosen,
                refs={"tokenizer": ".tokenizer"}),
            Sub(name="files", operator=files,
                refs={"selection": self.selection, "tokens": ".tokens", "tokenizer": ".tokenizer"}),
        ]  # fmt: skip
