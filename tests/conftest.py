"""What every test shares."""

import os

import pytest

os.environ.pop("COLUMNS", None)  # xdist says 80, and the width of what is printed follows it


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch):
    """No fsync in the tests' own process: what it guards against is a power cut, which no test makes."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
