"""The quickstart itself: killed at random times it ends the same; its demo shows what it should."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WINNOW = [sys.executable, "-m", "winnow"]
POOL = ["--set", "site_bytes=6MB"]


def finished(root: Path) -> dict[str, str]:
    """Stage -> content digest of the quickstart up to its shards."""
    command = [*WINNOW, "run", "quickstart", "--until", "corpus", "--out", str(root), "--json", *POOL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    stages = json.loads(done.stdout.strip().splitlines()[-1])["stages"]
    return {name: stage["content_digest"] for name, stage in stages.items()}


@pytest.mark.slow
def test_killed_at_ten_random_times_the_quickstart_ends_with_the_same_digests(tmp_path):
    begun = time.monotonic()
    expected = finished(tmp_path / "undisturbed")
    length = time.monotonic() - begun
    draw = random.Random(11)
    command = [*WINNOW, "run", "quickstart", "--until", "corpus", "--out", str(tmp_path / "killed"), *POOL]
    killed = 0
    for _ in range(10):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            process.wait(timeout=draw.uniform(0.1, 0.9) * length)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed >= 3, "the early kills must hit a run that is going on"
    assert finished(tmp_path / "killed") == expected


@pytest.mark.slow
def test_the_demo_needs_no_torch_and_ends_with_shards(tmp_path):
    code = "import sys; sys.modules['torch'] = sys.modules['ray'] = None; from winnow.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, "demo", "--out", str(tmp_path), "--workers", "2", *POOL],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    shards = Path(done.stdout.strip().splitlines()[-1].removeprefix("corpus: "))
    assert list(shards.glob("*.parquet"))
    assert "prose_common_words" in done.stdout
    assert "duplicates removed" in done.stdout
