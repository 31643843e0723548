"""The file of a `neural` model, and its training: pages with known main text to weights (safetensors, no pickle)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import DataError
from winnow.pipeline.extract.neural_nodes import Nodes, around_size, part, windows

MODEL = "model.safetensors"
ABOUT, FORMAT = "winnow", "neural 1"  # key and value of the file's metadata
SCALE = 1 << 16  # of scores: 1 is one unit of log-odds
PAGES = 8  # per step
DECAY = 0.01
DROP = 0.2


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large a network is."""

    buckets: int = 16_384  # hashed words
    words: int = 24  # numbers of a word's vector
    width: int = 64
    layers: int = 2
    heads: int = 4


@dataclass(frozen=True)
class Example:
    """A page to learn from: its nodes, what share of each is main text, and what it counts."""

    nodes: Nodes
    y: npt.NDArray[np.float64]
    w: npt.NDArray[np.float64]


def trained(
    examples: Sequence[Example], sizes: Sizes, *, epochs: int, rate: float, seed: int
) -> tuple[Any, list[float]]:
    """(network, mean loss of each epoch). The same for the same examples in their order, on one machine.

    Cost: about 10 ms per page of 150 nodes and epoch, on one thread.
    Source: binary decisions per node in document order as in Xu et al. 2024 (NeuScraper); AdamW with a warm-up of a
    tenth of the steps and a cosine to zero.
    """
    import torch

    from winnow.pipeline.extract.neural_network import Network, one_thread, tensors

    with one_thread():
        torch.manual_seed(seed % 2**63)
        network = Network(around=around_size(), **asdict(sizes))
        _standardise(network, examples)
        given = [(tensors(*one.nodes), torch.from_numpy(one.y).float(), torch.from_numpy(one.w).float())
                 for each in examples for one in _cut(each)]  # fmt: skip
        steps = epochs * -(-len(given) // PAGES)
        optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=DECAY)
        plan = torch.optim.lr_scheduler.LambdaLR(optimiser, _warm(steps))
        losses = []
        for epoch in range(epochs):
            order = np.argsort(_keys(len(given), seed, epoch), kind="stable")
            losses.append(_epoch(network, [given[i] for i in order], optimiser, plan))
        network.eval()
    return network, losses


def _epoch(network: Any, given: Sequence[Any], optimiser: Any, plan: Any) -> float:
    import torch
    from torch.nn import functional

    network.train()
    total = 0.0
    for at in range(0, len(given), PAGES):
        optimiser.zero_grad()
        for numbers, y, w in given[at : at + PAGES]:
            loss = functional.binary_cross_entropy_with_logits(network(*numbers, DROP), y, w, reduction="sum")
            (loss / PAGES).backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        plan.step()
    return total / max(1, len(given))


def _keys(num: int, seed: int, epoch: int) -> npt.NDArray[np.uint64]:
    return np.random.default_rng([seed % 2**32, epoch]).random(num).view(np.uint64)


def _warm(steps: int) -> Callable[[int], float]:
    warm = max(1, steps // 10)
    return lambda step: min(1.0, (step + 1) / warm) * 0.5 * (1 + float(np.cos(np.pi * min(1.0, step / max(1, steps)))))


def _cut(one: Example) -> list[Example]:
    return [Example(part(one.nodes, a, b), one.y[a:b], one.w[a:b]) for a, b, _, _ in windows(len(one.y)) if b > a]


def _standardise(network: Any, examples: Sequence[Example]) -> None:
    import torch

    around = np.concatenate([one.nodes.around for one in examples]).astype(np.float64)
    spread = around.std(axis=0)
    network.mean.copy_(torch.from_numpy(around.mean(axis=0)))
    network.scale.copy_(torch.from_numpy(np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)))


def scores(network: Any, nodes: Nodes) -> npt.NDArray[np.int64]:
    """i64[nodes]: log-odds in units of 1 / `SCALE`. Cost: memory of one window, time linear in the windows."""
    import torch

    from winnow.pipeline.extract.neural_network import tensors

    out = np.zeros(len(nodes.around), np.int64)
    with torch.inference_mode():
        for first, last, begin, end in windows(len(out)):
            if last > first:
                found = network(*tensors(*part(nodes, first, last))).double().numpy()
                out[begin:end] = np.rint(found[begin - first : end - first] * SCALE).astype(np.int64)
    return out


def saved(network: Any, sizes: Sizes, path: Path) -> None:
    """Write weights and sizes as safetensors."""
    from safetensors.torch import save_file

    about = {ABOUT: json.dumps({"format": FORMAT, **asdict(sizes)}, sort_keys=True)}  # one entry: several have no order
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, str(path), metadata=about)


def loaded(path: Path) -> Any:
    """The network of a file. Raises: DataError where it is no such file, or its weights are of other sizes."""
    from safetensors import SafetensorError, safe_open

    from winnow.pipeline.extract.neural_network import Network

    hint = "name the model.safetensors that `neural_fit` wrote"
    try:
        with safe_open(str(path), framework="pt") as file:
            about = json.loads((file.metadata() or {}).get(ABOUT, "{}"))
            if about.pop("format", "") != FORMAT:
                raise DataError(f"{path.name} is of another format", where="model", hint=hint)
            sizes = Sizes(**{name: int(value) for name, value in about.items()})
            network = Network(around=around_size(), **asdict(sizes))
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).split("\n", 1)[0][:200]
        raise DataError(f"cannot read {path.name}: {reason}", where="model", hint=hint) from error
    return network.eval()


__all__ = ["MODEL", "Example", "Sizes", "loaded", "saved", "scores", "trained"]
