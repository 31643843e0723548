"""Bad input ends in a clear error of the right class, or in a counted and quarantined row; nothing vanishes."""

import errno
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from support import Ran, lines_of, plan_of, put_corpus, put_file, run, texts

from winnow.core.errors import ConfigError, DataError, EngineError, StoreError, WinnowError
from winnow.core.store import posix_store as stores
from winnow.dags.looking.why import explain
from winnow.dags.recipe.records import latest_record

READ = """
max_bad_share: 1.0
stages:
  docs: {use: jsonl, files: "raw/*", MORE}
  tok:  {use: count_tokens, inputs: docs}
"""


def read(folder, more="id: position", recipe=READ, **options) -> Ran:
    return run(recipe.replace("MORE", more), folder, folder / "out", **options)


def records_are_kept_or_counted(found, records):
    """Rows and quarantined records add up to the records of the input, and every one of these is named."""
    bad = found.counts("docs").get("bad", 0)
    assert found.manifest("docs").rows + bad == records
    named = found.quarantine("docs")
    assert len(named) == bad
    assert all(row["origin"] and row["error"] and row["message"] for row in named)
    return named


BAD = {
    "invalid_json": b'{"text": "a",,}',
    "not_an_object": b"[1, 2]",
    "missing_text": b'{"body": "a"}',
    "null_text": b'{"text": null}',
    "text_type": b'{"text": 5}',
    "invalid_utf8": b'{"text": "\xff\xfe"}',
    "lone_surrogate": b'{"text": "\\ud800"}',
}


@pytest.mark.parametrize("rule", ["position", "content"])
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_every_bad_line_is_counted_and_quarantined_and_its_neighbours_are_read(tmp_path, rule, suffix):
    good = [lines_of([t]).strip() for t in ("one", "", "two", "three")]
    rows = [row for pair in zip(good * 2, BAD.values(), strict=False) for row in pair]
    put_file(tmp_path / "raw" / f"a{suffix}", b"\n".join(rows) + b"\n\n")
    put_file(tmp_path / "raw" / f"b{suffix}", b"\n".join(rows[:3]))
    found = read(tmp_path, f"id: {rule}")
    named = records_are_kept_or_counted(found, len(rows) + 3)
    assert found.manifest("docs").rows == 9
    counts = found.counts("docs")
    assert {k.removeprefix("bad:"): v for k, v in counts.items() if k.startswith("bad:")} == (
        dict.fromkeys(BAD, 1) | {"invalid_json": 2}
    )
    assert {row["error"] for row in named} == set(BAD)
    assert all(row["origin"].startswith(("a.", "b.")) and "#" in row["origin"] for row in named)
    assert found.counts("tok")["rows"] == 9  # the empty text is a document


def test_more_bad_records_than_allowed_fail_the_stage_after_the_rest_has_run(tmp_path):
    put_file(tmp_path / "raw" / "a.jsonl", lines_of(["x"] * 50) + b"{oops\n" * 2)
    recipe = READ.replace("max_bad_share: 1.0", "max_bad_share: 0.01")
    with pytest.raises(DataError, match="2 of 52 rows") as refused:
        read(tmp_path, recipe=recipe)
    assert refused.value.exit_code == 3
    assert "quarantine" in refused.value.where
    held = list((tmp_path / "out").glob("jsonl-*/_data/quarantine/*"))
    assert held
    more = read(tmp_path)  # a larger share is not another stage: what was read is used
    assert more.manifest("docs").rows == 50
    assert "docs" not in more.computed


@pytest.mark.parametrize("suffix", [".jsonl.gz", ".jsonl.zst"])
@pytest.mark.parametrize("cut", [10, 0.5, -3])
def test_a_truncated_stream_is_an_error_that_names_the_file_or_a_counted_end(tmp_path, suffix, cut):
    path = put_file(tmp_path / "raw" / f"a{suffix}", lines_of(texts(700)))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * cut) if isinstance(cut, float) else cut])
    with pytest.raises(DataError) as refused:
        read(tmp_path)
    assert f"a{suffix}" in str(refused.value)
    assert refused.value.hint
    if cut != -3:
        return  # not one whole block may have arrived
    kept = read(tmp_path, "on_truncated: keep")
    named = records_are_kept_or_counted(kept, kept.manifest("docs").rows + 1)
    assert [row["error"] for row in named] == ["truncated"]
    assert 0 < kept.manifest("docs").rows <= 700


