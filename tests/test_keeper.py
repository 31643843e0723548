"""Which duplicate is kept: any ORDER BY, within any columns, for any layout; and whole texts in normal forms."""

from __future__ import annotations

import functools
import random
import unicodedata
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from support import lines_of, plan_of, put_file, run

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, sql
from winnow.core.words.hashing import text_hash
from winnow.dags.driver.remarks import remarks_of
from winnow.pipeline.dedup import keeper
from winnow.pipeline.dedup.exact import Exact
from winnow.pipeline.dedup.forms import in_form
from winnow.testing.in_memory import run_group

CONTEXT = Context(seed=0, work=Path())
ORDERS = ("i", "s desc, i", "f desc, s", "b, s, i desc", "length(s) desc, f", "case when s = 'a' then 0 else 1 end, i")


def table(rows: int = 300, seed: int = 3) -> pl.DataFrame:
    rng = random.Random(seed)
    choices = {
        "i": range(-3, 3), "f": [0.0, -0.0, 1.5, -2.5, float("inf"), float("nan")],
        "s": ["", "a", "a\0", "a\0b", "ab", "b", "\xff", "é", "aé"], "b": [True, False],
    }  # fmt: skip
    kinds = {"i": pl.Int32, "f": pl.Float64, "s": pl.String, "b": pl.Boolean}
    held = {k: [rng.choice([*v, None]) for _ in range(rows)] for k, v in choices.items()}
    names = pa.array([f"d{n}" for n in range(rows)], pa.large_string())
    doc_id = pl.Series("doc_id", text_hash(names).cast(pa.large_binary()))
    return pl.DataFrame(held, schema=kinds).with_columns(doc_id)


def before(rows: pl.DataFrame, order: str):
    """A comparison of two row numbers as ORDER BY means it, by plain Python."""
    terms = [
        (rows.fill_nan(None).select(sql.expression(t))[:, 0].to_list(), down) for t, down in sql.order_terms(order)
    ]

    def compare(a: int, b: int) -> int:
        for values, down in terms:
            x, y = ((v.encode() if isinstance(v, str) else v) for v in (values[a], values[b]))
            if x == y:
                continue
            if x is None or y is None:
                return 1 if x is None else -1
            return (1 if x > y else -1) * (-1 if down else 1)
        return 0

    return compare


@pytest.mark.parametrize("order", ORDERS)
def test_keys_sort_like_the_rows_do_with_nulls_last(order):
    rows = table()
    keys, compare = keeper.order_keys(rows, order).to_list(), before(rows, order)
    for a in range(0, 300, 7):
        for b in range(300):
            assert (keys[a] > keys[b]) - (keys[a] < keys[b]) == compare(a, b), (rows[a], rows[b])


def frame(ran, name: str, *columns: str) -> pl.DataFrame:
    return pl.DataFrame(ran.table(name, *columns))


