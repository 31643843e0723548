"""What counts as input: never a run's own files, every file once, data sets whole, and what was passed over is told."""

import json
import os
import shutil
import socket
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import plan_of, run

from winnow.core.errors import ConfigError, DataError
from winnow.dags.recipe.file_patterns import FileKind
from winnow.dags.recipe.found_files import look_for
from winnow.dags.recipe.input_files import InputFile, cut_units, part_bytes, text_bytes

JSONL = FileKind(suffixes=(".jsonl", ".gz", ".zst"), no_data=("_", "."))
PARQUET = FileKind(suffixes=(".parquet",), no_data=("_", "."))
OWN = """
stages:
  docs: {use: jsonl, files: FILES}
  corpus: {use: write, inputs: docs, format: jsonl.zst}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def put(folder, *texts, name="a.jsonl"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    return path


def put_parquet(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def found(*patterns, folder, kind=JSONL, base=""):
    looked = look_for(patterns, base=base, folder=folder, where="files", kind=kind)
    return [f.rel for f in looked.files], looked.told


def rows_of(ran, stage="docs"):
    return sorted(ran.table(stage, "text").column("text").to_pylist())


# -- a run's own files ---------------------------------------------------------------------------------------


def test_a_run_never_reads_what_it_wrote(tmp_path):
    put(tmp_path, *"12345")
    for _ in range(3):
        ran = run(OWN.replace("FILES", '"**/*.jsonl*"'), tmp_path, tmp_path / "runs")
        assert rows_of(ran) == list("12345")
    (told,) = ran.plan.node("docs").told
    assert f"passed over 1 file that winnow wrote in the run root {tmp_path}/runs" in told


@pytest.mark.parametrize("root", [".", "runs", "deep/er/runs"])
@pytest.mark.parametrize("pattern", ["**/*.jsonl*", "*/**/*.zst", "**/*", "**"])
def test_no_wildcard_leads_into_a_run_root_wherever_it_lies(tmp_path, root, pattern):
    put(tmp_path / "raw", *"123")
    put(tmp_path / "raw", *"45", name="b.jsonl.zst.jsonl")
    (tmp_path / "raw" / "c.zst").write_bytes(b"")
    run(OWN.replace("FILES", '"raw/*.jsonl"'), tmp_path, tmp_path / root)
    kind = FileKind(suffixes=JSONL.suffixes, no_data=JSONL.no_data, root=str(tmp_path / root))
    rels, told = found(pattern, folder=tmp_path, kind=kind)
    assert rels
    assert [rel for rel in rels if "raw/" not in rel or "write-" in rel] == []
    assert any("that winnow wrote in the run root" in t for t in told)


def test_another_root_is_read_where_its_folder_is_named(tmp_path):
    put(tmp_path, *"12345")
    run(OWN.replace("FILES", "a.jsonl"), tmp_path, tmp_path / "runs")
    again = OWN.replace("FILES", '"runs/write-*/shards/*.zst"')
    assert rows_of(run(again, tmp_path, tmp_path / "other")) == list("12345")
    rels, told = found("runs/write-*/**/*", folder=tmp_path)  # a unit is no second copy
    assert sum(".jsonl.zst" in rel or "-jsonl-zst" in rel for rel in rels) == 1
    assert told == ["passed over 1 file or folder that is no data: _data/"]


def test_the_root_of_this_run_is_refused_where_it_is_named(tmp_path):
    put(tmp_path, *"12345")
    run(OWN.replace("FILES", "a.jsonl"), tmp_path, tmp_path / "runs")
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    folder = next((tmp_path / "runs").glob("write-*")).name
    for named in (f"runs/{folder}/shards/*.zst", f"link/{folder}/shards/*.zst", f"runs/{folder}/shards",
                  "runs/write-*/shards/*.zst", "link/write-*/shards/*.zst", "r*/w*/**/*.zst"):  # fmt: skip
        with pytest.raises(ConfigError, match="lies in the run root of this run") as refused:
            run(OWN.replace("FILES", named), tmp_path, tmp_path / "runs")
        assert "another --out" in refused.value.hint


def test_where_only_a_runs_own_files_match_the_error_says_how_to_name_them(tmp_path):
    put(tmp_path, *"12345")
    run(OWN.replace("FILES", "a.jsonl"), tmp_path, tmp_path / "runs")
    with pytest.raises(ConfigError, match=r"no file matches .*passed over 1 file .*write-\*/shards"):
        found("**/*.zst", folder=tmp_path)


def test_links_into_a_run_root_are_passed_over(tmp_path):
    put(tmp_path, *"12345")
    run(OWN.replace("FILES", "a.jsonl"), tmp_path, tmp_path / "runs")
    shards = next((tmp_path / "runs").glob("write-*/shards"))
    (tmp_path / "latest").symlink_to(shards)
    (tmp_path / "one.zst").symlink_to(next(shards.glob("*.zst")))
    rels, told = found("**/*.[jz]s*", folder=tmp_path)
    assert rels == ["a.jsonl"]
    assert "winnow wrote" in " ".join(told)


# -- every file once -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["in/*", "in/*.jsonl", "in/**/*", "in/**/*.jsonl", "in/**", "in"])
def test_of_a_file_and_a_link_to_it_the_file_counts_by_every_kind_of_pattern(tmp_path, pattern):
    real = put(tmp_path / "in", "x", name="z.jsonl")
    (tmp_path / "in/a.jsonl").symlink_to(real)
    found = look_for([pattern], base="", folder=tmp_path, where="docs", kind=JSONL)
    assert [file.path for file in found.files] == [str(real)]
    told = "1 path leads to a file that is read already, and each file is read once"
    assert found.told == [f"{told}: {tmp_path}/in/a.jsonl is {real}"]


@pytest.mark.parametrize("deep", ["", "deep/er/"])
def test_of_a_folder_and_a_link_to_it_the_folder_counts(tmp_path, deep):
    real = put(tmp_path / "in/z" / deep, "x")
    (tmp_path / "in/a").symlink_to(tmp_path / "in/z")
    found = look_for([f"in/*/{deep}*.jsonl"], base="", folder=tmp_path, where="docs", kind=JSONL)
    assert [file.path for file in found.files] == [str(real)]


def test_a_file_is_read_once_however_many_names_it_has(tmp_path):
    real = put(tmp_path / "raw", "1", name="b.jsonl")
    (tmp_path / "raw/a.jsonl").symlink_to(real)
    os.link(real, tmp_path / "raw/c.jsonl")
    rels, told = found("raw/*.jsonl", folder=tmp_path)
    assert rels == ["b.jsonl"]
    assert "2 paths lead to a file that is read already" in told[0]
    assert "a.jsonl is" in told[0]
    assert "c.jsonl is" in told[0]
    rels, told = found("raw/*.jsonl", "raw/c.jsonl", "**/c.jsonl", folder=tmp_path)
    assert rels == ["b.jsonl"]
    ran = run(OWN.replace("FILES", '["raw/*.jsonl", "**/b.jsonl"]'), tmp_path, tmp_path / "root")
    assert rows_of(ran) == ["1"]


def test_link_loops_end_and_are_told(tmp_path):
    put(tmp_path / "raw/in", "1")
    for n in range(12):  # each way round would double the number of paths
        (tmp_path / f"raw/in/up{n}").symlink_to(tmp_path / "raw")
    (tmp_path / "raw/out").symlink_to(tmp_path)
    (tmp_path / "raw/self").symlink_to("self")
    rels, told = found("raw/**/*.jsonl", folder=tmp_path)
    assert rels == ["in/a.jsonl"]
    assert "passed over 13 links to folders that are read already or lie above" in told[0]


def test_a_linked_folder_beside_is_read(tmp_path):
    put(tmp_path / "disk/more", "1")
    put(tmp_path / "raw", "2")
    (tmp_path / "raw/linked").symlink_to(tmp_path / "disk")
    assert found("raw/**/*.jsonl", folder=tmp_path) == (["a.jsonl", "linked/more/a.jsonl"], [])


TWO = """
stages:
  one: {use: jsonl, files: "a.*", source: one}
  two: {use: jsonl, files: "*.jsonl", source: two, TWO}
  all: {use: concat, inputs: [one, two]}