def test_a_line_of_fifty_megabytes_is_read_or_counted_as_too_large(tmp_path):
    big = "a b " * 12_500_000
    put_file(tmp_path / "raw" / "a.jsonl.zst", lines_of(["before", big, "after"]))
    found = read(tmp_path)
    assert found.manifest("docs").rows == 3
    assert found.counts("docs")["text_bytes"] == len(big) + 11
    small = read(tmp_path, "max_record_mb: 10")
    named = records_are_kept_or_counted(small, 3)
    assert [row["error"] for row in named] == ["too_large"]


def test_no_documents_is_an_error(tmp_path):
    put_file(tmp_path / "raw" / "a.jsonl", b"\n\n")
    with pytest.raises(DataError, match="read no documents"):
        read(tmp_path)
    put_file(tmp_path / "raw" / "a.jsonl", b"nonsense\n")
    with pytest.raises(DataError, match="1 records are in quarantine"):
        read(tmp_path)
    put_file(tmp_path / "raw" / "a.jsonl", b"")
    with pytest.raises(WinnowError):
        read(tmp_path)
    (tmp_path / "raw" / "a.jsonl").unlink()
    with pytest.raises(ConfigError, match="no file matches"):
        read(tmp_path)


def test_a_link_to_a_file_that_is_gone_is_no_file_to_leave_out_silently(tmp_path):
    put_corpus(tmp_path / "raw", ["one"], 1)
    (tmp_path / "raw" / "gone.jsonl").symlink_to(tmp_path / "nowhere.jsonl")
    with pytest.raises(ConfigError, match=r"gone\.jsonl is a link to a file that is not there"):
        read(tmp_path)
    plain = 'stages: {docs: {use: text_files, files: "raw/*", MORE}}'
    with pytest.raises(ConfigError, match="is a link to a file"):
        plan_of(plain.replace(", MORE", ""), tmp_path)
    assert len(plan_of(plain.replace("MORE", "min_bytes: 1"), tmp_path).node("docs").files["files"]) == 1  # no size
    assert len(plan_of(plain.replace("MORE", "exclude: [gone*]"), tmp_path).node("docs").files["files"]) == 1


