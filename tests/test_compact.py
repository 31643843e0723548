"""The small mappings of receipts say what dictionaries say, and come back as the same JSON."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from winnow.core.store.compact import Digests, Named, compact, plain
from winnow.core.store.manifest import Receipt

HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
VALUES = st.one_of(st.integers(-(2**53), 2**53), st.text(max_size=40), HEX, HEX.map(str.upper), st.none(), st.lists(st.integers(0, 9)),
                   st.floats(allow_nan=False, allow_infinity=False))  # fmt: skip


@given(
    raw=st.one_of(
        st.dictionaries(st.text(max_size=8), HEX, max_size=9), st.dictionaries(st.text(max_size=8), VALUES, max_size=9)
    )
)
def test_a_compact_mapping_says_what_the_dictionary_says(raw):
    held = compact(raw)
    assert dict(held) == raw == dict(held.items())
    assert held == raw
    assert [*held] == [*raw]
    assert len(held) == len(raw)
    assert all(held[name] == value and held.get(name) == value and name in held for name, value in raw.items())
    assert held.get("\0nothing") is None
    assert orjson.loads(orjson.dumps(held, default=plain)) == orjson.loads(orjson.dumps(raw))


def test_digests_take_sixteen_bytes_each_and_what_only_looks_like_one_stays_a_text():
    assert isinstance(compact({"a": "0f" * 16, "b": "1e" * 16}), Digests)
    for other in ("0F" * 16, "0g" * 16, "0f" * 15, "é" * 32):
        held = compact({"a": "0f" * 16, "b": other})
        assert isinstance(held, Named)
        assert held["b"] == other
    with pytest.raises(TypeError):
        plain(object())


@given(
    content=st.dictionaries(st.text(max_size=8), HEX, max_size=5),
    counts=st.dictionaries(st.text(max_size=8), st.integers(0, 9)),
)
def test_a_receipt_comes_back_as_the_same_bytes(content, counts):
    made = Receipt(
        phase="part", unit="1", key="k", content=content, counts=counts, notes={"a": [1]}, run={"seconds": 0.5}
    )
    again = Receipt.from_json(made.as_json())
    assert again.as_json() == made.as_json()
    assert again.digest == made.digest
