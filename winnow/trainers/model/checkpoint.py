"""Checkpoints: weights and optimiser state as safetensors, everything else as JSON; nothing is pickled.

A checkpoint is a folder of three files. `state.json` is written last and holds size and digest of the others, so a
torn one is seen before it is used. Training is cut at steps into segments, each made once by a function
`step(name, make)`: `Context.step` inside a job (a segment that was committed before a kill is found again), or a
`Folder`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from winnow.core.errors import DataError
from winnow.core.store.locations import open_store
from winnow.core.store.store import attempt_id

WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"
LOSSES = "losses"
Step = Callable[[str, Callable[[Path], None]], Path]


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint that was read and found whole."""

    folder: Path
    state: dict[str, Any]
    weights: dict[str, Any]
    optimizer: dict[str, Any]
    losses: Any  # f64[step]


@dataclass(frozen=True, kw_only=True)
class Checkpoints:
    """Where a run stops to save: `step` makes or finds each, `at` are the steps, `start` what it begins from."""

    step: Step
    at: tuple[int, ...] = ()
    start: Path | None = None


def write(folder: Path, *, state: Mapping[str, Any], weights: Mapping[str, Any], optimizer: Mapping[str, Any],
          losses: Any) -> None:  # fmt: skip
    """Write a checkpoint into an empty folder.

    Cost: one copy of weights and optimiser state in memory.
    """
    import orjson
    import xxhash
    from safetensors.torch import save

    store = open_store(folder)
    files = {}
    for name, tensors in ((WEIGHTS, weights), (OPTIMIZER, {**optimizer, LOSSES: losses})):
        data = save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
        with store.writing(name) as sink:
            sink.write(data)
        files[name] = {"bytes": len(data), "xxh3_128": xxhash.xxh3_128_hexdigest(data)}
    store.put_new(STATE, orjson.dumps({**state, "files": files}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))


def read(folder: Path) -> Saved:
    """The checkpoint in `folder`.

    Raises:
        DataError: a file is missing, or is not what `state.json` says of it.
    """
    import xxhash
    from safetensors import SafetensorError
    from safetensors.torch import load

    state = read_state(folder)
    files = {}
    for name in (WEIGHTS, OPTIMIZER):
        data = _bytes_of(folder / name)
        said = state["files"].get(name, {})
        if said.get("bytes") != len(data) or said.get("xxh3_128") != xxhash.xxh3_128_hexdigest(data):
            raise _broken(folder / name, f"{len(data)} bytes are not the {said.get('bytes')} that were written")
        try:
            files[name] = load(data)
        except SafetensorError as error:
            raise _broken(folder / name, str(error)) from error
    losses = files[OPTIMIZER].pop(LOSSES, None)
    if losses is None:
        raise _broken(folder / OPTIMIZER, "it holds no losses")
    return Saved(folder=folder, state=state, weights=files[WEIGHTS], optimizer=files[OPTIMIZER], losses=losses)


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON state of the checkpoint in `folder`.

    Raises:
        DataError: it is missing or no JSON.
    """
    import orjson

    try:
        state = orjson.loads(_bytes_of(folder / STATE))
    except orjson.JSONDecodeError as error:
        raise _broken(folder / STATE, f"it is no JSON: {error}") from error
    if not isinstance(state, dict) or not {"step", "files", "plan", "recipe"} <= state.keys():
        raise _broken(folder / STATE, "it is no state of a training run")
    return state


def stops(steps: int, every: int) -> tuple[int, ...]:
    """Every `every` steps, and the last step; none where `every` is 0."""
    return (*range(every, steps, every), steps) if every > 0 else ()


def chain(plan: Checkpoints, make: Callable[[Path | None, int, Path], None]) -> Path | None:
    """The folder of the last checkpoint: `make(before, stop, out)` trains from `before` up to `stop` into `out`."""
    latest = plan.start
    for stop in plan.at:
        before, until = latest, stop

        def segment(out: Path, before: Path | None = before, until: int = until) -> None:
            make(before, until, out)

        latest = plan.step(f"trained-{stop:08d}", segment)
    return latest


@dataclass(frozen=True, kw_only=True)
class Folder:
    """`Checkpoints.step` in a folder of one's own: each segment a subfolder that appears whole or not at all."""

    path: Path
    keep: int = 2  # newest checkpoints whose tensors stay; 0: all

    def __call__(self, name: str, make: Callable[[Path], None]) -> Path:
        """The subfolder `name`; `make` fills it where it is not there."""
        target = self.path / name
        if target.is_dir():
            return target
        self.path.mkdir(parents=True, exist_ok=True)
        fresh = self.path / f".{name}.{attempt_id()}.tmp"
        fresh.mkdir()
        try:
            make(fresh)
            _publish(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        self._prune()
        return target

    def latest(self) -> Path | None:
        """The newest checkpoint; None where there is none."""
        names = self._names()
        return self.path / names[-1] if names else None

    def _names(self) -> list[str]:
        return sorted(p.name for p in self.path.glob("trained-*") if p.is_dir()) if self.path.is_dir() else []

    def _prune(self) -> None:
        for name in self._names()[: -self.keep] if self.keep else ():
            for file in (WEIGHTS, OPTIMIZER):
                (self.path / name / file).unlink(missing_ok=True)


def to_numpy(losses: Any) -> np.ndarray:
    """Losses as f64[steps] in memory of its own."""
    return np.array(losses.detach().cpu().numpy(), dtype=np.float64)


def _publish(fresh: Path, target: Path) -> None:
    """Give the folder its name; where another attempt was first, its one counts."""
    try:
        fresh.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"the checkpoint has no file {path.name}",
            where=str(path.parent),
            hint="remove this checkpoint's folder: training goes on from the one before it",
        ) from error


def _broken(path: Path, why: str) -> DataError:
    return DataError(
        f"the checkpoint's {path.name} is not whole: {why}",
        where=str(path.parent),
        hint="remove this checkpoint's folder: training goes on from the one before it",
    )
