"""One training run on several processes: each takes its rows of every step, and gradients are added up.

The processes are plain ones of this machine, or workers of Ray Train (`TorchTrainer`); both run `work`, and `work`
runs the step of `loop.Run`, so a run on one process and on two differ in the order of a sum. Segments between
checkpoints are launched one by one: what a kill interrupts is made anew from the checkpoint before it.
Process start-up costs 3 to 6 s per segment (importing torch), and Ray more.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from winnow.core.errors import ConfigError, DataError, EngineError, WinnowError
from winnow.trainers.data.batches import Batches
from winnow.trainers.model import checkpoint, warm
from winnow.trainers.model.checkpoint import Checkpoints
from winnow.trainers.model.device import Machine, computing, resolve_device
from winnow.trainers.model.distributed import Launcher
from winnow.trainers.model.initialise import empty
from winnow.trainers.model.loop import Run
from winnow.trainers.model.recipe import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.start import Start
from winnow.trainers.model.steering import Steering
from winnow.trainers.online.policy_run import PolicyRun


@dataclass(frozen=True, kw_only=True)
class Segment:
    """What every process of a segment gets; it is small where `data` opens what lies on a shared disk."""

    data: Callable[[], Batches]
    shape: Shape
    recipe: Recipe
    machine: Machine
    init_seed: int
    begin: Start | None  # weights of step 0; None: those of `init_seed`
    policy: PolicyRun | None
    start: str  # folder of a checkpoint; "" trains from step 0
    until: int
    out: str  # empty folder, which rank 0 writes a checkpoint into


@dataclass(frozen=True, kw_only=True)
class Together:
    """The ranks of torch's default process group."""

    rank: int
    world: int

    def add_up(self, tensors: list[Any]) -> None:
        """Put the sum over all ranks into each tensor; they travel as one."""
        import torch
        from torch import distributed

        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, piece in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(piece.view_as(tensor))


@dataclass(frozen=True)
class Given:
    """Opens what is already in memory."""

    batches: Batches

    def __call__(self) -> Batches:
        """The batches."""
        return self.batches


def fit(
    data: Batches | Callable[[], Batches],
    shape: Shape,
    recipe: Recipe,
    *,
    init_seed: int,
    workers: int,
    launcher: Launcher = "processes",
    machine: Machine | None = None,
    checkpoints: Checkpoints | None = None,
    start: Start | None = None,
    policy: PolicyRun | None = None,
) -> tuple[Any, npt.NDArray[np.float64]]:
    """(trained model in f32 on the CPU, training loss of every step f64[steps]), as `loop.fit` gives them.

    `data` as a function is called in every process; batches themselves are sent to them. So is the policy, which begins
    on every rank and must come to equal states there.

    Raises:
        ConfigError: there are no workers. DataError: as `loop.fit`. EngineError: a process ended without a word.
    """
    if workers < 1:
        raise ConfigError(f"workers is {workers}, and must be at least 1", where="workers")
    opened = data if callable(data) else Given(data)
    batches = opened()
    launch = _on_ray if launcher == "ray" else _on_processes
    base = Segment(
        data=opened, shape=shape, recipe=recipe, machine=machine or Machine(), init_seed=init_seed,
        begin=start, policy=policy, start="", until=0, out="",
    )  # fmt: skip

    def make(before: Path | None, stop: int, out: Path) -> None:
        launch(dataclasses.replace(base, start=str(before or ""), until=stop, out=str(out)), workers)

    with tempfile.TemporaryDirectory(prefix="winnow-") as scratch:
        last = Path(scratch)
        before = None if checkpoints is None else checkpoint.chain(checkpoints, make)
        if before is None or int(checkpoint.read_state(before)["step"]) < batches.num_steps:
            make(before, batches.num_steps, last)
        else:
            last = before
        return _result(checkpoint.read(last), shape, Steering(run=policy, data=batches))


