"""How much of an effect a bigram of the same tokens shows: what of a comparison is lexical match, and what is more.

Every run's own training tokens are counted into smoothed n-gram models (`ngram_scores`), which are scored on the same
targets. An arm whose bigram gains as much as its model does has shown that its words are the target's words, no more.
And a proxy that is not below that bigram has learned less than pairs of tokens: it ranks data by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from winnow.core.operators import Source
from winnow.core.terminal import percent
from winnow.trainers.compare.arms import BASELINE

ORDER = 2  # the order whose effects stand beside those of the models
NAMES = {1: "unigram", 2: "bigram", 3: "trigram"}
LEAST_EFFECTS = 3  # fewer have no correlation
MOSTLY = 0.9  # correlation above which the effects are told as lexical match
EVEN = 0.5  # below it they are told as something else
HINT = "give it more training: `proxy: small`"


def add(metrics: dict[str, Any], sources: Mapping[str, Source]) -> None:
    """Put `ngram` {order, mean_diff, explained} into every effect, and `lexical` into `metrics`.

    `sources` are `ngram_scores` by label/seed; of other learning rates and sizes the baseline's alone. `mean_diff` is
    the bigram's effect in bits per byte, `explained` its share of the model's (1: as large; below 0: the other sign),
    null where the model's own interval, for these selections, holds zero. `lexical` has per target the baseline's bits
    per byte at order 1, 2, 3 (`ngrams`), the model's (`proxy`) and how far it is `below` the bigram (a share of it);
    over all effects of arms the correlation `r` and its square `r2`, null for fewer than three.
    """
    if not sources:
        return
    counted = {key: source.result() for key, source in sources.items()}
    targets = [t for t in metrics["targets"] if t in counted[f"{BASELINE}/0"]["targets"]]
    for part in ("arms", "aa", "stopped"):
        for label, arm in metrics.get(part, {}).items():
            for target, row in arm["effects"].items():
                row["ngram"] = _beside(row, counted, label, target) if target in targets else None
    metrics["lexical"] = {
        "order": ORDER,
        "targets": {t: _baseline(metrics, counted, t) for t in targets},
        "tokens": [sum(row[key] for row in counted.values()) for key in ("counted", "tokens")],
        **_agreement(metrics),
    }


def _beside(row: Mapping[str, Any], counted: Mapping[str, Any], label: str, target: str) -> dict[str, Any] | None:
    """The bigram's effect over the seeds of an arm's row."""
    keys = [(f"{label}/{seed}", f"{BASELINE}/{seed}") for seed in range(row["n"])]
    if not all(key in counted for pair in keys for key in pair):
        return None
    pairs = [[counted[key]["targets"][target][ORDER - 1] for key in pair] for pair in keys]
    mean = float(np.mean([arm - baseline for arm, baseline in pairs]))
    answers = (row.get("selection") or {}, row)  # the bigram counts these documents: where they have an answer, theirs
    low, high = next(((a["low"], a["high"]) for a in answers if a.get("low") is not None), (None, None))
    clear = low is not None and high is not None and not low <= 0 <= high
    return {"order": ORDER, "mean_diff": mean, "explained": mean / row["mean_diff"] if clear else None}


def _baseline(metrics: Mapping[str, Any], counted: Mapping[str, Any], target: str) -> dict[str, Any]:
    runs = [counted[f"{BASELINE}/{seed}"]["targets"][target] for seed in range(metrics["seeds"])]
    ngrams = [float(value) for value in np.mean(runs, axis=0)]
    proxy = float(np.mean(metrics["baseline"]["scores"][target]))
    return {"ngrams": ngrams, "proxy": proxy, "below": 1 - proxy / ngrams[ORDER - 1]}


def _agreement(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """`r` and `r2` of the bigram's effects with the models', over arms x targets; controls are no effects."""
    rows = [row for arm in metrics["arms"].values() for row in arm["effects"].values() if row.get("ngram")]
    pairs = np.array([[row["mean_diff"], row["ngram"]["mean_diff"]] for row in rows]).reshape(-1, 2)
    told: dict[str, Any] = {"effects": len(rows), "r": None, "r2": None}
    if len(rows) >= LEAST_EFFECTS and (pairs.std(axis=0) > 0).all():
        r = float(np.corrcoef(pairs.T)[0, 1])
        told |= {"r": r, "r2": r * r}
    return told


def lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Lines for a terminal: the bigram's effect beside each of the models', and one on all of them."""
    lexical = metrics.get("lexical")
    if not lexical:
        return
    name = NAMES[lexical["order"]]
    yield f"a {name} of the same tokens: its effect, and its share of the model's"
    for label, arm in {**metrics["arms"], **metrics["aa"]}.items():
        for target, row in arm["effects"].items():
            if row.get("ngram"):
                share = row["ngram"]["explained"]
                shown = "" if share is None else f"{percent(share, 0):>7}"
                yield f"  {label:<13} {target:<13} {row['ngram']['mean_diff']:>+8.3f}{shown}"
    for target, row in lexical["targets"].items():
        each = ", ".join(f"{NAMES[i + 1]} {value:.3f}" for i, value in enumerate(row["ngrams"]))
        yield f"  baseline on {target}: model {row['proxy']:.3f}, {each}"
    if lexical["r"] is not None:
        r, r2 = lexical["r"], lexical["r2"]
        yield f"  over {lexical['effects']} effects r = {r:.3f}, r^2 = {r2:.3f}: {_reading(r)}"


