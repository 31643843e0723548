"""What is new of several stages' parts: each once, all again where the parts were replaced; and how many rows there are."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from winnow.dags.shapes.arrivals import Arrivals, RowCount

NAMES = st.lists(st.integers(0, 30), max_size=6)
STEPS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["add", "add", "replace", "look"]), NAMES), max_size=40)


@given(steps=STEPS)
def test_each_part_is_given_once_and_again_where_parts_were_replaced(steps):
    runs = [SimpleNamespace(parts={}) for _ in range(3)]
    arrivals, counts = Arrivals(runs), [RowCount(run) for run in runs]
    waiting = set()
    for number, what, names in steps:
        found = {f"u{n}": SimpleNamespace(rows=n + 1) for n in names}
        run = runs[number]
        if what == "add":
            fresh = {name: part for name, part in found.items() if name not in run.parts}
            waiting |= {(number, name) for name in fresh}
            run.parts.update(fresh)
        elif what == "replace":
            run.parts = dict(found)
            waiting = {(n, name) for n, name in waiting if n != number} | {(number, name) for name in found}
        else:
            assert arrivals.fresh() == {name for _, name in waiting}
            waiting = set()
        assert [count.total() for count in counts] == [sum(p.rows for p in r.parts.values()) for r in runs]
    arrivals.fresh()
    assert arrivals.fresh() == set()
