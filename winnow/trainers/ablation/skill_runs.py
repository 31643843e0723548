"""Short runs on skills, alone or in pairs, and the graph of what they say: which skill helps which text."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import orjson
import polars as pl

from winnow.core.operators import Context, Exactness, Job, Kind, Resources, port
from winnow.trainers.data import pack
from winnow.trainers.data.batches import Batch
from winnow.trainers.data.in_parts import Fed
from winnow.trainers.data.mixed import mixed_of
from winnow.trainers.data.pack import PackedBatches
from winnow.trainers.model import loop
from winnow.trainers.model.forward import nats_of
from winnow.trainers.model.head import Workspace
from winnow.trainers.model.initialise import build
from winnow.trainers.model.policed import TEXT, packed_texts, tell_sampled
from winnow.trainers.model.training import Training
from winnow.trainers.model.warm import Body
from winnow.trainers.online.mixing import DOMAIN, Domains, check_labels, domains_of
from winnow.trainers.online.policy_run import told_of

Method = Literal["alone", "pairs"]
Losses = dict[str, float]  # text -> nats per token
GRAPH = "graph.json"
NEAR_COMPLETE = 0.9  # share of edges between skills from which a graph tells little
UNCAPPED = float(2**20)  # a short run on a small skill repeats it


@dataclass(frozen=True, kw_only=True)
class Learned:
    """How a graph is learned."""

    method: Method = "alone"
    least: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SkillRuns(Training, Learned, Job):
    """The runs behind a `skill_graph`: each is committed for itself, so that a killed stage goes on behind the last.

    Files: graph.json. References: `selection`, its `tokens`, `domains` (a column `per`), `texts` {label: in tokens}.

    Source: Skill-It (Chen et al., NeurIPS 2023), section 3.2, written from its text
    """

    name: ClassVar[str] = "skill_runs"
    role: ClassVar[str] = "trainer"
    kind: ClassVar[Kind] = Kind.ARTEFACT
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch",)
    resources: ClassVar[Resources] = Resources(cpus=1, memory_gb=1.5)

    tokens_per_run: int
    init_seed: int
    order_seed: int
    selection: str = port("ref", default="")
    tokens: str = port("ref", default="")
    domains: str = port("ref", default="")
    texts: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `graph` {skill: {text: a}}, `losses` of every run, number of edges between skills and their share.

        Raises:
            DataError: no document has a skill. ConfigError: a pair has a skill without a text.
        """
        plain, domains = self._data(ctx)
        texts = {label: packed_texts(source.files()[TEXT], context=self.context, batch=self.batch, end=self.vocab - 1)
                 for label, source in sorted(ctx.refs["texts"].items())}  # fmt: skip
        tell_sampled(ctx, ctx.refs["texts"])
        if self.method == "pairs":
            check_labels(list(texts), domains.names, where="feedback", what="skill")
        losses = {name: self._losses(ctx, name, skills, plain, domains, texts)
                  for name, skills in runs_of(self.method, len(domains.names)).items()}  # fmt: skip
        found = graph_from(self.method, losses, domains.names, list(texts), least=self.least)
        (ctx.work / GRAPH).write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
        return {"graph": found, "losses": losses, "runs": len(losses), "left_out": domains.left_out,
                **self._told(ctx, found)}  # fmt: skip

    def _told(self, ctx: Context, graph: dict[str, Losses]) -> dict[str, Any]:
        """Metrics of the edges between skills; a remark where there are none, or nearly all."""
        between = [edge for skill, row in graph.items() for text, edge in row.items() if skill != text]
        edges = sum(edge > 0 for edge in between)
        share = edges / len(between) if between else 0.0
        if between and not edges:
            ctx.remark("the graph has no edges between skills, so `skill_it` follows each skill's own loss alone: "
                       "train longer (`tokens`), or lower `least`")  # fmt: skip
        elif share > NEAR_COMPLETE:
            ctx.remark(f"{edges} of {len(between)} edges between skills are there, and a nearly complete graph orders "
                       "nothing: raise `least`, or use `method: pairs`")  # fmt: skip
        return {"edges": edges, "edge_share": share}

    def _data(self, ctx: Context) -> tuple[PackedBatches, Domains]:
        selection = ctx.ref("selection").frame("doc_id", where_kept=True)
        documents = pack.documents_of(selection, ctx.ref("tokens").frame("doc_id", "tokens"))
        fed = Fed(context=self.context, batch=self.batch, end=self.vocab - 1, seed=self.order_seed,
                  packing=self.packing, weighting=self.weighting)  # fmt: skip
        plain = fed.batches(documents, tokens=self.tokens_per_run)
        known = pl.DataFrame({"doc_id": documents.doc_id}).join(
            ctx.ref("domains").frame("doc_id", DOMAIN), on="doc_id", how="left", maintain_order="left")  # fmt: skip
        told = told_of(plain, vocab=self.vocab, context=self.context, batch=self.batch, columns={DOMAIN: known[DOMAIN]})
        return plain, domains_of(told)

    def _losses(
        self, ctx: Context, name: str, skills: tuple[int, ...], plain: PackedBatches, domains: Domains,
        texts: dict[str, list[Batch]],
    ) -> Losses:  # fmt: skip
        """Losses of the texts after a run on these skills, alike; without skills those of an untrained model."""

        def make(out: Path) -> None:
            if skills:
                number = np.full(len(domains.number), -1, dtype=np.int64)
                for place, skill in enumerate(skills):
                    number[domains.number == skill] = place
                data = mixed_of(plain, number, [domains.names[k] for k in skills], max_repeats=UNCAPPED)
                model, _ = loop.fit(data, self.shape(), self.recipe(), init_seed=self.init_seed, machine=self.machine())
            else:
                model = build(self.shape(), init_seed=self.init_seed)
            (out / "losses.json").write_bytes(orjson.dumps(text_losses(model, texts, vocab=self.vocab)))

        folder = (ctx.step or _here(ctx.work))(name, make)
        found: Losses = orjson.loads((folder / "losses.json").read_bytes())
        return found


