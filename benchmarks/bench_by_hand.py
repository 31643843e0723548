"""What winnow writes by hand beside the library that could serve: CPU seconds of both, one line each.

python benchmarks/bench_by_hand.py
"""

from __future__ import annotations

import io
import random
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

KERNEL = """
import sys, time
from winnow.core import quick_start
if sys.argv[1] == "plain":
    quick_start.quick_numba = lambda: None
begun = time.process_time()
import numpy as np
from winnow.core.words.hashing import hash_rows
hash_rows(np.array([0, 1, 2]), np.frombuffer(b"ab", np.uint8), 1)
print(time.process_time() - begun)
"""
NASTY = "ab'\"\\:#{}[],&*!|>@` \t\n\r\x00\x1f\x7f\x85\xa0\u2028\ufeff\U0001f600-?0e1.~"


def main() -> None:
    """Print every comparison."""
    for kind in ("plain", "quick"):
        print(f"first kernel, {kind}: {min(first_kernel(kind) for _ in range(4)):.2f} s")
    print("64 MB, new: {:.1f} to {:.1f} ms; used again: {:.1f} ms".format(*memory()))
    print("components: {:.2f} s; scipy: {:.2f} s".format(*graph()))
    print("YAML: {:.2f} ms; ruamel.yaml: {:.2f} ms".format(*yaml_seconds()))
    print("texts that are not read back, of 3,000: {}; ruamel.yaml: {}".format(*yaml_losses()))
    print("Muon, float32: {:.1f} ms; bfloat16: {:.1f} ms; torch, bfloat16: {:.1f} ms".format(*muon()))


def seconds(call: Callable[[], object], repeats: int = 1) -> float:
    """CPU seconds of one call."""
    begun = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - begun) / repeats


def first_kernel(kind: str) -> float:
    """CPU seconds from an empty process to a kernel's first answer."""
    done = subprocess.run([sys.executable, "-c", KERNEL, kind], capture_output=True, text=True, check=True)
    return float(done.stdout)


def memory() -> tuple[float, float, float]:
    """Milliseconds to fill 64 MB: new memory (least, most), a block that was used before."""
    from winnow.core.store.reuse import used_again

    size = 64 << 20
    new = [seconds(lambda: np.empty(size, np.uint8).fill(1)) for _ in range(9)]
    used_again(size).fill(1)
    again = min(seconds(lambda: used_again(size).fill(1)) for _ in range(9))
    return 1e3 * min(new), 1e3 * max(new), 1e3 * again


def graph() -> tuple[float, float]:
    """Seconds for the smallest row of every component: 5 million rows, half as many edges."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    from winnow.core.numerics.components import components

    rows = 5_000_000
    rng = np.random.default_rng(1)
    left = rng.integers(0, rows, rows // 2)
    right = np.minimum(left + rng.integers(1, 50, rows // 2), rows - 1)
    components(1, left[:0], right[:0])

    def by_scipy() -> np.ndarray:
        matrix = coo_matrix((np.ones(len(left), bool), (left, right)), shape=(rows, rows))
        count, labels = connected_components(matrix, directed=False)
        first = np.full(count, rows)
        np.minimum.at(first, labels, np.arange(rows))
        return first[labels]

    assert (components(rows, left, right) == by_scipy()).all()
    return seconds(lambda: components(rows, left, right)), seconds(by_scipy)


def ruamel_text(value: object) -> str:
    """A value in ruamel.yaml's flow style, on one line."""
    from ruamel.yaml import YAML

    yaml, stream = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = True, 1 << 30, False
    yaml.dump(value, stream)
    return stream.getvalue()


def yaml_seconds() -> tuple[float, float]:
    """Milliseconds for the recipe of seven stages."""
    import winnow as w
    from winnow.dags.recipe.yaml_writer import yaml_of

    rows = w.read("raw/*.jsonl").signals().filter(keep={"long": "word_count > 3"}).minhash().random(tokens="5M").write()
    recipe = rows.recipe()
    stages = {s.name: {"use": s.use, "inputs": list(s.inputs), **s.config} for s in recipe.stages}
    ruamel_text(stages)
    return 1e3 * seconds(lambda: yaml_of(recipe), 50), 1e3 * seconds(lambda: ruamel_text(stages), 50)


def yaml_losses() -> tuple[int, int]:
    """How many of 3,000 random texts are not read back as they were."""
    from pathlib import Path

    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    from winnow.dags.recipe.yaml_recipe import Recipe, StageSpec, parse_recipe
    from winnow.dags.recipe.yaml_writer import yaml_of

    rng, ours, theirs = random.Random(1), 0, 0
    for _ in range(3000):
        config = {"text": "".join(rng.choice(NASTY) for _ in range(rng.randint(0, 6))), "last": 1}
        recipe = Recipe(name="a", folder=Path(), stages=(StageSpec(name="a", use="a", config=config),))
        ours += parse_recipe(yaml_of(recipe), name="a", folder=Path()).stages[0].config != config
        try:
            theirs += YAML(typ="safe", pure=True).load(ruamel_text(config)) != config
        except YAMLError:
            theirs += 1
    return ours, theirs


def muon() -> tuple[float, float, float]:
    """Milliseconds of a step over the twelve matrices of a small model, on one thread."""
    import torch

    from winnow.trainers.model.muon import Muon

    torch.set_num_threads(1)

    def matrices() -> list[torch.nn.Parameter]:
        out = [torch.nn.Parameter(torch.randn(s)) for s in ((288, 96), (96, 96), (384, 96), (96, 384)) * 3]
        for weight in out:
            weight.grad = torch.randn_like(weight)
        return out

    steps = [Muon(matrices(), dtype=dtype).step for dtype in (torch.float32, torch.bfloat16)]
    steps = [partial(step, 0.02) for step in steps] + [torch.optim.Muon(matrices(), lr=0.02, weight_decay=0.0).step]
    for step in steps:
        step()
    one, two, three = (1e3 * min(seconds(step, 5) for _ in range(10)) for step in steps)
    return one, two, three


if __name__ == "__main__":
    main()
