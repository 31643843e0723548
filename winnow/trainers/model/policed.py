"""The fields of a run with a policy, and what the policy is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from winnow.core.errors import DataError
from winnow.core.operators import Context, Kind, Source, port
from winnow.core.terminal import counted, percent
from winnow.trainers.data.batches import Batch, Batches
from winnow.trainers.data.encoder import FILE
from winnow.trainers.data.numbering import account_of
from winnow.trainers.data.pack import Documents, PackedBatches, batches_of
from winnow.trainers.data.stored_labels import IDS, PROBABILITIES, TAIL, StoredLabels, stored
from winnow.trainers.data.stored_losses import CONTEXT, NATS, StoredLosses, stored_losses
from winnow.trainers.data.token_bytes import token_bytes
from winnow.trainers.model.device import Precision
from winnow.trainers.model.reference_model import ReferenceModel
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.start import WEIGHTS
from winnow.trainers.model.usage import PASSED, WEIGHT, usage_of
from winnow.trainers.online.policies import policy_named
from winnow.trainers.online.policy import Policy
from winnow.trainers.online.policy_run import PolicyRun, Record
from winnow.trainers.online.told import Spelt, Told

TEXT = "target.npz"  # of a stage that holds held-out texts in tokens
MOST_TEXT_BYTES = 2_000_000  # of held-out texts that a policy reads: a keyed sample of more
LOGS, FEEDBACK = "policy.npz", "feedback.arrow"
LABELS, REFERENCE = "labels_{}.bin", "reference_{}.bin"  # a run's copies of stored labels and losses, while it trains


@dataclass(frozen=True, kw_only=True)
class Policed:
    """What acts on the data of a run. References: the policy's stage, models and texts that it reads, by label.

    `policed` are its name (`use`) and fields, by which a worker makes it; its identity is that of its stage.
    """

    policed: dict[str, Any] | None = field(default=None, metadata={"identity": False})
    policy: str = port("ref", default="")
    policy_models: dict[str, str] | None = port("refs", default=None)
    policy_texts: dict[str, str] | None = port("refs", default=None)
    policy_labels: dict[str, str] | None = port("refs", default=None)
    policy_losses: dict[str, str] | None = port("refs", default=None)
    policy_results: dict[str, str] | None = port("refs", default=None)
    policy_tokenizer: str = port("ref", default="")  # where the policy reads how tokens spell the text

    def acts(self) -> Policy | None:
        """The policy; None: nothing acts.

        Raises:
            ConfigError: this version has no such policy.
        """
        if self.policed is None:
            return None
        return policy_named(self.policed["use"], {k: v for k, v in self.policed.items() if k != "use"})


@dataclass(frozen=True, kw_only=True)
class Teller:
    """What is known of a run before its first step, for its policy."""

    ctx: Context
    policy: Policy
    seed: int
    vocab: int
    context: int
    batch: int
    parameters: int = 0  # of the model that is trained
    precision: Precision = "auto"  # of its products, and so of those of the models that it is compared with

    def told(self, documents: Documents | None, *, steps: int) -> Told:
        """What the policy is told of these documents (None: they are of several sources); `steps` 0: not known yet.

        Raises:
            DataError: a model that it reads was not trained.
        """
        refs = self.ctx.refs
        return Told(
            steps=steps, seed=self.seed, vocab=self.vocab, context=self.context, batch=self.batch,
            doc_id=None if documents is None else documents.doc_id,
            columns={} if documents is None else self._columns(documents.doc_id),
            texts={label: self._packed(source.files()[TEXT]) for label, source in refs.get("policy_texts", {}).items()},
            models={label: _weights(source, label) for label, source in refs.get("policy_models", {}).items()},
            results={label: source.result() for label, source in refs.get("policy_results", {}).items()},
            references={name: self._reference(one, name) for name, one in refs.get("policy_models", {}).items()},
            spelling=None if documents is None else self._spelling(documents),
            shapes={label: one.result().get("shape", {}) for label, one in refs.get("policy_models", {}).items()},
            labels=self._labels(documents, steps), losses=self._losses(documents, steps),
            parameters=self.parameters, code=self.ctx.code,
        )  # fmt: skip

    def run(self, batches: Batches) -> tuple[Batches, PolicyRun]:
        """The batches that are trained on, and the policy over them."""
        packed, account = batches if isinstance(batches, PackedBatches) else None, account_of(batches)
        told = self.told(None if packed is None else packed.data, steps=batches.num_steps)
        if packed is None and account is not None:
            told = replace(told, doc_id=account.doc_id, columns=self._columns(account.doc_id))
        self._tell_missing(told)
        tell_sampled(self.ctx, self.ctx.refs.get("policy_texts", {}))
        rewritten = batches
        if self.policy.rewrites:
            assert packed is not None, "refused while planning"
            rewritten = self.policy.rewrite(packed, told)
        told = replace(told, steps=rewritten.num_steps)
        return rewritten, PolicyRun(policy=self.policy, told=told, digests=self._digests())

    def _labels(self, documents: Documents | None, steps: int) -> dict[str, StoredLabels]:
        """The run's copies of stored labels, once it has steps; `forget_labels` ends them."""
        refs = self.ctx.refs.get("policy_labels", {})
        if documents is None or not steps:
            return {}
        return {label: stored(source.frames("doc_id", IDS, PROBABILITIES, TAIL), documents,
                              self.ctx.work / LABELS.format(label), where=f"policy.{label}")
                for label, source in refs.items()}  # fmt: skip

    def _losses(self, documents: Documents | None, steps: int) -> dict[str, StoredLosses]:
        """The same of stored token losses."""
        refs = self.ctx.refs.get("policy_losses", {})
        if documents is None or not steps:
            return {}
        return {label: stored_losses(source.frames("doc_id", NATS, CONTEXT), documents,
                                     self.ctx.work / REFERENCE.format(label), context=self.context,
                                     where=f"policy.{label}") for label, source in refs.items()}  # fmt: skip

    def _reference(self, source: Source, label: str) -> ReferenceModel:
        shape = Shape(**source.result()["shape"])
        return ReferenceModel(path=_weights(source, label), shape=shape, precision=self.precision)

    def _columns(self, doc_id: pl.Series) -> dict[str, pl.Series]:
        names = list(self.policy.columns_read())
        if not names:
            return {}
        known = self.ctx.ref("policy").frame("doc_id", *names)
        joined = pl.DataFrame({"doc_id": doc_id}).join(known, on="doc_id", how="left", maintain_order="left")
        return {name: joined[name] for name in names}

    def _tell_missing(self, told: Told) -> None:
        for name, values in ({} if self.policy.tells_missing else told.columns).items():
            missing = values.null_count()
            if missing:
                what = f"{counted(missing, 'document')} of {len(values):,} have no {name!r} for the policy"
                self.ctx.remark(f"{what}: look at the column behind it, or leave such documents out of the selection")

    def _spelling(self, documents: Documents) -> Spelt | None:
        if "policy_tokenizer" not in self.ctx.refs:
            return None
        spelt = token_bytes(self.ctx.ref("policy_tokenizer").files()[FILE], vocab=self.vocab)
        return Spelt(ids=documents.tokens, offsets=documents.offsets, bytes=spelt)

    def _packed(self, path: Path) -> Sequence[Batch]:
        return packed_texts(path, context=self.context, batch=self.batch, end=self.vocab - 1)

    def _digests(self) -> dict[str, str]:
        refs = self.ctx.refs
        read = {"policy": refs["policy"]} if refs["policy"].kind is Kind.COLUMNS else {}
        read |= {f"text {label}": source for label, source in refs.get("policy_texts", {}).items()}
        read |= {f"model {label}": source for label, source in refs.get("policy_models", {}).items()}
        read |= {f"labels {label}": source for label, source in refs.get("policy_labels", {}).items()}
        read |= {f"losses {label}": source for label, source in refs.get("policy_losses", {}).items()}
        read |= {f"result {label}": source for label, source in refs.get("policy_results", {}).items()}
        return {name: source.digest for name, source in read.items()}


