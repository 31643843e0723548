"""Where and how a run computes: device, precision, threads, compilation. None of it is part of a recipe.

The same recipe on another device or with another number of threads gives the same result up to rounding, and the
same bits where nothing here changes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from winnow.core.errors import ConfigError
from winnow.trainers.model.allocator import roomy

Precision = Literal["auto", "bf16", "fp32"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Machine:
    """How a run computes; the defaults are one CPU thread, or the GPU where there is one."""

    device: Device = "auto"
    threads: int = 1  # on a CPU; arms and seeds are the better use of cores
    micro_rows: int = 0  # rows per forward pass, their gradients summed; 0: all rows of the step at once
    compiled: bool = False  # torch.compile: about 20 s once per shape on a CPU core, faster steps after
    deterministic: bool = False  # refuse kernels whose result depends on scheduling (GPU; a CPU run repeats anyway)

    def check(self) -> None:
        """Check that the numbers can run a step.

        Raises:
            ConfigError: a number is out of its range.
        """
        if self.threads < 1:
            raise ConfigError(f"threads is {self.threads}, and must be at least 1", where="threads")
        if self.micro_rows < 0:
            raise ConfigError(f"micro_rows is {self.micro_rows}, and must be at least 0", where="micro_rows")


def resolve_device(device: Device) -> Literal["cpu", "cuda"]:
    """`cuda` where torch sees a GPU and it was not refused, else `cpu`.

    Raises:
        ConfigError: `cuda` was asked for and there is none.
    """
    import torch

    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise ConfigError("torch sees no GPU", where="device", hint="use `auto` or `cpu`")
    return "cuda" if there and device != "cpu" else "cpu"


def resolve_precision(precision: Precision, *, device: str = "cpu") -> Literal["bf16", "fp32"]:
    """`bf16` where the device multiplies bfloat16 in hardware (a CPU with AVX512-BF16 or AMX), else `fp32`."""
    if precision != "auto":
        return precision
    import torch

    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    fast = (getattr(torch.cpu, f"_is_{name}_supported", lambda: False) for name in ("avx512_bf16", "amx_tile"))
    return "bf16" if any(supported() for supported in fast) else "fp32"


def product_type(precision: Precision, *, device: str = "cpu") -> Any:
    """The torch type that matrix products run in."""
    import torch

    return torch.bfloat16 if resolve_precision(precision, device=device) == "bf16" else torch.float32


def autocast(precision: Precision, *, device: str = "cpu") -> Any:
    """A context in which matrix products run in the resolved precision."""
    import torch

    wanted = product_type(precision, device=device) == torch.bfloat16
    return torch.autocast(device, dtype=torch.bfloat16, enabled=wanted)


@contextlib.contextmanager
def num_threads(threads: int) -> Iterator[None]:
    """All of torch computes on `threads` threads inside; the number from before comes back."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_thread() -> contextlib.AbstractContextManager[None]:
    """All of torch computes on one thread inside; the number from before comes back."""
    return num_threads(1)


@contextlib.contextmanager
def computing(machine: Machine) -> Iterator[None]:
    """The threads, the determinism and, on a CPU, the allocator of `machine` inside; what was before comes back."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    if machine.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(mode=True)
    try:
        on_cpu = resolve_device(machine.device) == "cpu"
        with num_threads(machine.threads), roomy() if on_cpu else contextlib.nullcontext():
            yield
    finally:
        torch.use_deterministic_algorithms(before)
