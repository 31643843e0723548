"""What this machine offers: CPUs, memory, GPUs, the kernel's count of kills, import paths for workers."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from winnow.core.errors import ConfigError

THREAD_VARIABLES = (
    "POLARS_MAX_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
PACKAGE = Path(__file__).resolve().parents[2]  # the folder `winnow/`


def available_cpus() -> int:
    """CPUs this process may use: affinity and control-group quota, at least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for file in _cgroup_files("", "cpu.max"):
        quota, _, period = file.read_text().partition(" ")
        if quota != "max":
            count = min(count, math.ceil(int(quota) / int(period)))
    for file in _cgroup_files("cpu", "cpu.cfs_quota_us"):
        micros = int(file.read_text())
        if micros > 0:
            count = min(count, math.ceil(micros / int((file.parent / "cpu.cfs_period_us").read_text())))
    return max(1, count)


def available_memory_gb() -> float:
    """Memory in 1e9 bytes that new work may take now: what machine and control group both leave."""
    free = float(_available_bytes())
    for controller, limit, usage in (
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        for file in _cgroup_files(controller, limit):
            text = file.read_text().strip()
            if text != "max" and int(text) < 1 << 60:
                used = int((file.parent / usage).read_text()) - _cached_bytes(file.parent / "memory.stat")
                free = min(free, int(text) - used)
    return max(free, 0) / 1e9


def _cached_bytes(stat: Path) -> int:
    """Pages of files that a control group's usage counts and the kernel takes back first; 0 where it does not say."""
    with contextlib.suppress(OSError):
        values = dict(line.split() for line in stat.read_text().splitlines())
        return int(values.get("total_inactive_file", values.get("inactive_file", 0)))
    return 0


def _available_bytes() -> int:
    """What the system says new programs may have without swapping."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    import psutil

    return int(psutil.virtual_memory().available)


def forget_peak() -> None:
    """Start `peak_bytes` anew in this process, where the kernel lets us."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int | None:
    """Most resident memory of this process since `forget_peak` (or its start); None where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def oom_kills() -> int:
    """Processes killed by the kernel for memory so far, in our control group or else on the machine.

    Cost: one small file read; where it lies is looked up once, because this is asked before every task.
    """
    for file in _kill_counts(_cgroup_files):
        with contextlib.suppress(OSError):
            for line in file.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    return int(count)
    return 0


@cache
def _kill_counts(files: Callable[[str, str], Iterator[Path]]) -> tuple[Path, ...]:
    """Files that may hold a line `oom_kill`, the best first."""
    own = next(files("", "memory.events"), None) or next(files("memory", "memory.oom_control"), None)
    return (Path("/proc/vmstat"),) if own is None else (own, Path("/proc/vmstat"))


def gpu_devices() -> tuple[str, ...]:
    """Names for CUDA_VISIBLE_DEVICES of the GPUs this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name for name in visible.split(",") if name.strip() not in {"", "-1"})
    nodes = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")]
    return tuple(sorted((name for name in nodes if name.isdigit()), key=int))


def thread_variables(threads: int) -> dict[str, str]:
    """Environment that keeps libraries at `threads` threads; it must be set before the interpreter starts."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def import_path() -> list[str]:
    """`sys.path` for workers: absolute, without the package folder (its `selectors` hides the stdlib's)."""
    return [entry for entry in map(os.path.abspath, sys.path) if not inside_package(entry)]


def worker_environment() -> dict[str, str]:
    """This process's environment for a worker: PYTHONPATH without the package folder."""
    env = dict(os.environ)
    if "PYTHONPATH" in env:
        entries = filter(None, env["PYTHONPATH"].split(os.pathsep))
        env["PYTHONPATH"] = os.pathsep.join(entry for entry in entries if not inside_package(entry))
    return env


def inside_package(folder: str | Path) -> bool:
    """Whether the folder is the package folder or below it."""
    return Path(folder).resolve().is_relative_to(PACKAGE)


def refuse_package_folder() -> None:
    """Check that workers of a cluster can be started from here.

    Raises: ConfigError if the working folder or a script's folder lies in the package: its `selectors`
    would hide the standard library's module in every worker.
    """
    hint = f"start from outside {PACKAGE}"
    if inside_package(Path.cwd()):
        raise ConfigError(f"the working folder is inside the package: {Path.cwd()}", hint=hint)
    script = Path(sys.argv[0]).resolve().parent if sys.argv and sys.argv[0] else None
    if script and inside_package(script) and str(script) in sys.path:
        raise ConfigError(f"the script's folder is inside the package: {script}", hint=hint)


def _cgroup_files(controller: str, name: str) -> Iterator[Path]:
    """File `name` in our control group and those above it; controller '' is the unified hierarchy."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mount = Path("/sys/fs/cgroup")
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        for root in (mount / controllers, mount / controller) if controller else (mount,):
            folder = root / path.lstrip("/")
            for place in (folder, *folder.parents):
                if place.is_relative_to(root) and (place / name).is_file():
                    yield place / name
