"""The exchange: every row reaches its receiver, in the order of the senders, by one level or two; damage is seen."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from winnow.core.errors import StoreError
from winnow.core.store.locations import open_store
from winnow.core.store.manifest import StageDir
from winnow.dags.shapes.exchange import MOST_PIECES, dealt, levels_of, read_exchange, save_exchange, save_pieces

ROWS = st.lists(st.lists(st.integers(0, 10_000), max_size=30), min_size=1, max_size=7)


def sent(stage, rows, receivers, width, compress=False):
    files = []
    for number, values in enumerate(rows):
        table = pa.table({"value": pa.array(values, pa.int64()), "name": pa.array(map(str, values), pa.large_string())})
        receiver = np.array([v % receivers for v in values], dtype=np.int64)
        ref = save_exchange(stage, "send", str(number), table, receiver, receivers, width=width, compress=compress)
        files.append((ref.key, ref.size))
    return files


def received(store, files, number, of):
    return [v for piece in read_exchange(store, files, number, of) for v in piece.column("value").to_pylist()]


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, receivers=st.integers(1, 40), compress=st.booleans())
def test_two_levels_give_each_receiver_the_rows_of_one_in_the_same_order(tmp_path_factory, rows, receivers, compress):
    store = open_store(tmp_path_factory.mktemp("exchange"))
    stage = StageDir(store, "stage-1")
    wanted = [[v for values in rows for v in values if v % receivers == to] for to in range(receivers)]
    one = sent(stage, rows, receivers, 1, compress)
    assert [received(store, one, to, receivers) for to in range(receivers)] == wanted

    levels = levels_of(len(rows), receivers, most=0)
    if not levels.two:
        assert receivers < 4
        return
    files = sent(stage, rows, receivers, levels.width, compress)
    found = []
    for bundle in range(levels.bundles):
        dealt_files = []
        for at in range(0, len(files), levels.group):
            pieces = read_exchange(store, files[at : at + levels.group], bundle, levels.bundles)
            schema = pieces[0].select(["value", "name"]).schema
            made = dealt(pieces, levels.width)
            ref = save_pieces(stage, "deal", f"{bundle}.{at}", made, schema, compress=compress)
            dealt_files.append((ref.key, ref.size))
        assert len(dealt_files) == levels.groups
        found += [received(store, dealt_files, to, levels.width) for to in range(levels.width)]
    assert found[:receivers] == wanted
    assert not any(found[receivers:])


@pytest.mark.parametrize(("senders", "receivers"), [(1, 1), (80_000, 8192), (800_000, 65_536), (800_000, 131_072)])
def test_how_many_pieces_are_read_grows_with_the_root_of_the_receivers(senders, receivers):
    levels = levels_of(senders, receivers)
    assert levels.two == (senders * receivers > MOST_PIECES)
    assert (levels.bundles - 1) * levels.width < receivers <= levels.bundles * levels.width
    if levels.two:
        assert levels.pieces <= 2.1 * senders * receivers**0.5 + 2 * receivers
        assert levels.group <= levels.bundles + 1  # a task deals about one sender's bytes


@pytest.mark.parametrize("at", ["piece", "place", "end"])
def test_a_damaged_piece_is_refused_by_who_reads_it_and_by_nobody_else(tmp_path, at):
    store = open_store(tmp_path)
    [(key, size)] = sent(StageDir(store, "stage-1"), [list(range(40))], 4, 1)
    path = tmp_path / key
    raw = bytearray(path.read_bytes())
    raw[{"piece": 100, "place": len(raw) - 4 * 24, "end": 0}[at]] ^= 1
    path.write_bytes(raw if at != "end" else raw[:-1])
    with pytest.raises(StoreError, match=r"changed|bytes"):
        read_exchange(store, [(key, size)], 0, 4)
    if at != "end":
        assert received(store, [(key, size)], 2, 4) == list(range(2, 40, 4))
    path.unlink()
    with pytest.raises(StoreError, match="gone"):
        read_exchange(store, [(key, size)], 0, 4)
