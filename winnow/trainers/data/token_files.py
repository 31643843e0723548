"""The files of `write_tokens`: a selection and its ids in, files that other trainers open out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from winnow.core.errors import DataError
from winnow.core.operators import Context, Job, Kind, Resources, port
from winnow.core.store.names import ABOUT
from winnow.trainers.data import pack
from winnow.trainers.data.coder import coder_of
from winnow.trainers.data.controls import (
    CONTROL,
    ENDS,
    MOST_CONTROLS,
    Controls,
    controlled,
    labels_of,
)  # fmt: skip
from winnow.trainers.data.encoder import FILE, NARROW_VOCAB
from winnow.trainers.data.segment_controls import placed, with_segment_controls
from winnow.trainers.data.token_bytes import token_bytes
from winnow.trainers.data.token_formats import FILE_TOKENS, VAL_SHARE, Form, write_files
from winnow.trainers.data.token_meta import save_meta

Weights = Literal["repeat", "column", "none"]


@dataclass(frozen=True, kw_only=True)
class TokenFileSettings:
    """What the files look like; `write_tokens` and `token_files` share these fields."""

    form: Form = "megatron"
    end: str = ""  # text of the token that ends documents; default: a new id behind the vocabulary
    weights: Weights = "repeat"
    file_tokens: int = FILE_TOKENS
    val_share: float = VAL_SHARE  # of `bin`: documents that go to val.bin


MOST_APART = 0.1  # of two counts of the same documents' tokens, above which that is remarked


@dataclass(frozen=True, kw_only=True)
class TokenFiles(TokenFileSettings, Job):
    """Files of the ids of a selection; `files.meta/` beside them holds index.json and tokenizer.json.

    With `controls`, a stage of labels, their ids lie behind the end mark's, before each document or, `segmented`, each
    of its segments.

    Cost: memory of the selection's ids.
    Source: as write_tokens
    """

    name: ClassVar[str] = "token_files"
    version: ClassVar[int] = 2  # 2: the tokenizer holds the end mark; it and the index lie beside the files
    role: ClassVar[str] = "writer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=2)
    publishes: ClassVar[str] = "files"

    weighted: bool = False
    segmented: bool = False
    selection: str = port("ref", default="")
    tokens: str = port("ref", default="")
    tokenizer: str = port("ref", default="")
    controls: str = port("ref", default="")

    def reads(self) -> Mapping[str, tuple[str, ...]]:
        """Which documents are written, and their labels."""
        labels = (CONTROL, ENDS) if self.segmented else (CONTROL,)
        return {"selection": ("doc_id",), **({"controls": ("doc_id", *labels)} if self.controls else {})}

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
        remark_counts(ctx, len(documents.tokens), len(documents.doc_id))
        documents, known = self._with_controls(ctx, documents, taught, first=coder.vocab)
        index = write_files(
            documents, ctx.work, form=self.form, end=coder.end, vocab=coder.vocab + len(known.ids), order=order,
            file_tokens=self.file_tokens, val_share=self.val_share, source=ctx.ref("tokens").digest,
        ) | ({"controls": known.ids} if known.ids else {})  # fmt: skip
        self._remark(ctx, index)
        save_meta(ctx.work / ABOUT, index, taught.read_text("utf-8"), known)
        ctx.note("summary", f"{index['tokens']:,} tokens of {index['documents']:,} documents, {index['form']}")
        return index

    def _with_controls(
        self, ctx: Context, documents: pack.Documents, tokenizer: Path, *, first: int
    ) -> tuple[pack.Documents, Controls]:
        """The documents with their controls, whose ids begin at `first`.

        Raises:
            DataError: no document has a label, or segments are not those of the tokens.
        """
        if "controls" not in ctx.refs:
            return documents, Controls(labels=(), first=first)
        columns = (CONTROL, ENDS) if self.segmented else (CONTROL,)
        told = pl.DataFrame({"doc_id": documents.doc_id}).join(
            ctx.ref("controls").frame("doc_id", *columns), on="doc_id", how="left", maintain_order="left")  # fmt: skip
        flat = told[CONTROL].list.explode(empty_as_null=False) if self.segmented else told[CONTROL]
        known = Controls(labels=labels_of(flat, most=MOST_CONTROLS, where="control"), first=first)
        if not known.labels:
            raise DataError(f"none of {len(told):,} documents has a label", where="control",
                            hint="look at the score or the label of the stage that `control` names")  # fmt: skip
        if first + len(known.labels) > NARROW_VOCAB and documents.tokens.dtype == np.uint16:
            documents = replace(documents, tokens=documents.tokens.astype(np.uint32))
        none = told[CONTROL].null_count()
        if none:
            ctx.remark(f"{none:,} of {len(told):,} documents have no label and are written without a control: look at "
                       "the column behind it, or leave them out of the selection")  # fmt: skip
        if not self.segmented:
            return controlled(documents, known.of(told[CONTROL])), known
        spelt = token_bytes(tokenizer, vocab=first)
        found = placed(told[CONTROL], told[ENDS], known, documents=documents, token_bytes=spelt)
        if found.without:
            ctx.remark(f"{found.without:,} segments have no token of their own and so no control: a token reaches over "
                       "them; take a tokenizer that cuts at spaces")  # fmt: skip
        return with_segment_controls(documents, found), known

    def _remark(self, ctx: Context, index: Mapping[str, Any]) -> None:
        """Say what nanoGPT would not: ids that it reads wrongly, and a validation file of a single document."""
        if self.form != "bin":
            return
        if index["dtype"] != "uint16":
            ctx.remark(f"ids of {index['vocab']:,} take 32 bits, and nanoGPT reads 16: read the files as "
                       f"{index['dtype']}, or take a tokenizer of at most 65,536 ids")  # fmt: skip
        held = [part for part in index["parts"] if part["files"] == ["val.bin"]]
        if held and held[0]["documents"] == 1:
            ctx.remark(f"val.bin holds one document ({held[0]['tokens']:,} tokens): that is what val_share "
                       f"{self.val_share:g} of {index['documents']:,} documents comes to; raise it")  # fmt: skip


def remark_counts(ctx: Context, written: int, documents: int) -> None:
    """Remark where the selection was made by a count of tokens that is more than a tenth off."""
    counted = ctx.ref("selection").counts.get("tokens")
    if not counted or abs(written - counted) <= MOST_APART * counted:
        return
    times = written / counted
    ctx.remark(
        f"{documents:,} documents have {written:,} tokens (once each, without end marks), and their selection counted "
        f"{counted:,}: {times:.1f} times that; its budget is met by that count alone. Count with the tokenizer that is "
        "written: `{use: count_tokens, tokenizer: file, tokenizer_file: tokenizer.json}`"
    )