def test_what_was_put_aside_is_told_with_its_kinds_its_first_record_and_how_to_see_the_rest(tmp_path, capsys):
    from winnow.cli import main

    put_file(tmp_path / "raw" / "a.jsonl", lines_of(["x", "y"]) + b'{oops\n{"body": 1}\n' + lines_of(["z"]))
    with pytest.raises(DataError) as refused:
        read(tmp_path, recipe=READ.replace("1.0", "0.01"))
    assert "(invalid_json 1, missing_text 1)" in refused.value.what
    assert "; first: a.jsonl#28: invalid_json: " in refused.value.what
    assert f"winnow sample {tmp_path / 'out'} --bad" in refused.value.hint
    assert main(["sample", str(tmp_path / "out"), "--bad", "--json", "-n", "1"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["of"] == 2
    assert [(s["stage"], s["complete"], len(s["records"])) for s in told["stages"]] == [("docs", False, 1)]
    assert told["stages"][0]["records"][0]["place"] == "a.jsonl#28"
    assert main(["sample", str(tmp_path / "out"), "--bad"]) == 0
    assert "a.jsonl#34  missing_text" in capsys.readouterr().out
    assert main(["sample", str(tmp_path / "out"), "--bad", "--kept"]) == 2
    assert main(["sample", str(tmp_path / "out"), "--bad", "--stage", "dosc"]) == 2
    assert "did you mean 'docs'?" in capsys.readouterr().err
    put_file(tmp_path / "raw" / "b.jsonl", b"{oops\n")
    with pytest.raises(DataError, match=r"read no documents from 1 file; 1 records are in quarantine .*; first: b\."):
        run(READ.replace('"raw/*", MORE', '"raw/b*"'), tmp_path, tmp_path / "none")


def test_repeated_ids_are_refused_by_origin(tmp_path):
    rows = [{"text": f"t{i}", "key": f"k{i % 7}"} for i in range(9)]
    put_file(tmp_path / "raw" / "a.jsonl", lines_of(rows))
    with pytest.raises(DataError, match=r"2 records repeat an id, first: a\.jsonl#") as refused:
        read(tmp_path, "id: field:key")
    assert "unique" in refused.value.hint
    put_file(tmp_path / "raw" / "a.jsonl", lines_of([*rows[:7], {"text": "x"}]))
    found = read(tmp_path, "id: field:key")
    assert [r["error"] for r in records_are_kept_or_counted(found, 8)] == ["missing_id"]


def test_a_file_that_vanishes_or_changes_after_planning_is_an_error(tmp_path):
    from winnow.core.store.locations import open_store
    from winnow.dags.driver.runner import Runner, RunSettings

    put_corpus(tmp_path / "raw", texts(40), 2)
    for harm in ("vanish", "grow"):
        root = tmp_path / harm
        plan = plan_of(READ.replace("MORE", "id: content"), tmp_path, root)
        victim = tmp_path / "raw" / "f001.jsonl"
        before = victim.read_bytes()
        victim.unlink() if harm == "vanish" else victim.write_bytes(before + b'{"text": "late"}\n')
        with pytest.raises(DataError, match=r"f001\.jsonl"):
            Runner(open_store(root), RunSettings(name="t", engine="local", workers=0)).run(plan, plan.nodes)
        victim.write_bytes(before)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_an_unreadable_file_is_an_error_that_names_it(tmp_path):
    tmp_path.chmod(0o755)
    put_corpus(tmp_path / "raw", texts(10), 1)
    victim = tmp_path / "raw" / "f000.jsonl"
    victim.chmod(0)
    root = tmp_path / "out"
    root.mkdir()
    root.chmod(0o777)
    code = (
        "import os, sys; sys.path[:0] = {paths!r}\n"
        "import support; from pathlib import Path\n"
        "import winnow.pipeline.read.jsonl, winnow.pipeline.measure.count_tokens, orjson, xxhash, ruamel.yaml\n"
        "from winnow.core.errors import DataError\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: support.run({recipe!r}, Path({folder!r}), Path({root!r}))\n"
        "except DataError as error: print(error.exit_code, error)\n"
    )
    here = Path(__file__).parent
    text = code.format(
        paths=[str(here), str(here.parent)],
        recipe=READ.replace("MORE", "id: content"),
        folder=str(tmp_path),
        root=str(root),
    )
    for folder in tmp_path.parents:
        if folder != Path("/") and not folder.stat().st_mode & 0o001 and folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o011)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("3 "), done.stderr
    assert "f000.jsonl" in done.stdout
    assert "ermission" in done.stdout


class Full:
    """A disk that takes `room` more files."""

    def __init__(self, monkeypatch, room):
        self.left = room
        monkeypatch.setattr(stores, "_write_synced", self._limited(stores._write_synced))
        monkeypatch.setattr(os, "fsync", self._check)

    def _limited(self, write):
        def limited(path, data):
            self._check(0)
            write(path, data)

        return limited

    def _check(self, fd):
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("room", [0, 3, 11, 30])
def test_a_full_disk_is_an_error_and_a_rerun_goes_on(tmp_path, monkeypatch, room):
    put_corpus(tmp_path / "raw", texts(60), 2)
    with monkeypatch.context() as patch:
        Full(patch, room)
        with pytest.raises(StoreError, match="No space left") as refused:
            read(tmp_path, "id: content", part_bytes=4000)
    assert refused.value.exit_code == 4
    assert "free space" in refused.value.hint
    again = read(tmp_path, "id: content", part_bytes=4000)
    fresh = run(READ.replace("MORE", "id: content"), tmp_path, tmp_path / "fresh", part_bytes=4000)
    assert again.digests == fresh.digests


@pytest.mark.skipif(os.getuid() != 0, reason="mounts a small file system")
def test_a_small_file_system_that_fills_up_is_an_error_and_more_room_cures_it(tmp_path):
    root = tmp_path / "small"
    root.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", root], capture_output=True, check=False
    ).returncode:
        pytest.skip("cannot mount here")
    try:
        draw = random.Random(1)
        put_corpus(
            tmp_path / "raw", ["".join(chr(draw.randrange(33, 126)) for _ in range(4000)) for _ in range(200)], 4
        )
        recipe = READ.replace("MORE", "id: position")
        with pytest.raises(StoreError, match="No space left"):
            run(recipe, tmp_path, root, part_bytes=40_000, workers=2)
        subprocess.run(["mount", "-o", "remount,size=8m", root], check=True)
        again = run(recipe, tmp_path, root, part_bytes=40_000)
        assert again.manifest("docs").rows == 200
    finally:
        subprocess.run(["umount", root], check=True)