def tell_sampled(ctx: Context, texts: Mapping[str, Source]) -> None:
    """Remark which held-out texts are read as a sample of them."""
    for label, source in texts.items():
        facts = source.result()
        read, found = int(facts["items"]), int(facts["items_found"])
        if read < found:
            told = (
                f"{read:,} of {counted(found, 'text')} ({percent(read / found)}) of {label!r} are read, a keyed sample"
            )
            size = f"{facts['scored_bytes'] / 1e6:.3g} MB, where {MOST_TEXT_BYTES / 1e6:g} MB are the most"
            ctx.remark(f"{told} of {size}: the others have no say; name a smaller selection of them to choose which do")


def forget_labels(ctx: Context) -> None:
    """Remove a run's copies of stored labels and losses: they are no part of what it leaves."""
    for refs, name in (("policy_labels", LABELS), ("policy_losses", REFERENCE)):
        for label in ctx.refs.get(refs, {}):
            (ctx.work / name.format(label)).unlink(missing_ok=True)


def packed_texts(path: Path, *, context: int, batch: int, end: int) -> list[Batch]:
    """Held-out texts in tokens (a `target_tokens` file) as packed rows, each text once; weight 0 on what is context.

    Of a target with choices the right answers. `documents` number the items.
    """
    with np.load(path, allow_pickle=False) as stored:
        found = {name: stored[name] for name in ("ids", "offsets", "context_tokens", "first", "gold", "kind")}
    labels = found["kind"].tobytes().decode() == "labels"
    request = found["first"][:-1] + (0 if labels else found["gold"])
    lengths = np.diff(found["offsets"])[request]
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    at = np.arange(int(offsets[-1])) + np.repeat(found["offsets"][:-1][request] - offsets[:-1], lengths)
    number = np.arange(len(request))
    names = pl.Series("doc_id", [int(i).to_bytes(16, "big") for i in number], dtype=pl.Binary)
    texts = Documents(doc_id=names, tokens=found["ids"][at], offsets=offsets)
    rows = batches_of(texts, context=context, batch=batch, tokens=texts.num_tokens, end=end, seed=0)
    before = np.append(found["context_tokens"][request], 0)
    return [_scored(rows.batch(step), before) for step in range(rows.num_steps)]


