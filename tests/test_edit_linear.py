"""No editor looks at bytes more often in a long text than in a short one, whatever the text repeats."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def looks():
    """{editor: {repeated piece: (looks at a text, looks at one three times as long)}}."""
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, str(HERE / "edit_looks.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("editor", [
    "mask_pii", "c4_lines", "refinedweb_lines", "boilerplate_lines", "citation_marks", "drop_urls",
])  # fmt: skip
def test_looks_grow_with_the_text_alone(looks, editor):
    """Three times the text may be looked at four times as often: the ends of a text cut what is looked at short."""
    grown = {piece: long / short for piece, (short, long) in looks[editor].items()}
    assert {piece: grew for piece, grew in grown.items() if grew > 4} == {}
    assert len(grown) >= 20