# --- scorers that break their word

SCORE = """
max_bad_share: SHARE
stages:
  docs: {use: jsonl, files: "raw/*"}
  mine: {use: "mine:score", inputs: docs, timeout_s: 1}
  tok:  {use: count_tokens, inputs: docs}
"""
HEAD = "import polars as pl\nfrom winnow.scorers.function_scorer import scorer\n\n@scorer('mine')\ndef score(text):\n"


def score(tmp_path, body, share=1.0, n=30, **options) -> Ran:
    folder = tmp_path
    if not (folder / "raw").exists():
        put_file(folder / "raw" / "a.jsonl", lines_of([f"document {i}" for i in range(n)]))
    (folder / "mine.py").write_text(HEAD + "".join(f"    {line}\n" for line in body.split("\n")))
    return run(SCORE.replace("SHARE", str(share)), folder, folder / "out", **options)


POISON = 'text.to_list().count("document 17")'


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (f"if {POISON}: raise ValueError('odd document')\nreturn text.str.len_chars()", "ValueError"),
        pytest.param(
            f"import os\nif {POISON}: os.kill(os.getpid(), 9)\nreturn text.str.len_chars()",
            "lost",
            marks=pytest.mark.slow,
        ),
        (f"import os\nif {POISON}: os._exit(3)\nreturn text.str.len_chars()", "lost"),
        (f"import time\nif {POISON}: time.sleep(600)\nreturn text.str.len_chars()", "timeout"),
    ],
)
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_row_that_breaks_a_scorer_is_quarantined_alone(tmp_path, body, error, workers):
    found = score(tmp_path, body, batch_rows=4, workers=workers)
    counts = found.counts("mine")
    assert (counts["rows"], counts["ok"], counts["failed"]) == (30, 29, 1)
    rows = found.quarantine("mine")
    assert [(r["error"], len(r["doc_id"])) for r in rows] == [(error, 16)]
    if workers == 0:
        told = explain(latest_record(found.store), rows[0]["doc_id"].hex())
        mine = next(s for s in told["stages"] if s["stage"] == "mine")
        assert mine["why"].startswith(f"the operator failed on it: {error}")
    table = pl.from_arrow(found.table("mine", "doc_id", "text", "mine", "state"))
    failed = table.filter(pl.col("state") == 2)
    assert failed["text"].to_list() == ["document 17"]
    assert failed["mine"].to_list() == [None]
    assert failed["doc_id"].to_list() == [rows[0]["doc_id"]]
    assert table.filter(pl.col("state") == 0)["mine"].null_count() == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('always')", "rows failed, last with ValueError: always"),
        ("return text.head(3).str.len_chars()", "returned 3 values for"),
        ("return pl.Series([1.0] * (len(text) + 1))", "values for"),
        ("return None", "NoneType, not a series of values"),
        ("return text", "String, not numbers"),
        ("return 1 / 0", "ZeroDivisionError"),
        pytest.param("import os\nos._exit(1)", "rows failed", marks=pytest.mark.slow),
    ],
)
def test_a_scorer_that_is_wrong_everywhere_fails_its_stage_and_the_rest_runs(tmp_path, body, told):
    with pytest.raises(DataError) as refused:
        score(tmp_path, body)
    assert told in str(refused.value)
    assert refused.value.exit_code == 3
    assert "mine" in str(refused.value)
    assert list((tmp_path / "out").glob("count_tokens-*/manifest.json"))
    assert not list((tmp_path / "out").glob("function_scorer-*/manifest.json"))


