"""How well fits of mixtures predict published runs that they did not see: the tables of docs/mixtures.md.

    python benchmarks/bench_mixing_laws.py --packs FOLDER     # m_regmix.tar.xz and m_mixinglaws.tar.xz lie there

RegMix (Liu et al. 2024): 512 models of 1M parameters to fit on, 256 others, and those mixtures again at 60M. Mixing laws
(Ye et al. 2024): mixtures of 3 and 5 domains at several model sizes, cross-validated over mixtures at one step.
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from winnow.trainers.mixing.crossvalidate import left_out, quality, rank_correlation
from winnow.trainers.mixing.exponential import fit_law
from winnow.trainers.mixing.trees import fit_plane, fit_trees

TARGET = "metric/the_pile_pile_cc_val_loss"
FITS: dict[str, Callable] = {"trees": fit_trees, "plane": fit_plane, "exponential law": fit_law}


def published(settings: dict[str, float]) -> Callable:
    """Boosted trees with other numbers: those of the published code."""
    import lightgbm

    def fit(shares, losses):
        options = {"objective": "regression", "verbosity": -1, "seed": 0, "num_threads": 1, "deterministic": True}
        booster = lightgbm.train({**options, "learning_rate": settings["rate"]}, lightgbm.Dataset(shares, losses),
                                 int(settings["rounds"]))  # fmt: skip
        return lambda at: booster.predict(at, num_threads=1)

    return fit


def regmix(packs: Path) -> None:
    """Ranks of the 256 runs that were not fitted, at two sizes."""
    with tarfile.open(packs / "m_regmix.tar.xz") as tar:
        tables = {name: pl.read_csv(io.BytesIO(tar.extractfile(f"m_regmix/data/{name}.csv").read()))  # type: ignore[union-attr]
                  for name in ("train_mixture_1m", "train_pile_loss_1m", "test_mixture_1m", "test_pile_loss_1m",
                               "test_mixture_60m", "test_pile_loss_60m")}  # fmt: skip
    shares = {name: table.drop("index").to_numpy() for name, table in tables.items() if "mixture" in name}
    losses = {name: table for name, table in tables.items() if "loss" in name}
    assert (shares["test_mixture_1m"] == shares["test_mixture_60m"]).all()
    kinds = {**FITS, "trees, 1,000 rounds at 0.01": published({"rate": 0.01, "rounds": 1_000})}
    print(
        f"RegMix: {len(shares['train_mixture_1m'])} runs to fit on, rank correlation on {len(shares['test_mixture_1m'])}"
    )
    for label, fit in kinds.items():
        begun = time.perf_counter()
        law = fit(shares["train_mixture_1m"], losses["train_pile_loss_1m"][TARGET].to_numpy())
        predicted = law(shares["test_mixture_1m"])
        rho = [
            rank_correlation(predicted, losses[f"test_pile_loss_{size}"][TARGET].to_numpy()) for size in ("1m", "60m")
        ]
        print(f"  {label:<28} Pile-CC  1M {rho[0]:.3f}  60M {rho[1]:.3f}  {time.perf_counter() - begun:.1f} s")
    each = {}
    for target in losses["train_pile_loss_1m"].columns[1:]:
        law = fit_trees(shares["train_mixture_1m"], losses["train_pile_loss_1m"][target].to_numpy())
        predicted = law(shares["test_mixture_1m"])
        each[target] = [rank_correlation(predicted, losses[f"test_pile_loss_{size}"][target].to_numpy())
                        for size in ("1m", "60m")]  # fmt: skip
    for at, size in enumerate(("1M", "60M")):
        values = [rho[at] for rho in each.values()]
        print(f"  trees, all {len(each)} targets: {size} {min(values):.3f} to {max(values):.3f}")


def laws(packs: Path) -> None:
    """Relative errors of mixtures that were left out, at the last step that all runs have."""
    print("Mixing laws: mean relative error of mixtures left out (5 folds), beside that of their mean")
    with tarfile.open(packs / "m_mixinglaws.tar.xz") as tar:
        for name in ("3Mix/70M", "3Mix/160M", "5Mix/70M", "5Mix/160M", "5Mix/305M"):
            text = tar.extractfile(f"m_mixinglaws/data/{name}.txt").read().decode()  # type: ignore[union-attr]
            shares, losses, step, targets = at_last_step(text)
            if len(shares) < shares.shape[1] + 3:
                print(f"  {name}: {len(shares)} mixtures at step {step}: too few")
                continue
            found = []
            for number in range(len(targets)):
                predicted, mean = left_out(fit_law, shares, losses[:, number], folds=5, seed=0)
                found.append((quality(predicted, losses[:, number], mean),
                              float(np.mean(np.abs(mean - losses[:, number]) / losses[:, number]))))  # fmt: skip
            error, of_mean = (float(np.mean(x)) for x in ([q.relative_error for q, _ in found], [m for _, m in found]))
            rho = [q.spearman for q, _ in found if q.spearman is not None]
            print(f"  {name:<10} {len(shares)} mixtures, {len(targets)} targets, step {step}: {error:.2%} (mean: {of_mean:.2%}), "
                  f"rank correlation {min(rho):.2f} to {max(rho):.2f}")  # fmt: skip


def at_last_step(text: str) -> tuple[np.ndarray, np.ndarray, int, list[str]]:
    """(shares, losses, step, targets) of the mixtures at the step that most of them have, the last of such."""
    rows: dict[tuple[str, int], dict[str, float]] = {}
    for line in text.splitlines():
        run, target, loss = line.split("\t")
        name, step = run.rsplit("/", 2)[1:]
        if not step.isdigit():  # `last`: a step that is there by its number too
            continue
        rows.setdefault((name, int(step)), {})[target.rsplit(".", 2)[1]] = float(loss)
    targets = sorted({target for row in rows.values() for target in row})
    whole = {key: row for key, row in rows.items() if len(row) == len(targets)}
    held: dict[int, list[str]] = {}
    for name, step in whole:
        held.setdefault(step, []).append(name)
    step = max(held, key=lambda s: (len(held[s]), s))
    names = sorted(held[step])
    shares = np.asarray([[float(x) for x in name.split("-")[1:]] for name in names])
    return (
        shares / shares.sum(axis=1, keepdims=True),
        np.asarray([[whole[n, step][t] for t in targets] for n in names]),
        step,
        targets,
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("PACKS", Path(__file__).parents[2] / "shared/data/packs")
    parser.add_argument("--packs", type=Path, default=Path(default))
    packs = parser.parse_args().packs
    regmix(packs)
    laws(packs)


if __name__ == "__main__":
    main()
