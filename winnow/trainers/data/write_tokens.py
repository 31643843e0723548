"""`write_tokens`: a selection as token ids in files that Megatron, OLMo, Hugging Face `datasets` or nanoGPT open.

Sub-stages: `tokenizer` (the given file, or one fitted on what is written), `tokens` (of the selected documents, part by
part) and `files`, which stand in the stage's folder `files/`. Another form tokenises nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Kind, Operator, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, left_out
from winnow.trainers.data.controls import CONTROL, ENDS
from winnow.trainers.data.encoder import NARROW_VOCAB, check_vocab
from winnow.trainers.data.token_files import TokenFiles, TokenFileSettings
from winnow.trainers.data.token_formats import FORMS, WEIGHED_FORMS
from winnow.trainers.data.tokenizer import Tokenizer
from winnow.trainers.data.tokenizer_file import TokenizerFile
from winnow.trainers.data.tokens import Tokens


@dataclass(frozen=True, kw_only=True)
class WriteTokens(TokenFileSettings, Composite):
    """A selection as token ids: Megatron .bin/.idx, OLMo .npy, Parquet, or train.bin and val.bin as nanoGPT has them.

    A document is its ids and an end mark. `tokenizer` is a tokenizer.json; without one, a byte-level BPE of `vocab` ids
    is fitted on the documents that are written (`fit_on: pool`: on the stage's `inputs`, or all rows). `end` is the
    text of the token of a given tokenizer that ends documents; default: a new id behind the vocabulary, which the
    tokenizer.json beside the files holds as well. A selection's weights become repeats, a `column` (of Parquet; of
    `bin` the file `train.weights.bin`, f32, one for every id), or `none`. Of `bin`, `val_share` of the documents are
    held out by a hash of their ids.

    `control: tags` names a `conditional` stage: each document, line or sentence has its control's id before it, the
    controls lie behind the end mark, and the tokenizer.json beside the files has them as special tokens `<|aligned|>`.

    Source: own; file layouts of Megatron-LM, dolma (OLMo), Apache Parquet and nanoGPT
    """

    name: ClassVar[str] = "write_tokens"
    meaning: ClassVar[Mapping[str, Meaning]] = {"end": "free"}
    role: ClassVar[str] = "writer"
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)
    takes: ClassVar[tuple[str, ...]] = ("selection",)
    read_at: ClassVar[ReadAt] = {
        "vocab": ("tokenizer", left_out),
        "tokenizer_bytes": ("tokenizer", left_out),
        "fit_on": ("tokenizer", left_out),
        "file_tokens": ("form", ("megatron", "olmo", "parquet")),
        "val_share": ("form", ("bin",)),
    }

    selection: str = port("ref")
    control: str = port("ref", default="")  # a `conditional` stage over the same rows
    tokenizer: tuple[str, ...] = port("files", default=())
    vocab: int = 32_768
    tokenizer_bytes: int = 100_000_000
    fit_on: Literal["selection", "pool"] = "selection"

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a field is out of its range, or the form has no place for weights.
        """
        check_vocab(self.vocab)
        if self.form not in FORMS:
            raise ConfigError(f"form is {self.form!r}", where="form", hint=f"one of {', '.join(FORMS)}")
        if self.file_tokens < 1:
            raise ConfigError(f"file_tokens is {self.file_tokens}, and must be at least 1", where="file_tokens")
        if not 0 <= self.val_share < 1:
            raise ConfigError(f"val_share is {self.val_share}, and must be in [0, 1)", where="val_share")
        if self.end and not self.tokenizer:
            raise ConfigError(f"a tokenizer that is fitted has no token {self.end!r}", where="end",
                              hint="leave `end` out for a new id, or give the `tokenizer` that has it")  # fmt: skip
        if self.weights == "column" and self.form not in WEIGHED_FORMS:
            raise ConfigError(f"a {self.form} file has no weights", where="weights", hint="`repeat` or `none`")

    def after_decisions(self) -> bool:
        """True where a tokenizer is fitted on the pool; else the selection says which rows it is about."""
        return self.fit_on == "pool" and not self.tokenizer

    def _check_selection(self, scope: Scope) -> None:
        if "." not in self.selection and scope.lookup(self.selection).operator.kind is Kind.ROWS:
            line = f"all_{self.selection}: {{use: random, inputs: {self.selection}, budget: 100%}}"
            raise ConfigError(
                f"{self.selection!r} holds documents, and chooses none of them", where="selection",
                hint=f"for all that no cleaning above refused, add above this stage `{line}`, and write "
                f"`selection: all_{self.selection}`",
            )  # fmt: skip

    def expand(self, scope: Scope) -> list[Sub]:
        """Tokenizer, tokens of the selection, files."""
        self._check_selection(scope)
        pool = scope.inputs or (scope.space(self.selection),)
        given = bool(self.tokenizer)
        fit: Operator = Tokenizer(vocab=self.vocab, sample_bytes=self.tokenizer_bytes)
        chosen = scope.where if "." in self.selection else f"kept_{self.selection}"
        on_pool = self.fit_on == "pool" and not given
        if scope.where and chosen != scope.where and not on_pool:
            raise ConfigError("`where` narrows the pool that a tokenizer is fitted on, and none is", where="where",
                              hint="narrow the selection itself, or give `fit_on: pool`")  # fmt: skip
        taught = Sub(name="tokenizer", operator=fit, inputs=pool, where=scope.where if on_pool else chosen)
        if given:
            taught = Sub(name="tokenizer", operator=TokenizerFile(files=self.tokenizer, end_mark=self.end))
        weighted = self.weights != "none" and "weight" in scope.lookup(self.selection).operator.outputs()
        if self.weights == "column" and not weighted:
            raise ConfigError(f"{self.selection!r} has no weight", where="weights",
                              hint="leave `weights` out, or name a selection that has")  # fmt: skip
        files = TokenFiles(weighted=weighted, segmented=self._segmented(scope), **part_of(self, TokenFileSettings))
        controls = {"controls": self.control} if self.control else {}
        return [
            taught,
            Sub(name="tokens", operator=Tokens(wide=given or self.vocab > NARROW_VOCAB), inputs=pool, where=chosen,
                refs={"tokenizer": ".tokenizer"}),
            Sub(name="files", operator=files,
                refs={"selection": self.selection, "tokens": ".tokens", "tokenizer": ".tokenizer", **controls}),
        ]  # fmt: skip

    def _segmented(self, scope: Scope) -> bool:
        """Whether controls stand within documents. Raises ConfigError where the stage has none for these rows."""
        if not self.control:
            return False
        found = scope.lookup(self.control).operator
        if CONTROL not in found.outputs():
            raise ConfigError(f"{self.control!r} ({found.name}) has no control tokens", where="control",
                              hint="name a `conditional` stage")  # fmt: skip
        if scope.space(self.control) != scope.space(self.selection):
            raise ConfigError(f"{self.control!r} labels other rows than {self.selection!r} selects", where="control",
                              hint="label the rows that are written")  # fmt: skip
        return ENDS in found.outputs()