def test_nan_from_a_scorer_is_null_and_counted(tmp_path):
    found = score(
        tmp_path,
        "v = text.str.len_chars().cast(pl.Float64)\nreturn pl.select(pl.when(v > 10).then(v / 0 * 0).otherwise(v)).to_series()",
    )
    counts = found.counts("mine")
    assert counts["ok"] + counts["null"] == 30
    assert counts["null"] == 20
    values = found.table("mine", "mine").column("mine").to_pylist()
    assert not any(v != v for v in values if v is not None)


def test_a_few_failed_rows_fail_the_stage_where_the_share_is_small(tmp_path):
    with pytest.raises(DataError, match="3 of 30 rows of stage 'mine' failed"):
        score(
            tmp_path,
            "if text.str.contains('document 2[012]').any(): raise ValueError('x')\nreturn text.str.len_chars()",
            share=0.001,
        )


def test_user_code_that_cannot_be_imported_or_found_is_a_configuration_error(tmp_path):
    put_file(tmp_path / "raw" / "a.jsonl", lines_of(["a"]))
    for name, text in (
        ("mine", "def (:\n"),
        ("mine", "import nonsense_of_no_name\n"),
        ("mine", "score = 3\n"),
        ("other", ""),
    ):
        (tmp_path / "mine.py").unlink(missing_ok=True)
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(ConfigError) as refused:
            run(SCORE.replace("SHARE", "1.0"), tmp_path, tmp_path / "out")
        assert "mine" in str(refused.value)


# --- recipes that cannot work

