"""Published tables of losses, read from the data packs: who was trained on what, and what it scored.

Sources: RegMix (sail-sg/regmix, MIT): mixtures of 17 domains at 1M and 60M weights, losses on 13 domains, one run each.
Data mixing laws (yegcjs/mixinglaws): 26 mixtures of 5 domains at 70M, 160M and 305M weights, losses on 22 domains at
several steps of one run each. Scaling (mlfoundations/scaling, MIT): three data sets, sizes and token budgets, losses with
an interval over items. Pythia (EleutherAI/pythia, Apache-2.0): with and without deduplication, accuracies with an error.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
STEP = re.compile(r"/(\d+M)_(\d+)-([\d.-]+)/(\d+)$")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Scores f64[arms, targets] at one scale, lower is better; `sd` f64[arms, targets] where the table states an error."""

    arms: tuple[str, ...]
    targets: tuple[str, ...]
    scores: Floats
    sd: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Mixtures:
    """Runs of many mixtures at one size: `shares` f64[mixtures, domains] and `losses` f64[mixtures, targets]."""

    shares: Floats
    losses: Floats
    targets: tuple[str, ...]


def members(pack: Path, pattern: str) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file of a pack whose name matches."""
    with tarfile.open(pack) as archive:
        for member in archive:
            if member.isfile() and re.search(pattern, member.name):
                yield member.name, archive.extractfile(member).read()  # type: ignore[union-attr]


def regmix(packs: Path) -> dict[str, Mixtures]:
    """`train` (512 mixtures, 1M weights), `1m` and `60m` (the same 256 mixtures at both)."""
    frames = {
        Path(name).stem: pl.read_csv(io.BytesIO(raw)).sort("index").drop("index")
        for name, raw in members(packs / "m_regmix.tar.xz", r"/data/.*\.csv$")
    }
    names = {"train": ("train", "1m"), "1m": ("test", "1m"), "60m": ("test", "60m")}
    out = {}
    for key, (part, size) in names.items():
        losses = frames[f"{part}_pile_loss_{size}"]
        targets = tuple(c.removeprefix("metric/the_pile_").removesuffix("_val_loss") for c in losses.columns)
        out[key] = Mixtures(
            shares=frames[f"{part}_mixture_{size}"].to_numpy().astype(np.float64),
            losses=losses.to_numpy().astype(np.float64), targets=targets,
        )  # fmt: skip
    return out


def mixing_laws(packs: Path) -> dict[str, dict[int, Mixtures]]:
    """Size -> training step -> the 26 mixtures; steps that all of them have on all targets."""
    found: dict[str, dict[tuple[str, str, int], float]] = {}
    for name, raw in members(packs / "m_mixinglaws.tar.xz", r"/5Mix/\d+M\.txt$"):
        rows = found.setdefault(Path(name).stem, {})
        for line in raw.decode().splitlines():
            run, target, loss = line.split("\t")
            match = STEP.search(run)
            if match:
                rows[match[3], target.split(".")[-2], int(match[4])] = float(loss)
    sizes = sorted(found, key=lambda size: int(size[:-1]))
    mixtures = sorted(set.intersection(*({m for m, _, _ in found[s]} for s in sizes)))
    targets = tuple(sorted(set.intersection(*({t for _, t, _ in found[s]} for s in sizes))))
    shares = np.asarray([[float(v) for v in mixture.split("-")] for mixture in mixtures])
    out: dict[str, dict[int, Mixtures]] = {}
    for size in sizes:
        for step in sorted({s for _, _, s in found[size]}):
            rows = found[size]
            if all((m, t, step) in rows for m in mixtures for t in targets):
                losses = np.asarray([[rows[m, t, step] for t in targets] for m in mixtures])
                out.setdefault(size, {})[step] = Mixtures(shares=shares, losses=losses, targets=targets)
    return out


def scaling(packs: Path) -> dict[tuple[int, float], Table]:
    """(weights, tokens per weight over 20) -> losses of the three data sets on eight targets, with their item error."""
    rows: dict[tuple[int, float], dict[str, dict[str, tuple[float, float]]]] = {}
    for _, raw in members(packs / "m_scaling.tar.xz", r"/exp_data/models/.*\.json$"):
        model = json.loads(raw)
        shape = model["hyperparameters"]
        key = (int(shape["params"]), float(shape["chinchilla_multiplier"]))
        rows.setdefault(key, {})[model["dataset_name"]] = {
            re.sub(r"^.*eval_data/|/[^/]*$|val_tok_mult/", "", str(row["val_data"][0])): (
                row["loss"], (row["loss_sequences_upper_95"] - row["loss_sequences_lower_95"]) / (2 * 1.96))
            for row in model["results"]
        }  # fmt: skip
    return {key: _table(sets) for key, sets in sorted(rows.items()) if len(sets) == 3}


def pythia(packs: Path) -> dict[str, Table]:
    """Size -> five-shot error rates of the last checkpoint, of the models with and without deduplication (first release)."""
    last: dict[str, tuple[int, dict[str, tuple[float, float]]]] = {}
    for name, raw in members(packs / "m_pythia.tar.xz", r"/pythia-v0/pythia-[^/]*/five-shot/.*step\d+.*\.json$"):
        model, step = name.split("/pythia-v0/pythia-")[1].split("/")[0], int(name.rpartition("step")[2].split("_")[0])
        if step > last.get(model, (-1, {}))[0]:
            found = json.loads(raw)["results"]
            last[model] = step, {t: (1 - row["acc"], row["acc_stderr"]) for t, row in found.items() if "acc" in row}
    rows: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for model, (_, scores) in last.items():
        size, _, kind = model.partition("-")
        rows.setdefault(size, {})[kind or "whole"] = scores
    sizes = sorted((s for s in rows if len(rows[s]) == 2), key=lambda s: float(s[:-1]) * (1000 if s[-1] == "b" else 1))
    return {size: _table(rows[size]) for size in sizes}


def _table(rows: Mapping[str, Mapping[str, tuple[float, float]]]) -> Table:
    """Arms and the targets that all of them have."""
    arms = tuple(sorted(rows))
    targets = tuple(sorted(set.intersection(*(set(rows[a]) for a in arms))))
    both = np.asarray([[rows[a][t] for t in targets] for a in arms], dtype=np.float64)
    return Table(arms=arms, targets=targets, scores=both[..., 0], sd=both[..., 1])
