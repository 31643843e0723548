"""Whether what policies read goes with a comparison: one tokenizer, and no feedback that holds what is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from winnow.core.errors import DataError
from winnow.core.operators import Context, Job, Resources, Source, port
from winnow.core.store.ids import digest_bytes
from winnow.core.words.protected import Protected, Protection
from winnow.trainers.ablation.target_overlap import MOST_NAMED
from winnow.trainers.data.encoder import FILE
from winnow.trainers.evaluate.suites import protected_of, suite_of


@dataclass(frozen=True, kw_only=True)
class CheckFeedback(Job):
    """Check the texts and models that policies read, before anything is trained.

    References: `texts` {arm/port: held-out rows or a target}, `targets` of the comparison, `tokenizers` {arm/port: that
    of a model}. A policy that sees what is evaluated would be measured on what it learned from.

    Source: own; overlap as `target_overlap`
    """

    name: ClassVar[str] = "check_feedback"
    role: ClassVar[str] = "trainer"
    texts_of: ClassVar[tuple[str, ...]] = ("texts", "targets")
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1)

    reported: tuple[str, ...] = ()  # targets whose overlap is reported and not refused
    texts: dict[str, str] | None = port("refs", default=None)
    targets: dict[str, str] | None = port("refs", default=None)
    tokenizers: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `feedback` {texts: {target: items of the target that the texts repeat}}.

        Raises:
            DataError: texts repeat items of a target that is not among `reported`, or tokenizers differ.
        """
        self._check_tokenizers(ctx)
        suites = {t: (source, suite_of(source, target=t)) for t, source in ctx.refs.get("targets", {}).items()}
        found: dict[str, dict[str, int]] = {}
        for label, texts in ctx.refs.get("texts", {}).items():
            own = pa.array(protected_of(texts, suite_of(texts, target=label)).to_list(), type=pa.large_string())
            found[label] = {}
            for target, (source, suite) in suites.items():
                marked = Protected(items=protected_of(source, suite), protection=Protection()).find(own)
                items = np.unique(marked.items)
                found[label][target] = len(items)
                if len(items) and target not in self.reported:
                    self._refuse(label, target, len(items), suite.names.gather(items[:MOST_NAMED]).to_list())
        return {"feedback": found}

    def _refuse(self, label: str, target: str, items: int, names: list[str]) -> None:
        more = ", ..." if items > len(names) else ""
        raise DataError(
            f"the texts that the policy learns from repeat {items} items of target {target!r}: "
            f"{', '.join(names)}{more}", where=f"policy of {label!r}",
            hint=f"give the policy texts of its own, or accept it with `may_overlap: [{target}]`",
        )  # fmt: skip

    def _check_tokenizers(self, ctx: Context) -> None:
        seen: dict[str, str] = {}
        sources: dict[str, Source] = ctx.refs.get("tokenizers", {})
        for label, source in sources.items():
            seen.setdefault(digest_bytes(source.files()[FILE].read_bytes()), label)
        if len(seen) > 1:
            both = " and ".join(f"{label} {digest}" for digest, label in seen.items())
            raise DataError(
                f"the models of a comparison have {len(seen)} tokenizers: {both}", where="policy",
                hint="models of one comparison read the same ids: train them with one tokenizer",
            )  # fmt: skip