GOOD = """
stages:
  docs: {use: jsonl, files: "raw/*"}
  more: {use: jsonl, files: "raw/*", source: b}
  tok:  {use: count_tokens, inputs: docs}
  sig:  {use: signals, inputs: docs}
  a:    {use: filter, inputs: docs, keep: {x: "text_bytes > 1"}}
  b:    {use: filter, inputs: docs, keep: {x: "text_bytes > 2"}}
"""


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("  c: {use: filter, inputs: docs, keep: {x: 'text_bytes > 1'}", "not YAML"),
        ("  tok: {use: count_tokens, inputs: docs}", "the key 'tok' stands twice"),
        ("  c: {use: signals, inputs: d}\n  d: {use: signals, inputs: docs}", "'d' must stand above this one"),
        ("  c: {use: filter, inputs: docs, keep: {x: \"language = 'en'\"}}", "`language: {use: language, inputs: docs}`"),
        ("  c: {use: filter, inputs: [docs, more], keep: {x: 'text_bytes > 1'}}", "2 row spaces: docs (rows of docs) and more"),
        ("  c: {use: fliter, inputs: docs}", "did you mean 'filter'?"),
        ("  c: {use: count_tokens, inputs: dosc}", "did you mean 'docs'?"),
        ("  c: {use: count_tokens, input: docs}", "did you mean"),
        ("  c: {use: filter, inputs: docs, keep: {x: '1 < 2'}}", "names no column"),
        ("  c: {use: filter, inputs: docs, keep: {x: 'token_cuont > 2'}}", "did you mean 'token_count'?"),
        ("  c: {use: filter, inputs: [a, b], keep: {x: 'kept'}}", "could be any of a.kept, b.kept"),
        ("  c: {use: top_k, inputs: [docs, a], by: kept_zz, budget: 10%}", "kept_zz"),
        ("  c: {use: top_k, inputs: docs, by: text_bytes}", "needs 'budget'"),
        ("  c: {use: top_k, inputs: docs, by: text_bytes, budget: 5 parsecs}", "parsec"),
        ("  c: {use: top_k, by: text_bytes, budget: 10%}", "needs `inputs`"),
        ("  c: {use: count_tokens, inputs: docs, where: 'SUM(text_bytes) OVER () > 3'}", "where"),
        ("  c: {use: count_tokens, inputs: docs, where: 'text_bytes > (SELECT 1)'}", "where"),
        ("  c: {use: count_tokens, inputs: docs, where: 'random() > 0.5'}", "random"),
        ("  c: {use: count_tokens, inputs: docs, where: '1 = 1'}", "names no column"),
        ("  c: {use: count_tokens, inputs: docs, where: 'nope > 1'}", "nope"),
        ("  c: {use: count_tokens, inputs: docs, where: 5}", "where"),
        ("  c: {use: count_tokens, inputs: docs, max_bad_share: 2}", "max_bad_share"),
        ("  c: {use: count_tokens, inputs: docs, seed: x}", "seed"),
        ("  c: {use: count_tokens, inputs: docs, timeout_s: soon}", "timeout_s"),
        ("  c: {use: count_tokens, inputs: docs, strict: perhaps}", "strict"),
        ("  c: {use: count_tokens, inputs: docs, tokenizer: [1]}", "tokenizer"),
        ("  c: {use: jsonl, files: 'none/*'}", "no file matches"),
        ("  c: {use: jsonl, files: 'raw/*', id: name}", "does not say how"),
        ("  c: {use: concat, inputs: [docs, tok]}", "tok"),
        ("  c: {use: fasttext, inputs: docs, positive: nowhere}", "nowhere"),
        ("  c: {use: write, inputs: docs, format: csv}", "parquet"),
        ("  9c: {use: count_tokens, inputs: docs}", "stage name"),
        ("  c: {use: 'nomodule:f', inputs: docs}", "nomodule"),
        ("  c: 5", "needs `use:"),
        ("bogus: 1", "bogus"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_work_is_refused_before_anything_runs(tmp_path, extra, told):
    put_corpus(tmp_path / "raw", ["a"], 1)
    plan_of(GOOD, tmp_path)
    with pytest.raises(ConfigError) as refused:
        run(GOOD + extra + "\n", tmp_path, tmp_path / "out")
    assert refused.value.exit_code == 2
    assert told in str(refused.value)
    assert refused.value.where
    assert not list((tmp_path / "out").glob("*-*"))


def test_the_command_ends_with_the_exit_code_of_the_error_and_without_a_traceback(tmp_path):
    pytest.importorskip("winnow.cli")
    put_corpus(tmp_path / "raw", ["a", "b"], 1)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jsonl").write_bytes(b"{oops\n")
    cases = {
        0: GOOD,
        2: GOOD.replace("count_tokens", "count_tokenz"),
        3: GOOD.replace("raw/*", "bad/*"),
    }
    for code, recipe in cases.items():
        (tmp_path / "r.yaml").write_text(recipe)
        command = [sys.executable, "-m", "winnow", "run", "r.yaml", "--out", f"out{code}", "--workers", "0"]
        env = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=env)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        if code:
            assert "hint" in done.stderr
    victims = [p for p in (tmp_path / "out0").glob("jsonl-*/_data/part/*") if "-text-" not in p.name]
    for victim in victims:
        victim.write_bytes(victim.read_bytes()[:-1])
    (tmp_path / "r.yaml").write_text(GOOD.replace("text_bytes > 2", "text_bytes > 3"))
    done = subprocess.run(
        [sys.executable, "-m", "winnow", "run", "r.yaml", "--out", "out0", "--workers", "0"],
        cwd=tmp_path, capture_output=True, text=True, check=False, env=env,
    )  # fmt: skip
    assert done.returncode == 4
    assert any(victim.name in done.stderr for victim in victims)


def test_every_error_names_a_place(tmp_path):
    with pytest.raises(EngineError) as refused:
        stores.PosixStore(tmp_path).get("missing/file")
    assert refused.value.where.endswith("missing/file")
    assert json.dumps(str(refused.value))