def _reading(r: float) -> str:
    if r >= MOSTLY:
        return "what is measured is mostly lexical match"
    if r >= EVEN:
        return "lexical match is a part of what is measured"
    return "what is measured is little of lexical match"


def notes(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Remarks: a proxy that is not below its bigram, other learning rates at which none is, tokens left uncounted."""
    name, *changed = metrics.get("proxy") or [""]
    if changed:
        yield f"proxy {name} with {'; '.join(changed)}: its stated price and its distance to a bigram are another's"
    lexical = metrics.get("lexical")
    if not lexical:
        return
    for target, row in lexical["targets"].items():
        yield from _not_below(target, row, lexical["order"])
    arms = metrics["arms"].items()
    bare = [k for k, arm in arms if "policy" in arm and not any(row["ngram"] for row in arm["effects"].values())]
    if bare:
        yield (f"no n-grams stand beside {', '.join(bare)}: what a policy weighs or reads by a model is known when it "
               "has trained, so how much of such an effect is lexical match is not told")  # fmt: skip
    counted, tokens = lexical["tokens"]
    if counted < tokens:
        yield (f"n-grams: {counted:,} of {tokens:,} training tokens are counted, the first of each run, so the "
               "n-grams are worse than all tokens would make them")  # fmt: skip
    for factor, row in lexical.get("rates", {}).items():
        yield from (f"at {factor}x the learning rates: {told}" for told in _untrained(row))
    for size, row in lexical.get("scales", {}).items():
        yield from (f"size {size}: {told}" for told in _untrained(row))


def _not_below(target: str, row: Mapping[str, Any], order: int) -> Iterator[str]:
    bound = row["ngrams"][order - 1]
    if row["proxy"] >= bound:
        yield (f"the proxy is not below a {NAMES[order]} on {target}: {row['proxy']:.3f} against {bound:.3f} bits per "
               f"byte, so it ranks data by little more than their words; {HINT}")  # fmt: skip


def _untrained(rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Of another way to train: where its baseline is not below the unigram it is untrained, else by the bigram."""
    for target, row in rows.items():
        for order in (1, ORDER):
            proxy, bound = row["proxy"], row["ngrams"][order - 1]
            if proxy >= bound:
                yield (f"untrained on {target}, {proxy:.3f} bits per byte against {bound:.3f} of a {NAMES[order]}: "
                       "what it ranks says little")  # fmt: skip
                break


def add_variants(metrics: dict[str, Any], variants: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Put the baselines of other learning rates and sizes into `lexical`: {"rates": {factor: their metrics}, ...}."""
    if "lexical" not in metrics:
        return
    for part, found in variants.items():
        told = {name: one["lexical"]["targets"] for name, one in found.items() if "lexical" in one}
        metrics["lexical"] |= {part: told} if told else {}
