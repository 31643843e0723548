"""A result of the check as the table of docs/benchmarks.md, between its two marks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.budget import ROOT
from benchmarks.gpu_check.verdict import decided

PAGE = ROOT / "docs/benchmarks.md"
MARKS = re.compile(r"(<!-- figures: gpu-check -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def fill(result: Mapping[str, Any], page: Path = PAGE) -> str:
    """Put the figures of a result into the page; what was done, in a sentence.

    Raises:
        SystemExit: they are of a small run, or the page has no place for them.
    """
    if result["small"]:
        raise SystemExit(f"a small run on {result['device']}: none of its figures says anything of a GPU")
    text = page.read_text()
    if not MARKS.search(text):
        raise SystemExit(f"{page} has no part between `<!-- figures: gpu-check -->` and `<!-- end of figures -->`")
    table = "\n".join(lines(result))
    page.write_text(MARKS.sub(lambda marks: f"{marks[1]}{table}\n{marks[2]}", text))
    return f"{page}: figures of {result['date']}, {result['device']}"


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """A sentence on when and where, then a row per figure."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    cuda = f", CUDA {result['cuda']}" if result.get("cuda") else ""
    yield (f"{result['date']}, {result['device']}{cuda}, Python {result['python']}, {versions}; "
           f"{result['minutes']} minutes, commit {result['commit'] or 'unknown'}:")  # fmt: skip
    yield ""
    yield "| question | figure |"
    yield "|---|---|"
    for question, figure in rows(result["sections"]):
        yield f"| {question} | {figure} |"


def rows(sections: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(question, figure) of every section; what was not measured says so."""
    checks, compiled, screen = (sections[name] for name in ("checks", "compile", "screen"))
    yield "CUDA checks", _checks(checks)
    yield "largest difference of losses to the CPU, float32, nats", _difference(checks)
    yield "`torch.compile` at 30M: tokens per second without, with", _pair(compiled)
    yield "seconds until the first compiled step", _number(compiled["compile_s"], "{:.0f}")
    yield "arm-seeds of 30M x 10M tokens per GPU hour (aim: 100)", _number(screen["arm_seeds_per_hour"], "{:,.0f}")
    for section, how in (("utilisation", "text running on"), ("utilisation_packed", "packed documents")):
        for size in ("124M", "350M"):
            yield f"share of the bfloat16 peak at {size}, {how}", _utilisation(sections[section][size])
    published = sections["utilisation"].get("published", {}).get("nanochat")
    if published:
        low, high = published["mfu"]
        yield "nanochat, as published", f"{low:.0%} to {high:.0%} ({published['what']}; {published['source']})"
    yield from _verdicts(sections["verdict"])


def _checks(body: Mapping[str, Any]) -> str:
    if isinstance(body["passed"], str):
        return body["passed"]
    told = f"{body['passed']} of {body['checks']} pass"
    for result in ("failed", "skipped"):
        names = [name for name, value in body.items() if isinstance(value, dict) and value.get("result") == result]
        told += f"; {result}: {', '.join(names)}" if names else ""
    return told


def _difference(body: Mapping[str, Any]) -> str:
    found = [v for k, v in body.items() if k.startswith("equal_losses") and "difference" in v]
    if not found:
        return str(body["status"])
    return f"{max(v['difference'] for v in found):.1e} (bound {found[0]['bound']:g})"


def _pair(body: Mapping[str, Any]) -> str:
    both = (_number(body[name], "{:,.0f}") for name in ("plain_tokens_per_s", "compiled_tokens_per_s"))
    return ", ".join(both)


def _utilisation(figure: Any) -> str:
    if isinstance(figure, str):
        return figure
    told = "peak unknown" if figure["mfu"] is None else f"{figure['mfu']:.0%}"
    return f"{told}, {figure['tokens_per_s']:,} tokens per second, {figure['rows']} rows"


def _verdicts(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    question = "a selection (`fasttext`, `top_k`) against random, 30M, bits per byte"
    if isinstance(body["scores"], str):
        yield question, body["scores"]
        return
    for target, row in decided(body["scores"]).items():
        shown = f"{row['mean']:+.3f} ({row['low']:+.3f} .. {row['high']:+.3f})"
        tokens = f"{body['tokens']:,} tokens, {row['n']} seeds"
        yield f"{question}, on {target}", f"{shown} {row['verdict']}, for this selection; {tokens}"


def _number(value: Any, form: str) -> str:
    return value if isinstance(value, str) else form.format(value)
