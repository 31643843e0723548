"""Random recipes over random corpora keep every promise: see `promises.check_promises` for what is checked.

    WINNOW_RANDOM_RECIPES=1000 WINNOW_RANDOM_FROM=5000 pytest -m slow tests/test_random_recipes.py

A seed that fails prints its recipe and the command that runs it alone.
"""

import os
import tempfile
from pathlib import Path

import pytest
from corpora_at_random import FIELDS
from promises import BrokenPromiseError, check_promises, promised
from recipes_at_random import DRAWN, LEFT_OUT, VALUES, draw
from support_kill import Killer

from winnow.core.operators import Derive
from winnow.dags.recipe.registry import REGISTRY, operator_class

FEW = (8, 10, 16, 19, 28)
MANY = int(os.environ.get("WINNOW_RANDOM_RECIPES", "200"))
FIRST = int(os.environ.get("WINNOW_RANDOM_FROM", "1000"))
PIECE = 25


@pytest.fixture(scope="module")
def killer():
    found = Killer()
    yield found
    found.close()


def keeps_its_promises(seed, kill=None):
    """Nothing, where the recipe of a seed does; a test that fails, with all that is needed to see it again."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        (Path(folder) / "in").mkdir()
        again = f"WINNOW_RANDOM_RECIPES=1 WINNOW_RANDOM_FROM={seed} pytest -m slow tests/test_random_recipes.py"
        drawn = draw(seed, Path(folder) / "in")
        try:
            return check_promises(drawn, Path(folder), kill=kill)
        except Exception as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}\n\n{drawn.text}\n{again}")


@pytest.mark.parametrize("seed", FEW)
def test_a_random_recipe_keeps_every_promise(seed):
    keeps_its_promises(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FIRST, FIRST + MANY, PIECE))
def test_many_random_recipes_keep_every_promise(first, killer):
    ended = [keeps_its_promises(seed, killer) for seed in range(first, min(first + PIECE, FIRST + MANY))]
    if len(ended) == PIECE:
        assert ended.count("ok") > PIECE // 2  # most recipes end well: what cannot work is refused while planning


def test_every_operator_is_drawn_or_left_out_for_a_reason():
    assert set(DRAWN) | set(LEFT_OUT) == set(REGISTRY)
    assert not set(DRAWN) & set(LEFT_OUT)
    assert {op for op, _ in VALUES if op} <= set(DRAWN)
    assert all(issubclass(operator_class(op), Derive) for op in ("jsonl", "parquet", "text_files"))
    assert set(FIELDS.values()) == {"string", "float64", "int64", "bool"}


def test_a_seed_gives_the_same_recipe_and_the_same_files(tmp_path):
    one, two = (draw(11, tmp_path / name) for name in ("a", "b") if (tmp_path / name).mkdir() is None)
    assert one.text == two.text
    files = [sorted(p.relative_to(d.folder) for p in d.folder.rglob("*")) for d in (one, two)]
    assert files[0] == files[1]
    assert all((one.folder / p).read_bytes() == (two.folder / p).read_bytes() for p in files[0] if "." in p.name)


def test_a_broken_promise_is_raised():
    with pytest.raises(BrokenPromiseError, match="told"):
        promised(ok=False, told="told")
