"""`lm_nats` beside a bare batched forward pass: CPU seconds per token of both, same model, documents, head and thread.

    nice python benchmarks/bench_lm_nats.py --json lm_nats.json

The bare loop takes the same windows in order of their length, in padded batches of as many tokens, and does nothing but
the forward pass and the losses of the head: no windows, no sums, no columns. `share` is the loop's time over that of the
stage's work on token ids that lie there, the median over rounds, between the ends of its 95 % interval; `padding` what of the stage's forward passes was fill. Lengths are log-normal
(median 200 tokens), with one document of 100,000 among them. A folder's model is a random Llama of four layers.

    python benchmarks/bench_lm_nats.py --whole 10

measures instead what one document costs whole processes: `winnow run` of a recipe that scores 10 MB as one document, and
as documents of 2 kB, under a model of toy size that is trained before: their CPU seconds and their peak resident memory.
Words are made up, as often as Zipf has them. In turns, `--rounds` times; the median of each.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from turns import in_turns

from winnow.core.operators import Context
from winnow.trainers.evaluate.causal_nats import CausalTokens
from winnow.trainers.evaluate.gpt_nats import Gpt
from winnow.trainers.evaluate.model_nats import BATCH_ROWS, ModelNats, documents
from winnow.trainers.evaluate.target_windows import batches, hidden_of, plan_windows
from winnow.trainers.evaluate.token_nats import TokenNats
from winnow.trainers.model.causal_folder import Causal
from winnow.trainers.model.device import Machine, computing, product_type
from winnow.trainers.model.head import Workspace, token_nats
from winnow.trainers.model.initialise import build
from winnow.trainers.model.sizes import shape_of


def pool(vocab: int, *, rows: int, giant: int) -> pl.DataFrame:
    """Documents in token ids, one of them `giant`."""
    draw = np.random.Generator(np.random.Philox(key=1))
    lengths = np.exp(draw.normal(np.log(200), 1.0, rows)).astype(int) + 1
    lengths[rows // 2] = giant
    ids = [draw.integers(0, vocab - 1, n).tolist() for n in lengths]
    return pl.DataFrame({"tokens": pl.Series(ids, dtype=pl.List(pl.UInt32)), "text_bytes": 4 * lengths})


class Given(ModelNats):
    """The stage's own work on a model that is given."""

    given: TokenNats

    def model(self, ctx: Context) -> TokenNats:
        """The given one."""
        return self.given


def bare_gpt(model: Any) -> Callable[[Any, Any, Any], None]:
    """Forward pass and losses of a batch, straight from the model."""
    import torch

    space = Workspace(model.shape.vocab, dtype=product_type("auto"))

    def run(inputs: Any, counts: Any, answers: Any) -> None:
        with torch.no_grad():
            hidden = hidden_of(model, inputs, precision="auto")[torch.from_numpy(counts)]
            token_nats(hidden, model.head.weight, torch.from_numpy(answers), workspace=space)

    return run


def bare_causal(model: Any) -> Callable[[Any, Any, Any], None]:
    """Logits and cross-entropy of a batch, as one writes it."""
    import torch

    def run(inputs: Any, counts: Any, answers: Any) -> None:
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(inputs), use_cache=False).logits[torch.from_numpy(counts)]
            torch.nn.functional.cross_entropy(logits.float(), torch.from_numpy(answers), reduction="none")

    return run


def measured(
    model: TokenNats, bare: Callable[[Any, Any, Any], None], rows: pl.DataFrame, rounds: int
) -> dict[str, Any]:
    """Tokens per CPU second of the stage and of the bare loop, and the share."""
    operator = object.__new__(Given)
    for name, value in {"measures": ("nll", "bits_per_byte"), "context": 0, "stride": 0, "top_k": 10,
                        "least_learnable": 16, "given": model}.items():  # fmt: skip
        object.__setattr__(operator, name, value)
    ctx = Context(seed=0, work=Path(), counts={})
    columns = operator.open(ctx)
    target = documents(rows)
    plan = plan_windows(target, context=model.context)
    plain = list(batches(target, plan, end=model.first, batch_tokens=model.room))

    def staged() -> None:
        for at in range(0, len(rows), BATCH_ROWS):
            columns(rows[at : at + BATCH_ROWS])

    def looped() -> None:
        with computing(Machine(device="cpu")):
            for inputs, place, counts, _ in plain:
                bare(inputs, counts, target.ids[place[counts]].astype(np.int64))

    found = in_turns({"stage": staged, "bare": looped}, rounds=rounds)
    tokens, counted = len(target.ids), ctx.counts or {}
    fill = counted["padded_tokens"] / (counted["padded_tokens"] + counted["read_tokens"])
    share = found["bare"]
    return {"tokens": tokens, "stage": round(tokens / found["stage"].seconds), "bare": round(tokens / share.seconds),
            "share": [round(value, 3) for value in (share.low, share.ratio, share.high)],
            "padding": round(fill, 4)}  # fmt: skip