"""


def test_a_file_under_two_readers_of_a_concat_is_refused(tmp_path):
    put(tmp_path, "1")
    put(tmp_path, "2", name="b.jsonl")
    with pytest.raises(ConfigError, match=r"a.jsonl would be in `concat` twice: 'one' and 'two' both read it"):
        plan_of(TWO.replace(", TWO", ""), tmp_path)
    plan_of(TWO.replace("TWO", "text_field: title"), tmp_path)  # other documents of the same records
    apart = plan_of(TWO.replace(", TWO", "").partition("  all:")[0], tmp_path)
    assert "reads " in apart.node("two").told[0]
    assert "as 'one' does" in apart.node("two").told[0]
    assert not apart.node("one").told


# -- folders, and what is no file ----------------------------------------------------------------------------


def test_a_folder_that_matches_is_a_data_set(tmp_path):
    put_parquet(tmp_path / "spark.parquet/part-0.parquet", text=["a", "b"])
    put_parquet(tmp_path / "more.parquet", text=["top"])
    for name in ("_SUCCESS", ".part-0.parquet.crc", "_metadata.parquet", "notes.txt"):
        (tmp_path / "spark.parquet" / name).write_bytes(b"x")
    put_parquet(tmp_path / "spark.parquet/_temporary/x.parquet", text=["no"])
    put_parquet(tmp_path / "spark.parquet/deep/y.parquet", text=["c"])
    recipe = "stages:\n  docs: {use: parquet, files: FILES}\n"
    ran = run(recipe.replace("FILES", '"*.parquet"'), tmp_path, tmp_path / "root")
    assert rows_of(ran) == ["a", "b", "c", "top"]
    assert (
        "passed over 3 files and folders that are no data: _metadata.parquet, _temporary/, notes.txt"
        in ran.plan.node("docs").told[0]
    )
    for outright in ("spark.parquet", "spark.parquet/", str(tmp_path / "spark.parquet")):
        assert rows_of(run(recipe.replace("FILES", outright), tmp_path, tmp_path / "root")) == ["a", "b", "c"]
    deep, told = found("**/*.parquet", folder=tmp_path, kind=PARQUET)
    assert deep == ["more.parquet", "spark.parquet/deep/y.parquet", "spark.parquet/part-0.parquet"]
    assert "passed over 3 files and folders that are no data" in told[0]
    assert not any("already" in t for t in told)
    same = [found(p, folder=tmp_path, kind=PARQUET)[0] for p in ("spark.parquet", "spark.parquet/**/*.parquet")]
    assert same[0] == same[1]  # so the same fingerprint


def test_a_folder_without_data_says_what_it_holds(tmp_path):
    put(tmp_path / "raw", "1", name="a.csv")
    with pytest.raises(ConfigError, match=r"raw holds no file that ends in .parquet \(it holds a.csv\)"):
        found("raw/", folder=tmp_path, kind=PARQUET)
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match="it is empty"):
        found("none", folder=tmp_path, kind=PARQUET)


def test_folders_that_only_a_bare_wildcard_matches_are_told(tmp_path):
    put(tmp_path / "raw/sub", "1")
    put(tmp_path / "raw", "2")
    rels, told = found("raw/*", folder=tmp_path)
    assert rels == ["a.jsonl"]
    assert "passed over 1 folder beside the files" in told[0]
    assert "raw/sub" in told[0]
    assert found("raw/**/*", folder=tmp_path) == (["a.jsonl", "sub/a.jsonl"], [])
    with pytest.raises(ConfigError, match="passed over 1 folder"):
        found("ra*", folder=tmp_path)


@pytest.mark.parametrize("outright", [False, True])
@pytest.mark.parametrize("what", ["a named pipe", "a socket", "a device"])
def test_what_is_no_file_is_refused_by_name(tmp_path, what, outright):
    put(tmp_path, "1")
    path = tmp_path / "x.jsonl"
    if what == "a named pipe":
        os.mkfifo(path)
    elif what == "a socket":
        socket.socket(socket.AF_UNIX).bind(os.path.relpath(path))
    else:
        path.symlink_to("/dev/null")
    with pytest.raises(ConfigError, match=f"x.jsonl is {what}, not a file"):
        found("x.jsonl" if outright else "*.jsonl", folder=tmp_path)


@pytest.mark.parametrize("name", ["data[1].jsonl", "what?.jsonl", "all*.jsonl", "a[!b.jsonl"])
def test_a_name_that_holds_wildcards_is_that_file_where_it_is_there(tmp_path, name):
    put(tmp_path, "1", name=name)
    put(tmp_path, "2", name="data1.jsonl")
    put(tmp_path, "2", name="whats.jsonl")
    put(tmp_path, "2", name="alla.jsonl")
    ran = run(OWN.replace("FILES", json.dumps(name)), tmp_path, tmp_path / "root")
    assert rows_of(ran) == ["1"]


def test_names_that_begin_with_an_underscore_are_no_records_but_may_be_texts(tmp_path):
    put(tmp_path, "1")
    put(tmp_path, "2", name="_index.jsonl")
    put(tmp_path, "3", name=".hidden.jsonl")
    rels, told = found("*.jsonl", folder=tmp_path)
    assert rels == ["a.jsonl"]
    assert "passed over 1 file or folder that is no data: _index.jsonl" in told[0]
    assert found("_*.jsonl", folder=tmp_path) == (["_index.jsonl"], [])
    assert found("_index.jsonl", folder=tmp_path) == (["_index.jsonl"], [])
    (tmp_path / "__init__.py").write_text("x = 1\n")
    texts = run('stages: {docs: {use: text_files, files: "*.py"}}', tmp_path, tmp_path / "root")
    assert rows_of(texts) == ["x = 1\n"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list any folder")
def test_a_folder_that_may_not_be_listed_is_an_error(tmp_path):
    put(tmp_path / "raw/closed", "1")
    (tmp_path / "raw/closed").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot list a folder"):
            found("raw/**/*.jsonl", folder=tmp_path)
    finally:
        (tmp_path / "raw/closed").chmod(0o755)


def test_a_root_is_told_by_what_lies_in_it(tmp_path):
    """A folder of one's own that is called as a stage's might be is input."""
    put(tmp_path / "write-0123456789abcdef0123", "1")
    put(tmp_path / "runs", "2")
    put(tmp_path / "code", "3")
    assert found("**/*.jsonl", folder=tmp_path)[0] == [
        "code/a.jsonl",
        "runs/a.jsonl",
        "write-0123456789abcdef0123/a.jsonl",
    ]


def test_a_copied_root_is_a_root(tmp_path):
    put(tmp_path, "1")
    run(OWN.replace("FILES", "a.jsonl"), tmp_path, tmp_path / "runs")
    shutil.copytree(tmp_path / "runs", tmp_path / "backup/of/it")
    assert found("**/*.*l*", folder=tmp_path)[0] == ["a.jsonl"]


def test_paths_with_a_recipes_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(Path("/"))
    put(tmp_path / "raw", "1")
    assert found("raw/*.jsonl", folder=tmp_path)[0] == ["a.jsonl"]
    with pytest.raises(ConfigError, match="no file matches '~/x'") as refused:
        found("~/x", folder=tmp_path)
    assert "not expanded" in refused.value.hint


def test_parts_of_a_compressed_file_are_of_its_text(tmp_path):
    """A part has a sixteenth of the text, not of the compressed bytes; units are cut by what files take."""
    files = [InputFile(path=f"/{name}", rel=name, size=64 << 20, digest="d") for name in ("a.warc.gz", "b.jsonl")]
    assert [text_bytes([f]) >> 20 for f in files] == [256, 64]
    assert [part_bytes(text_bytes([f])) >> 20 for f in files] == [16, 4]
    assert len(cut_units(files, (".jsonl",), part_bytes(128 << 20))) == 9  # a whole and eight pieces