def solved(rows: pl.DataFrame, op: Exact, parts: int) -> pl.DataFrame:
    mixed = rows.sample(fraction=1.0, shuffle=True, seed=parts)
    cuts = [
        mixed.slice(n * rows.height // parts, (n + 1) * rows.height // parts - n * rows.height // parts)
        for n in range(parts)
    ]
    answers = run_group(op, cuts, parts + 1, CONTEXT)
    return pl.concat(
        [pl.concat([c.select("doc_id"), a], how="horizontal") for c, a in zip(cuts, answers, strict=True)]
    ).sort("doc_id")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("per", [(), ("b",), ("s", "b")])
def test_the_first_by_the_order_stays_within_every_group_for_any_layout(order, per):
    rng = random.Random(8)
    rows = table().with_columns(u=pl.Series([rng.choice(["", "x", "y", "z", None]) for _ in range(300)]))
    ids, values, groups = rows["doc_id"].to_list(), rows["u"].to_list(), rows.select("s", "b").rows()
    compare = before(rows, order)
    at = functools.cmp_to_key(lambda a, b: compare(a, b) or (1 if ids[a] > ids[b] else -1))
    want = {}
    for n in sorted(range(300), key=at):
        group = tuple(dict(zip("sb", groups[n], strict=True))[name] for name in per)
        if values[n] and None not in group:
            want.setdefault((values[n], group), []).append(n)
    expected = {n: (members[0], len(members)) for members in want.values() for n in members}
    op = Exact(by="u", keeper=order, per=per)
    found = [solved(rows, op, parts) for parts in (1, 4)]
    assert found[0].equals(found[1])
    by_id = {row[0]: row[1:] for row in found[0].rows()}
    for n, doc in enumerate(ids):
        first, size = expected.get(n, (n, 1))
        assert by_id[doc] == (first == n, None if first == n else ids[first], size)


def test_groups_of_several_columns_do_not_run_into_each_other():
    rows = pl.DataFrame({"a": ["x:", "x", "x", None], "b": [b"y", b":y", b":y", b"\xff"]})
    found = keeper.per_hashes(rows, ["a", "b"]).to_list()
    assert found[0] != found[1] == found[2]
    assert found[3] is None


SAME = {
    "nfc": ("caf\u00e9", "cafe\u0301"), "fold": ("STRASSE Ｈｅｌｌｏ", "straße hello"), "no_space": ("a b\n c", "ab\tc"),
    "words": ("Hello,  World! 2", "hello world — 2"),
    "c_code": ("int f(int a) { // sum\n  return a /* x */ + 1;\n}\n", "int f(int a){return a+1;}"),
    "script_code": ("def f(a):  # sum\n    return a + 1\n", "def f(a):\n\n\treturn a+1"),
}  # fmt: skip
OTHER = {
    "nfc": ("a b", "ab"), "fold": ("cafe", "café"), "no_space": ("a", "A"), "words": ("one two", "onetwo"),
    "c_code": ('puts("// no comment");', 'puts("");'), "script_code": ("s = '# no comment'", "s = ''"),
}  # fmt: skip


@pytest.mark.parametrize("form", SAME)
def test_a_form_makes_equal_what_it_says_and_no_more(form):
    made = in_form(pa.array([*SAME[form], *OTHER[form], None, "  "], pa.large_string()), form).to_pylist()
    assert made[0] == made[1]
    assert made[2] != made[3]
    assert made[4] is None
    assert made[5] == "  ", "what is nothing in a form is compared as it is"


def plain_code(text: str, marks: tuple[str, ...]) -> str:
    """Code without comments and needless blanks, character by character."""
    out, at, gap = "", 0, False
    word = lambda c: (c.isascii() and (c.isalnum() or c == "_")) or not c.isascii()  # noqa: E731
    while at < len(text):
        c = text[at]
        if text.startswith(marks[0], at):
            at, gap = text.find("\n", at) if "\n" in text[at:] else len(text), True
            continue
        if len(marks) > 1 and text.startswith("/*", at):
            end = text.find("*/", at + 2)
            at, gap = len(text) if end < 0 else end + 2, True
            continue
        if c in " \t\n\r\v\f":
            at, gap = at + 1, True
            continue
        end, long = at + 1, len(marks) == 1 and c in "\"'" and text.startswith(c * 3, at)
        if c in "\"'" or (c == "`" and len(marks) > 1):
            end = at + 3 if long else at + 1
            close = c * 3 if long else c
            while end < len(text) and not text.startswith(close, end) and (long or c == "`" or text[end] != "\n"):
                end += 2 if text[end] == "\\" else 1
            end = min(len(text), end + (len(close) if text.startswith(close, end) else 0))
        out += (" " if gap and out and word(c) and word(out[-1]) else "") + text[at:end]
        at, gap = end, False
    return out


@pytest.mark.parametrize(("form", "marks"), [("c_code", ("//", "/*")), ("script_code", ("#",))])
def test_code_is_cut_as_plain_python_cuts_it(form, marks):
    rng = random.Random(4)
    pieces = ["a", "é", " ", "\n", '"', "'", "`", "#", "//", "/*", "*/", "\\", '"""', "x1", "_", "+", "/", "*"]
    texts = ["".join(rng.choice(pieces) for _ in range(rng.randrange(25))) for _ in range(2000)]
    found = in_form(pa.array(texts, pa.large_string()), form).to_pylist()
    assert found == [plain_code(text, marks) or text for text in texts]


def test_nfc_is_pythons():
    texts = ["e\u0301", "\u1100\u1161", "ﬁ", "Å"]
    assert in_form(pa.array(texts, pa.large_string()), "nfc").to_pylist() == [
        unicodedata.normalize("NFC", t) for t in texts
    ]


READS = (
    "stages:\n  docs: {use: jsonl, files: raw.jsonl, id: 'field:id', columns: {id: string, q: float64, url: string}}\n"
)


def refused(tmp_path, stage: str) -> str:
    put_file(tmp_path / "raw.jsonl", lines_of([{"text": "a", "id": "1", "q": 1.0, "url": "u"}]))
    with pytest.raises(ConfigError) as error:
        plan_of(READS + f"  once: {stage}\n", tmp_path)
    return str(error.value)


@pytest.mark.parametrize("use", ["exact", "minhash"])
def test_an_order_that_cannot_be_is_refused_with_what_to_do(tmp_path, use):
    start = f"{{use: {use}, inputs: docs, keeper: "
    assert "did you mean 'q'" in refused(tmp_path, start + "qq desc}")
    assert "empty term" in refused(tmp_path, start + "'q desc,'}")
    assert "cannot stand" in refused(tmp_path, start + "'random()'}")
    assert "cannot be worked out" in refused(tmp_path, start + "'q + url'}")


def test_forms_and_columns_that_do_not_go_together_are_refused(tmp_path):
    assert "by: text" in refused(tmp_path, "{use: exact, inputs: docs, form: words}")
    assert "forms are of texts" in refused(tmp_path, "{use: exact, inputs: docs, by: q, form: words}")
    assert "text_bytes desc" in refused(tmp_path, "{use: exact, inputs: docs, keeper: longest}")


def test_a_run_keeps_the_best_and_says_who_was_compared_with_none(tmp_path):
    rows = [
        ("1", "Same  text.", 0.1, "u"),
        ("2", "same text", 0.9, "u"),
        ("3", "same, text", None, ""),
        ("4", "other", 0.5, None),
    ]
    put_file(tmp_path / "raw.jsonl", lines_of([{"id": i, "text": t, "q": q, "url": u} for i, t, q, u in rows]))
    stages = "  a: {use: exact, inputs: docs, by: url, keeper: q desc}\n  b: {use: exact, inputs: docs, by: text, form: words, keeper: q desc, ignore: all}\n"
    ran = run(READS + stages, tmp_path, tmp_path / "root")
    id_of = dict(frame(ran, "docs", "id", "doc_id").rows())
    for stage, gone in (("a", {"1"}), ("b", {"1", "3"})):
        found = frame(ran, stage, "doc_id", "duplicate_of")
        kept_of = {d: k for d, k in found.rows() if k is not None}
        assert kept_of == {id_of[i]: id_of["2"] for i in gone}
    assert "2 of 4 documents (50.0%) have no value of `url`" in str(remarks_of(Exact(by="url"), ran.manifest("a")))


WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in ("al", "or", "un", "ex") for c in ("ta", "mi", "so", "pe")]