def runs_of(method: Method, many: int) -> dict[str, tuple[int, ...]]:
    """Name -> skills of every run: each alone, and none (untrained) or all pairs."""
    alone = {f"skill-{k:04d}": (k,) for k in range(many)}
    if method == "alone":
        return {"untrained": (), **alone}
    return {**alone, **{f"pair-{i:04d}-{j:04d}": (i, j) for i, j in itertools.combinations(range(many), 2)}}


def graph_from(
    method: Method, losses: dict[str, Losses], skills: Sequence[str], texts: Sequence[str], *, least: float
) -> dict[str, Losses]:
    """The graph {skill: {text: a}} of the runs' losses; edges below `least` are 0.

    alone: a = max(0, (L - L_i) / L), L of the untrained model and L_i after a run on skill i. pairs:
    a = max(0, (L_j - L_ij) / L_j) of a run on skill j alone and on both alike, 1 of a skill on itself.
    """

    def edge(i: int, j: int) -> float:
        text = texts[j]
        if method == "alone":
            before, after = losses["untrained"][text], losses[f"skill-{i:04d}"][text]
        elif skills[i] == text:
            return 1.0
        else:
            k = list(skills).index(text)
            before, after = losses[f"skill-{k:04d}"][text], losses[f"pair-{min(i, k):04d}-{max(i, k):04d}"][text]
        found = max(0.0, (before - after) / before) if before > 0 else 0.0
        return found if found >= least else 0.0

    return {skill: {texts[j]: edge(i, j) for j in range(len(texts))} for i, skill in enumerate(skills)}


def text_losses(model: Any, texts: dict[str, list[Batch]], *, vocab: int) -> Losses:
    """Mean nats per token of every text under a model on the CPU."""
    import torch

    body = Body(model=model, hidden=model.hidden, workspace=Workspace(vocab, dtype=torch.float32), device="cpu",
                dtype=torch.float32)  # fmt: skip
    out = {}
    for label, rows in texts.items():
        total = sum(
            float((nats_of(body, one, precision="fp32").astype(np.float64) * one.weights).sum()) for one in rows
        )
        out[label] = total / sum(float(one.weights.sum(dtype=np.float64)) for one in rows)
    return out


def _here(work: Path) -> Callable[[str, Callable[[Path], None]], Path]:
    """Steps outside of a run of a recipe: made in a folder, not committed."""

    def step(name: str, make: Callable[[Path], None]) -> Path:
        folder = work / name
        folder.mkdir()
        make(folder)
        return folder

    return step