def work(segment: Segment, rank: int, world: int) -> None:
    """One process' part of a segment; torch's process group is there. Rank 0 writes the checkpoint."""
    from torch import distributed

    with (
        computing(segment.machine),
        warm.body(segment.shape, segment.recipe, segment.machine, init_seed=segment.init_seed) as body,
    ):
        run = Run(
            data=segment.data(), recipe=segment.recipe, machine=segment.machine, init_seed=segment.init_seed,
            body=body, group=Together(rank=rank, world=world), start=segment.begin, policy=segment.policy,
        )  # fmt: skip
        if segment.start:
            run.restore(checkpoint.read(Path(segment.start)))
        run.advance(segment.until)
        if rank == 0:
            run.save(Path(segment.out))
        distributed.barrier()


def _result(saved: checkpoint.Saved, shape: Shape, steering: Steering) -> tuple[Any, npt.NDArray[np.float64]]:
    import torch

    steering.restore(saved.state, saved.optimizer)
    steering.finish()

    model = empty(shape)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(saved.weights[name])
    return model, checkpoint.to_numpy(saved.losses)


def _backend(machine: Machine) -> str:
    return "nccl" if resolve_device(machine.device) == "cuda" else "gloo"


def _on_processes(segment: Segment, world: int) -> None:
    """Run a segment on processes of this machine; the first that fails ends all."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="winnow-") as meeting:
        place = f"file://{meeting}/ranks"
        ends: dict[Connection, Any] = {}
        for rank in range(world):
            here, there = spawn.Pipe(duplex=False)
            process = spawn.Process(target=_process, args=(segment, rank, world, place, there), daemon=True)
            process.start()
            there.close()
            ends[here] = process
        try:
            while ends:
                for end in wait(list(ends)):
                    assert isinstance(end, Connection)
                    _hear(end, ends.pop(end))
        finally:
            for process in ends.values():
                process.terminate()
                process.join()


def _hear(end: Connection, process: Any) -> None:
    """Wait for one process to do its part; raise what it raised."""
    try:
        said = end.recv()
    except EOFError:
        process.join()
        raise EngineError(f"a training process ended with status {process.exitcode}") from None
    process.join()
    if isinstance(said, WinnowError):
        raise said
    if said is not None:
        raise EngineError(f"a training process failed: {said}")


def _process(segment: Segment, rank: int, world: int, place: str, said: Connection) -> None:
    """A process of `_on_processes`: says None, a WinnowError, or what went wrong in words."""
    import torch
    from torch import distributed

    try:
        if resolve_device(segment.machine.device) == "cuda":
            torch.cuda.set_device(rank)
        distributed.init_process_group(_backend(segment.machine), init_method=place, rank=rank, world_size=world)
        work(segment, rank, world)
        distributed.destroy_process_group()
        said.send(None)
    except WinnowError as error:
        said.send(error)
    except Exception as error:  # noqa: BLE001 - it is sent and raised where the processes were started
        said.send(f"{type(error).__name__}: {error}")


def _on_ray(segment: Segment, world: int) -> None:
    """Run a segment as a Ray Train job; every worker must see the folders of the checkpoints."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    with tempfile.TemporaryDirectory(prefix="winnow-") as scratch:
        trainer = TorchTrainer(
            _ray_worker,
            train_loop_config={"segment": segment},
            torch_config=TorchConfig(backend=_backend(segment.machine)),
            scaling_config=ScalingConfig(num_workers=world, use_gpu=_backend(segment.machine) == "nccl"),
            run_config=RunConfig(name="winnow", storage_path=scratch),
        )
        try:
            trainer.fit()
        except Exception as error:
            raise _cause(error) from error


def _ray_worker(config: dict[str, Any]) -> None:
    from torch import distributed

    work(config["segment"], distributed.get_rank(), distributed.get_world_size())


def _cause(error: BaseException) -> WinnowError:
    """The WinnowError inside what Ray raised; an EngineError with its words where there is none."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, WinnowError):
            return seen
        inner = [e for e in getattr(seen, "worker_failures", {}).values() if isinstance(e, DataError | EngineError)]
        if inner:
            return inner[0]
        seen = getattr(seen, "cause", None) or seen.__cause__
    return EngineError(f"the Ray Train job failed: {type(error).__name__}: {error}"[:600])