@functools.cache
def families() -> tuple[dict[str, object], ...]:
    """Documents in families of near copies: by substitution, insertion, deletion, reordering, and one that is cut."""
    rng = random.Random(21)
    rows = []
    for family in range(24):
        words = [rng.choice(WORDS) for _ in range(120)]
        copies = [list(words) for _ in range(5)]
        copies[1][rng.randrange(120)] = "other"
        copies[2][60:60] = ["put", "in"]
        del copies[3][30:33]
        copies[4] = [*words[100:], *words[:100]]
        texts = [*copies, words[:105]]
        rows += [
            {"id": f"{family}-{n}", "text": " ".join(t), "q": rng.choice([None, *(x / 8 for x in range(8))]),
             "url": rng.choice(["a", "b", "b", None])}
            for n, t in enumerate(texts)
        ]  # fmt: skip
    rng.shuffle(rows)
    return tuple(rows)


def ran_over(tmp_path, stages: str, files: int = 1):
    rows, folder = families(), tmp_path / str(files)
    for n in range(files):
        put_file(folder / f"raw{n}.jsonl", lines_of(list(rows[n::files])))
    return run(READS.replace("raw.jsonl", "'raw*.jsonl'") + stages, folder, folder / "root")


def test_minhash_keeps_the_best_within_groups_and_drops_only_what_is_contained_for_any_layout(tmp_path):
    stages = (
        "  best: {use: minhash, inputs: docs, keeper: 'q desc, length(text) desc', num_bands: 56, rows_per_band: 2}\n"
        "  apart: {use: minhash, inputs: docs, keeper: 'q desc', per: url, num_bands: 56, rows_per_band: 2, ignore: all}\n"
        "  held: {use: minhash, inputs: docs, contained: 0.97, keeper: smallest_id, num_bands: 56, rows_per_band: 2, ignore: all}\n"
    )
    tables = []
    for files in (1, 8):
        ran = ran_over(tmp_path, stages, files)
        plain = frame(ran, "docs", "id", "doc_id", "q", "url", "text")
        found = {s: frame(ran, s, "doc_id", "kept", "cluster") for s in ("best", "apart", "held")}
        tables.append([plain.join(f, on="doc_id").select("id", "kept").sort("id") for f in found.values()])
        contains = frame(ran, "held", "keeper_contains", "kept")
        assert ran.counts("apart.order")["alone"] == plain["url"].null_count() > 0
    ids = plain.select("doc_id", "id", "q", "url", "text")
    shingles = {
        d: {tuple(t.split()[i : i + 5]) for i in range(len(t.split()) - 4)}
        for d, t in ids.select("doc_id", "text").rows()
    }
    rank = {d: (q is None, -(q or 0.0), -len(t), d) for d, _, q, _, t in ids.rows()}
    jaccard = lambda a, b: len(shingles[a] & shingles[b]) / len(shingles[a] | shingles[b])  # noqa: E731

    def expected(order, same, least):
        kept: list[bytes] = []
        of = {}
        for d in sorted(shingles, key=order):
            near = [
                k
                for k in kept
                if same(d, k) and jaccard(d, k) >= 0.75 and len(shingles[d] & shingles[k]) >= least * len(shingles[d])
            ]
            of[d] = near[0] if near else d
            kept += [] if near else [d]
        return of

    url = dict(ids.select("doc_id", "url").rows())
    wants = {
        "best": expected(rank.__getitem__, lambda a, b: True, 0.0),
        "apart": expected(lambda d: (*rank[d][:2], d), lambda a, b: url[a] is not None and url[a] == url[b], 0.0),
        "held": expected(lambda d: d, lambda a, b: True, 0.97),
    }
    for stage, want in wants.items():
        dropped = {d: c for d, k, c in found[stage].rows() if not k}
        assert dropped == {d: k for d, k in want.items() if d != k}, stage
        assert dropped
    better = {d: k for d, k in wants["best"].items() if d != k}
    assert all(rank[k] < rank[d] for d, k in better.items()), "no survivor is worse than what went for it"
    assert (contains.filter(~pl.col("kept"))["keeper_contains"] >= 0.97).all()
    assert contains.filter("kept")["keeper_contains"].null_count() == contains["kept"].sum()
    for one, eight in zip(*tables, strict=True):
        assert one.equals(eight)