def _scored(rows: Batch, before: np.ndarray) -> Batch:
    """The rows with weight on scored tokens alone; `before` are the tokens of context of every item, 0 for fill."""
    return replace(rows, weights=np.where(rows.places >= before[rows.documents], rows.weights, np.float32(0)))


def _weights(source: Any, label: str) -> Path:
    found: Mapping[str, Path] = source.files()
    if WEIGHTS not in found:
        why = source.result().get("failed") or source.result().get("stopped") or "it has no weights"
        raise DataError(f"{label!r} of the policy holds no trained model: {why}", where="policy",
                        hint="name a trained model's stage")  # fmt: skip
    return found[WEIGHTS]


def tell_documents(ctx: Context, batches: Batches, record: Record | None, *, asked: bool) -> None:
    """Write `feedback.arrow`, a row per document of the run: what was trained on of it, and what its policy says of it.

    `asked` for, it is there in any run; else where the policy weighs, mixes, or has values of documents.
    Cost: opens every batch once more where nothing weighed them.
    """
    columns, account = {} if record is None else dict(record.columns), account_of(batches)
    if account is None or not (columns or asked):
        return
    if WEIGHT not in columns:
        columns = {**usage_of(batches, len(account.doc_id)).columns(), **columns}
    told = {name: pl.Series(values, nan_to_null=True) for name, values in columns.items()}
    frame = pl.DataFrame({"doc_id": account.doc_id, PASSED: account.targets, **told})
    frame.write_ipc(ctx.work / FEEDBACK, compression="zstd")


def told_back(ctx: Context, policy: Policy, record: Record, doc_id: pl.Series | None) -> dict[str, Any]:
    """Metrics `policy`, and `weights` of a mixture; writes `policy.npz`.

    It holds the losses without weights and effective sample sizes.
    """
    np.savez(ctx.work / LOGS, allow_pickle=False, plain_losses=record.plain_losses, ess=record.ess)
    for sentence in record.remarks():
        ctx.remark(sentence)
    told = {"policy": {"name": policy.called(), "said": policy.said(), "does": policy.does, **record.facts(),
                       **_without(record, doc_id)}}  # fmt: skip
    weights = record.figures.get("weights")  # of domains: `mixture` finds them in a result by this name
    return told if weights is None else {**told, "weights": weights}


def _without(record: Record, doc_id: pl.Series | None) -> dict[str, Any]:
    """Shares of the documents that the policy left out, and of those that were read and always had weight 0."""
    out = {}
    if doc_id is not None and record.figures.get("left_out"):
        out["left_out_share"] = record.figures["left_out"] / len(doc_id)
    if WEIGHT in record.columns:
        read = record.columns[WEIGHT][np.isfinite(record.columns[WEIGHT])]
        out["zero_weight_share"] = float((read == 0).mean()) if len(read) else 0.0
    return out
