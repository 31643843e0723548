"""`write_tokens`: a selection as token ids in files that Megatron, OLMo or Hugging Face `datasets` open.

Sub-stages: `tokenizer` (the given file, or one fitted on the pool), `tokens` (of the selected documents, part by
part) and `files`, which stand in the stage's folder `files/`. Another form tokenises nothing again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Context, Job, Kind, Operator, Resources, Scope, Sub, port
from winnow.trainers.data import pack, token_files
from winnow.trainers.data.coder import coder_of
from winnow.trainers.data.token_files import FILE_TOKENS, FORMS, Form
from winnow.trainers.data.tokens import FILE, NARROW_VOCAB, Tokenizer, Tokens, check_vocab

Weights = Literal["repeat", "column", "none"]


@dataclass(frozen=True, kw_only=True)
class WriteTokens(Composite):
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
    end: str = ""
    form: Form = "megatron"
    weights: Weights = "repeat"
    file_tokens: int = FILE_TOKENS
    tokenizer_bytes: int = 100_000_000

    def validate(self) -> None:
        """Nothing, where files can be written.

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
        files = TokenFiles(form=self.form, end=self.end, weighted=weighted, weights=self.weights,
                           file_tokens=self.file_tokens)  # fmt: skip
        return [
            taught,
            Sub(name="tokens", operator=Tokens(wide=given or self.vocab > NARROW_VOCAB), inputs=pool, where=chosen,
                refs={"tokenizer": ".tokenizer"}),
            Sub(name="files", operator=files,
                refs={"selection": self.selection, "tokens": ".tokens", "tokenizer": ".tokenizer"}),
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TokenizerFile(Job):
    """A tokenizer.json that was given, as a stage.

    Source: own
    """

    name: ClassVar[str] = "tokenizer_file"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    uses: ClassVar[tuple[str, ...]] = ("tokenizers",)

    files: tuple[str, ...] = port("files")

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write tokenizer.json; metrics: `vocab`.

        Raises:
            ConfigError: there are several files, or it is no tokenizer.
        """
        paths = [Path(path) for path in ctx.refs.get("files", self.files)]
        if len(paths) != 1:
            raise ConfigError(f"{len(paths)} tokenizer files", where="tokenizer", hint="name one tokenizer.json")
        shutil.copyfile(paths[0], ctx.work / FILE)
        return {"vocab": coder_of(ctx.work / FILE).vocab - 1}


@dataclass(frozen=True, kw_only=True)
class TokenFiles(Job):
    """Files of the ids of a selection; tokenizer.json and index.json beside them.

    Cost: memory of the selection's ids.
    Source: as write_tokens
    """

    name: ClassVar[str] = "token_files"
    role: ClassVar[str] = "writer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=2)
    publishes: ClassVar[str] = "files"

    form: Form
    end: str = ""
    weighted: bool = False
    weights: Weights = "repeat"
    file_tokens: int = FILE_TOKENS
    selection: str = port("ref", default="")
    tokens: str = port("ref", default="")
    tokenizer: str = port("ref", default="")

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """Which documents are written."""
        return {"selection": ("doc_id",)}

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: what index.json says.

        Raises:
            DataError: nothing is selected, or a weight is no weight. ConfigError: there is no such end token.
        """
        taught = ctx.ref("tokenizer").files()[FILE]
        coder = coder_of(taught, end=self.end or None)
        columns = ("doc_id", "weight") if self.weighted else ("doc_id",)
        selection = ctx.ref("selection").frame(*columns, where_kept=True)
        documents = pack.documents_of(selection, ctx.ref("tokens").frame("doc_id", "tokens"))
        repeated = self.weights == "repeat"
        order = pack.order_of(
            documents.doc_id, documents.weights, weighting="repeat" if repeated else "loss", packing="best_fit", seed=0
        )
        if repeated:
            documents = pack.Documents(doc_id=documents.doc_id, tokens=documents.tokens, offsets=documents.offsets)
        told = token_files.write_files(
            documents, ctx.work, form=self.form, end=coder.end, vocab=coder.vocab, order=order,
            file_tokens=self.file_tokens, source=ctx.ref("tokens").digest,
        )  # fmt: skip
        shutil.copyfile(taught, ctx.work / FILE)
        ctx.note("summary", f"{told['tokens']:,} tokens of {told['documents']:,} documents, {told['form']}")
        return told