def causal() -> Any:
    """A random Llama of transformers."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama", vocab_size=8192, hidden_size=192, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4,
        intermediate_size=512, max_position_embeddings=1024,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval()


RECIPE = """
seed: 1
stages:
  few: {use: jsonl, files: "few/*.jsonl"}
  best: {use: random, inputs: few, budget: 20k tokens}
  base: {use: train, selection: best, tokens: 20000, width: 32, layers: 1, heads: 1, vocab: 2048, context: 256}
"""
SCORED = """  docs: {{use: jsonl, files: "{name}/*.jsonl"}}
  loss: {{use: lm_nats, inputs: docs, model: base}}
"""
SMALL = 2_000  # bytes of a small document


def made_up(folder: Path, *, megabytes: float) -> None:
    """The same text as one document and as many, and a little of it to train on."""
    draw = np.random.Generator(np.random.Philox(key=1))
    words = ["".join(draw.choice(list("aeioulnrst"), n)) for n in draw.integers(2, 11, 20_000)]
    text = " ".join(words[at % len(words)] for at in draw.zipf(1.3, int(megabytes * 1e6 / 4)))[: int(megabytes * 1e6)]
    pieces = [text[at : at + SMALL] for at in range(0, len(text), SMALL)]
    for name, some in {"few": pieces[:200], "one": [text], "many": pieces}.items():
        (folder / name).mkdir()
        lines = "".join(json.dumps({"text": document}) + "\n" for document in some)
        (folder / name / "a.jsonl").write_text(lines, "utf-8")


def process(folder: Path, name: str, recipe: str, root: str) -> dict[str, float]:
    """CPU seconds and peak resident MB of `winnow run`, its workers included."""
    (folder / f"{name}.yaml").write_text(recipe, "utf-8")
    command = [sys.executable, "-m", "winnow", "run", f"{name}.yaml", "--out", root]
    child = subprocess.Popen(command, cwd=folder, env=os.environ | {"WINNOW_WORKERS": "0"}, stdout=subprocess.DEVNULL)
    _, code, used = os.wait4(child.pid, 0)
    if code:
        raise SystemExit(f"{' '.join(command)} failed")
    return {"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}


def whole(megabytes: float, rounds: int) -> dict[str, Any]:
    """What one document and many of the same bytes cost."""
    found: dict[str, list[dict[str, float]]] = {"one": [], "many": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        made_up(folder, megabytes=megabytes)
        process(folder, "base", RECIPE, "base")
        for number in range(rounds):
            for name, runs in found.items():
                root = f"{name}_{number}"
                shutil.copytree(folder / "base", folder / root)
                runs.append(process(folder, name, RECIPE + SCORED.format(name=name), root))
    return {name: {key: round(float(np.median([run[key] for run in runs])), 1) for key in runs[0]}
            for name, runs in found.items()}  # fmt: skip


def main() -> None:
    """Print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=BATCH_ROWS)
    parser.add_argument("--giant", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--whole", type=float, default=0.0, metavar="MB", help="of one document, in whole processes")
    given = parser.parse_args()
    found = whole(given.whole, given.rounds) if given.whole else speeds(given)
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def speeds(given: argparse.Namespace) -> dict[str, Any]:
    """Both models beside their bare loops."""
    shape = shape_of("2M")
    own, theirs = build(shape, init_seed=0), causal()
    sizes = {"rows": given.rows, "giant": given.giant}
    return {
        "gpt_2M": measured(Gpt(own, precision="auto"), bare_gpt(own), pool(shape.vocab, **sizes), given.rounds),
        "llama": measured(CausalTokens(Causal(theirs, first=1, device="cpu")), bare_causal(theirs),
                          pool(8192, **sizes), given.rounds),
    }  # fmt: skip


if __name__ == "__main__":
    main()
