"""A plain torch loop over `ShardDataset`, alone or as one rank of DistributedDataParallel; what a user would write."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def train(shards: Path, cache: Path, *, first: int, last: int, start: Path | None, out: Path | None) -> list[float]:
    """Losses of steps [first, last) over all ranks; `start` and `out` are files of model, optimiser and data state."""
    import torch
    from torch import distributed, nn
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader

    from winnow.trainers.data import ShardDataset

    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = ShardDataset(shards, tokenizer="bytes", context=64, batch=4, weight="docs_w", seed=3, cache=cache)
    model = nn.Sequential(nn.Embedding(data.vocab, 16), nn.Linear(16, data.vocab))
    together = distributed.is_initialized()
    world = distributed.get_world_size() if together else 1
    assert (data.rank, data.world) == ((distributed.get_rank(), world) if together else (0, 1)), "found by itself"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    if start is not None:
        saved = torch.load(start, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        data.load_state_dict(saved["data"])
        assert saved["data"]["step"] == first
    wrapped = nn.parallel.DistributedDataParallel(model) if together else model
    losses = []
    for step, batch in enumerate(DataLoader(data, batch_size=None), start=first):
        if step == last:
            break
        assert len(batch["ids"]) == 4 // world
        nats = cross_entropy(wrapped(batch["ids"]).flatten(0, 1), batch["targets"].flatten(), reduction="none")
        mine = (nats * batch["weights"].flatten()).sum() / data.step_tokens(step)
        (mine * world).backward()  # gradients are averaged over ranks, and the loss is a sum
        optimizer.step()
        optimizer.zero_grad()
        whole = mine.detach().clone()
        if together:
            distributed.all_reduce(whole)
        losses.append(float(whole))
    if out is not None and data.rank == 0:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "data": data.state_dict(step=last)}
        torch.save(state, out)
    return losses


def rank(number: int, world: int, folder: str, shards: str, parts: list[tuple[int, int, str, str]], said: Any) -> None:
    """One process: every part of the run in turn, `said.put` of rank 0's losses."""
    from torch import distributed

    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=number, world_size=world)
    found = []
    for first, last, start, out in parts:
        found.append(
            train(Path(shards), Path(folder) / "cache", first=first, last=last,
                  start=Path(folder) / start if start else None, out=Path(folder) / out if out else None)
        )  # fmt: skip
        distributed.barrier()
    if number == 0:
        said.put(found)
    distributed.destroy_process_group()
