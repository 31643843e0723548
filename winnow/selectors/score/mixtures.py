"""Mixtures: shares of a budget per domain, as weights of documents."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from winnow.core.errors import ConfigError, DataError
from winnow.core.numerics import budget_cut, row_ranks, selections
from winnow.core.numerics.budget_cut import Group, Targets, Totals
from winnow.core.numerics.row_ranks import Ranks
from winnow.core.numerics.selections import columns_of
from winnow.core.numerics.water_filling import apportion, exact_shares, water_fill
from winnow.core.operators import Context, Fit, Schema, port
from winnow.core.operators.budget import Budget
from winnow.selectors.score import mixing
from winnow.selectors.score.quota import check_repeats, group_weights
from winnow.selectors.score.ranking import MOST_NOTED_GROUPS, Ranked, cut, lots

Shares = Literal["unimax", "temperature", "alpha", "proportional", "equal"] | dict[str, float]
OTHER = "other"
WEIGHTS = "weights.json"


@dataclass(frozen=True, kw_only=True)
class Mixture(Ranked):
    """A budget mixed from the values of a column, with a cap on repeats: `kept`, and `weight`, the times used.

    `shares` says what each value of `per` gets: `unimax` or `equal` the same for all, `temperature`
    size^(1 / temperature), `alpha` size^alpha (an exponent: what papers call alpha 1.3 is a temperature),
    `proportional` its size, or `{value: share}` (others nothing). `weights_from` names a stage instead whose result
    holds `weights` ({value: share}), as `doremi`. Several columns in `per` make values such as `news | high`, and
    values that hold less than `least` (in the budget's unit) join the value `other`. A value gets at most
    `max_repeats` times what it holds. What it cannot take goes to the others in proportion to their shares
    (`overflow: share`: that makes `equal` UniMax), or stays unused (`overflow: leave`). A value that gets less than
    it holds is drawn by lot, or best first by `by`, with weight 1; one that gets more has all its documents with
    weights above 1, multiples of 2^-20 (`write` with `repeat: weight` follows them). Documents without a value, a
    cost or a score are not kept and are counted.

    The metric `domains` has size, share and epochs wanted of each value, `epochs` the epochs used; `over_cap` names
    the values whose share asked for more repeats than the cap.

    Raises:
        DataError: the result named by `weights_from` has no shares.
    Cost: 3 or 4 passes over the column and the cost.
    Source: UniMax (Chung et al. 2023), temperature sampling as in mBERT and XLM; the cap of 4 own.
    """

    name: ClassVar[str] = "mixture"
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("by", "per")

    per: tuple[str, ...]
    budget: Budget
    shares: Shares = "unimax"
    temperature: float = 1.0
    alpha: float = 1.0
    least: int = 0
    weights_from: str = port("ref", default="")
    max_repeats: float = 4.0
    overflow: Literal["share", "leave"] = "share"
    by: str | None = None
    descending: bool = True
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """doc_id, the domains, the score if there is one, and what the budget counts."""
        return columns_of(*([self.by] if self.by else []), *selections.cost_columns(self.budget.unit), *self.per)

    def validate(self) -> None:
        """Raise ConfigError without domains, for impossible shares, or repeats below 1."""
        selections.check_budget(self.budget)
        if not self.per:
            raise ConfigError("no domains", where="per", hint="name the column whose values get shares")
        if isinstance(self.shares, dict):
            exact_shares(list(self.shares.values()))
            if not any(self.shares.values()):
                raise ConfigError("all shares are 0", where="shares", hint="give `value: share`")
        if not self.temperature > 0:
            raise ConfigError(f"temperature is {self.temperature}, and must be above 0", where="temperature")
        if not 0 <= self.alpha < float("inf"):
            raise ConfigError(f"alpha is {self.alpha}, and must be 0 (even) or more", where="alpha")
        for name in ("temperature", "alpha"):
            if getattr(self, name) != 1.0 and self.shares != name:
                raise ConfigError(f"`{name}` without `shares: {name}`", where=name)
        if self.least < 0:
            raise ConfigError(f"least is {self.least}, and must be 0 or more", where="least")
        if self.weights_from and self.shares != "unimax":
            raise ConfigError("`shares` and `weights_from` are two answers", where="weights_from", hint="give one")
        check_repeats(self.max_repeats)

    def ranks(self, rows: pl.DataFrame, ctx: Context) -> Ranks:
        """By score, then doc_id, or by lot, within the domain."""
        cost = selections.cost_of(rows, self.budget.unit)
        if not self.by:
            return lots(rows, ctx, f"mixture\0{self.salt}", cost=cost, per=self.per)  # not `random`'s
        group = row_ranks.labels(rows, self.per)
        return row_ranks.by_score(rows[self.by], rows["doc_id"], cost, descending=self.descending, group=group)

    def advance(self, summary: pl.DataFrame, state: pl.DataFrame | None, ctx: Context) -> tuple[pl.DataFrame, bool]:
        """Narrower ranges, or the cuts."""
        found = self._found(ctx)
        after, done = cut(summary, state, self._targets(found, ctx), ctx)
        self.tell(summary, state, after if done else None, ctx)
        return after, done

    def report(self, state: pl.DataFrame, ctx: Context) -> None:
        """Note what came out, per domain too."""
        super().report(state, ctx)
        weights = group_weights(state)
        first = state.filter(pl.col("cut") == 0).head(MOST_NOTED_GROUPS)
        used = {
            group or "": weights[group] * kept / cost if cost else 0.0
            for group, cost, kept in first.select("group", "cost", "kept_cost").iter_rows()
        }
        ctx.note("epochs", used)

    def decide(self, rows: pl.DataFrame, state: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Rows before their domain's cut with the weight of the domain."""
        ranks = self.ranks(rows, ctx)
        weights = group_weights(state)
        assert ranks.group is not None
        times = ranks.group.replace_strict(weights, default=0.0, return_dtype=pl.Float64).fill_null(0.0).to_numpy()
        return selections.by_weight(np.where(budget_cut.tiers(ranks, state) == 0, times, 0.0))

    def wanted(self, sizes: dict[Group, int], found: dict[str, float] | None) -> dict[Group, Fraction]:
        """Domain -> its share, adding up to 1 over the domains that exist."""
        given = found if found is not None else self.shares if isinstance(self.shares, dict) else None
        if given is not None:
            heights = [given.get(group or "", 0.0) for group in sizes]
        elif self.shares in ("temperature", "alpha"):
            tau = self.temperature if self.shares == "temperature" else 1 / self.alpha if self.alpha else float("inf")
            heights = mixing.temperature(list(sizes.values()), tau)
        else:
            heights = [float(size) if self.shares == "proportional" else float(size > 0) for size in sizes.values()]
        shares = exact_shares(heights)
        total = sum(shares, Fraction(0)) or Fraction(1)
        return {group: share / total for group, share in zip(sizes, shares, strict=True)}

    def _found(self, ctx: Context) -> dict[str, float] | None:
        if not self.weights_from:
            return None
        given = ctx.ref("weights_from").result().get("weights")
        if not isinstance(given, dict) or not any(given.values()):
            hint = 'it must hold {"weights": {value: share}}, as that of `doremi`'
            raise DataError("the result has no shares", where="weights_from", hint=hint)
        exact_shares([float(share) for share in given.values()])
        return {str(value): float(share) for value, share in given.items()}

    def _targets(self, found: dict[str, float] | None, ctx: Context) -> Targets:
        def targets(totals: Totals) -> dict[Group, list[int]]:
            held = totals.of("cost")
            joined = pooled(held, self.least)
            sizes = {value: sum(held[group] for group in groups) for value, groups in joined.items()}
            shares, budget = self.wanted(sizes, found), self.budget.of(totals.all_rows)
            self._note(sizes, shares, budget, found, ctx)
            (times,) = exact_shares([self.max_repeats])
            most = {group: int(size * times) for group, size in held.items()}
            caps = [sum(most[group] for group in groups) for groups in joined.values()]
            if self.overflow == "leave":
                amounts = [min(a, m) for a, m in zip(apportion(budget, list(shares.values())), caps, strict=True)]
            else:
                amounts = _filled(caps, budget, list(shares.values()))
            out: dict[Group, list[int]] = {}
            for groups, amount in zip(joined.values(), amounts, strict=True):
                parts = water_fill([most[group] for group in groups], amount, [held[group] for group in groups])
                out |= {group: [part] for group, part in zip(groups, parts, strict=True)}
            return out

        return targets

    def _note(
        self, sizes: dict[Group, int], shares: dict[Group, Fraction], budget: int,
        found: dict[str, float] | None, ctx: Context,
    ) -> None:  # fmt: skip
        """Note the shares, the epochs they imply, the domains over the cap and the shares that found nothing."""
        epochs = {group: float(shares[group] * budget / size) if size else 0.0 for group, size in sizes.items()}
        shown = list(sizes)[:MOST_NOTED_GROUPS]
        ctx.note("domains", {g or "": {"size": sizes[g], "share": float(shares[g]), "epochs_wanted": epochs[g]}
                             for g in shown})  # fmt: skip
        over = sorted(g or "" for g, e in epochs.items() if e > self.max_repeats)
        ctx.note("over_cap", over[:MOST_NOTED_GROUPS])
        if over:
            names = ", ".join(over[:3]) + (" ..." if len(over) > 3 else "")
            ctx.note("warning", f"{names}: the share asks for more than {self.max_repeats:g} repeats; capped")
        given = found if found is not None else self.shares
        ctx.note("absent", sorted(set(given) - set(sizes)) if isinstance(given, dict) else [])


def pooled(held: dict[Group, int], least: int) -> dict[Group, list[Group]]:
    """Value -> the groups behind it: itself, or for `other` all that hold less than `least`."""
    out: dict[Group, list[Group]] = {}
    for group, size in held.items():
        out.setdefault(OTHER if size < least else group, []).append(group)
    return out


def _filled(most: list[int], budget: int, shares: list[Fraction]) -> list[int]:
    """Water-filling by exact shares."""
    return water_fill(most, budget, shares)  # type: ignore[arg-type]  # fractions stay exact


@dataclass(frozen=True, kw_only=True)
class Doremi(Fit):
    """Shares of domains by where a proxy model has most to learn: the result's `weights`, adding up to 1.

    Every document has a loss of a reference model and of a proxy model that saw more or other training (sums over
    the document, nats or bits) and a length. Its excess is max(0, proxy - reference), per unit of length. The
    documents are dealt by lot into `steps` batches; each batch raises the shares of the domains with excess loss,
    softmax(log share + eta * excess), less `smoothing` spread over all; the weights are the average over all steps.
    A domain that is absent from a batch keeps its last excess. Give the stage to `mixture` as `weights_from`.

    With losses of a fixed proxy this is the update rule of DoReMi, not its training run: the proxy does not react
    to the shares. Clipping at 0 is per document here, per token there. Documents without a value of `per`, a loss
    or a length above 0 are left out and counted.

    Raises:
        DataError: no document has all of them, or a loss is infinite.
    Cost: one pass; losses of all documents in memory.
    Source: DoReMi (Xie et al. 2023); smoothing 1e-4 in its code, 1e-3 from memory for the paper; batches by lot own.
    """

    name: ClassVar[str] = "doremi"
    role: ClassVar[str] = "scorer"
    seeded: ClassVar[bool] = True
    columns_from: ClassVar[tuple[str, ...]] = ("per", "proxy", "reference", "length")

    per: tuple[str, ...]
    proxy: str
    reference: str
    length: str = "token_count"
    steps: int = 200
    eta: float = 1.0
    smoothing: float = 1e-3
    salt: str = ""

    def needs(self) -> tuple[str, ...]:
        """doc_id, the domains, both losses and the length."""
        return columns_of(self.proxy, self.reference, self.length, *self.per)

    def validate(self) -> None:
        """Raise ConfigError without domains, for no steps, or a step that is none."""
        if not self.per:
            raise ConfigError("no domains", where="per", hint="name the column whose values get shares")
        if self.steps < 1:
            raise ConfigError(f"{self.steps} steps", where="steps", hint="1 or more")
        if not 0 <= self.smoothing < 1:
            raise ConfigError(f"smoothing is {self.smoothing}, and lies in [0, 1)", where="smoothing")
        if not 0 < self.eta < float("inf"):
            raise ConfigError(f"eta is {self.eta}, and must be above 0", where="eta")

    def check_types(self, types: Schema) -> None:
        """Raise ConfigError where a loss or the length is no number."""
        for field in ("proxy", "reference", "length"):
            kind = types[getattr(self, field)]
            if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
                raise ConfigError(f"{getattr(self, field)!r} is {kind}, not a number", where=field)

    def sample(self, rows: pl.DataFrame, ctx: Context) -> pl.DataFrame:
        """Domain, step, excess and length of the documents that have them."""
        from winnow.core.numerics import rng

        step = rng.keys(rows["doc_id"], seed=ctx.seed, salt=f"doremi\0{self.salt}") % np.uint64(self.steps)
        loss = pl.col(self.proxy).cast(pl.Float64) - pl.col(self.reference).cast(pl.Float64)
        found = rows.select("doc_id", loss.alias("excess"), pl.col(self.length).cast(pl.Int64).alias("length"))
        labels = row_ranks.labels(rows, self.per)
        assert labels is not None
        return found.with_columns(labels.alias("domain"), pl.Series("step", step.astype(np.int64)))

    def fit(self, sample: pl.DataFrame, ctx: Context) -> dict[str, Any]:
        """Write the weights and return them; also how often and how far domains are in excess."""
        import orjson

        known = sample.filter(
            pl.col("domain").is_not_null() & pl.col("excess").is_not_null() & pl.col("excess").is_not_nan()
            & (pl.col("length") > 0)
        )  # fmt: skip
        if not known.height:
            raise DataError("no document has a domain, two losses and a length", where="per")
        most = float(known["excess"].max())  # type: ignore[arg-type]
        if known["excess"].is_infinite().any() or most * known.height >= 2.0**42:
            raise DataError(f"a loss is infinite or too large to be one: an excess of {most:g}", where="proxy")
        names = sorted(known["domain"].unique())
        table = self._table(known, names)
        shares = mixing.doremi(table, eta=self.eta, smoothing=self.smoothing)
        weights = dict(zip(names, shares.tolist(), strict=True))
        (ctx.work / WEIGHTS).write_bytes(orjson.dumps({"weights": weights}, option=orjson.OPT_SORT_KEYS))
        return {"weights": weights, "documents": known.height, "left_out": sample.height - known.height}

    def _table(self, known: pl.DataFrame, names: list[str]) -> np.ndarray:
        """Excess per unit of length, f64[steps, domains]; NaN where no document is; sums in units of 2^-20."""
        units = (known["excess"].clip(lower_bound=0.0).to_numpy() * 2.0**20).round().astype(np.int64)
        number = known["domain"].replace_strict({n: i for i, n in enumerate(names)}, return_dtype=pl.Int64)
        sums = known.select("step", "length", number.alias("at"), pl.Series("units", units))
        sums = sums.group_by("step", "at").agg(pl.col("units", "length").sum())
        table = np.full((self.steps, len(names)), np.nan)
        table[sums["step"].to_numpy(), sums["at"].to_numpy()] = (
            sums["units"].to_numpy() * 2.0**-20 / sums["length"].to_numpy()
        )
        return table
