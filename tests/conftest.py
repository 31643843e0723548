"""What every test shares."""

import os
import random
import sys

import numpy as np
import pytest

os.environ.pop("COLUMNS", None)  # xdist says 80, and the width of what is printed follows it


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch):
    """No fsync in the tests' own process: what it guards against is a power cut, which no test makes."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


@pytest.fixture(autouse=True)
def _one_start():
    """Global generators begin every test alike: what a test draws does not depend on the tests before it."""
    random.seed(0)
    np.random.seed(0)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "manual_seed"):  # a lazy or half-loaded module has none
        torch.manual_seed(0)
