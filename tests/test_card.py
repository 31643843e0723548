"""`winnow card`: figures against the raw files, digests against the shards, readers of others against the folder."""

import collections
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from cli_runs import winnow

import winnow as w
from winnow.core.errors import ConfigError, StoreError
from winnow.core.store.names import CARDS
from winnow.dags.looking.cards import Told, card_files, export_with_cards, write_cards
from winnow.dags.looking.cards import facts as module
from winnow.dags.looking.cards.croissant import croissant
from winnow.dags.looking.cards.data_card import data_card, size_category
from winnow.dags.looking.cards.machine_paths import without_machine_paths
from winnow.dags.looking.cards.markdown_text import block, code, front_matter, plain, table
from winnow.dags.looking.cards.told import hub_licence, licence_address
from winnow.dags.looking.cards.training_summary import size_range
from winnow.dags.looking.cards.words import described
from winnow.dags.looking.cards.written_rows import Part
from winnow.dags.looking.report.effects import Effect, Row, Target
from winnow.dags.shapes.rewrite import RewriteRun

EVIL = "we|b <b>`x`</b>](http://evil.example)"
SAME, SEEN = "one and the same page about boats " * 6, "a question that an exam asks about the moon and the tides "
RECIPE = """
name: web
seed: 7
tokenizer: bytes/4
stages:
  docs:   {use: jsonl, files: "FOLDER/*/*.jsonl", columns: {url_domain: string, licence: string, lang: string, n: int64}}
  exam:   {use: jsonl, files: "FOLDER/exam.jsonl"}
  clean:  {use: filter, inputs: docs, keep: {long: "text_bytes >= 60", known: "lang != 'xx'"}}
  unique: {use: exact, inputs: docs}
  fresh:  {use: decontaminate, inputs: docs, against: exam}
  masked: {use: mask_pii, inputs: docs}
  up:     {use: upsample, inputs: docs, by: n, budget: 150 docs}
  corpus: {use: write, inputs: [docs, fresh], shard_bytes: 8kB, carry: [url_domain, licence, n, token_count]}
  bare:   {use: write, inputs: [docs, fresh], text: docs, carry: [pii_email]}
  twice:  {use: write, inputs: [docs, up], repeat: up.weight, format: jsonl}
"""


def documents():
    """(folder, record) of every document: 10 short ones, 8 of another language, 4 alike, 2 that an exam asks."""
    for i in range(120):
        text = f"page {i} " + " ".join(f"w{i * j % 97}" for j in range(1, 40 + i % 9))
        text = "short" if i % 12 == 5 else SAME if i % 30 == 7 else f"{text} {SEEN}" if i in (9, 50) else text
        text += " write to jane.doe@example.com" if i % 12 == 2 else ""
        i = 7 if text == SAME else i
        host = f"site{i % 25}.org" if i % 40 else None
        yield ("books" if i % 3 else "web"), {
            "text": text, "url_domain": host, "n": i,
            "licence": ["MIT", EVIL, None, "GPL-2.0-only"][i % 4], "lang": "xx" if i % 15 == 4 else ["no", "de"][i % 2],
        }  # fmt: skip


def kept():
    """The documents that the recipe keeps, by its own words."""
    seen = set()
    for folder, one in sorted(documents(), key=lambda pair: pair[0]):
        fresh = len(one["text"].encode()) >= 60 and one["lang"] != "xx" and one["text"] not in seen
        if fresh:
            seen.add(one["text"])
            if SEEN not in one["text"]:
                yield folder, one


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cards") / "jane"
    for name, one in documents():
        path = folder / name / "a.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(one) + "\n")
    (folder / "exam.jsonl").write_text(json.dumps({"text": SEEN}) + "\n")
    recipe = folder / "web.yaml"
    recipe.write_text(RECIPE.replace("FOLDER", str(folder)))
    w.run_recipe(str(recipe), out=str(folder / "root"), workers=0)
    return folder


@pytest.fixture(scope="module")
def record(ran):
    return _record(ran / "root")


def _record(root):
    from winnow.core.store.locations import open_store
    from winnow.dags.recipe.records import latest_record

    return latest_record(open_store(root))


@pytest.fixture(scope="module")
def made(record):
    """The folder with the cards of `corpus`."""
    return Path(write_cards(record, "corpus", Told(title=EVIL))["folder"])


@pytest.fixture(scope="module")
def facts(record):
    from winnow.dags.looking.cards.shards import shards_of
    from winnow.dags.looking.export import shard_index

    run, view = module.write_stage(record, "corpus")
    place = Path(view.store.where(f"{view.folder}/shards")).joinpath
    shards = shards_of(view, shard_index(view), place, folder="shards", form="parquet")
    return module.facts_of(run, view, shards, Told())


def section(text, title):
    """The lines below a heading."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0].strip().splitlines()


def row(lines, first):
    """The cells of the table row that begins with a cell."""
    line = next(line for line in lines if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def masked(text):
    return text.replace("jane.doe@example.com", "<EMAIL>")


def test_sizes_sources_licences_and_domains_are_those_of_the_raw_files_that_were_kept(made, facts):
    whole = list(kept())
    sizes = collections.Counter()
    for folder, one in whole:
        size = len(masked(one["text"]).encode())
        sizes += collections.Counter({("all",): size, ("source", f"docs / {folder}"): size})
        sizes += collections.Counter({("licence", one["licence"]): size})
    told = {("source", one.name): one.bytes for one in facts.written.sources}
    told |= {("licence", one.name): one.bytes for one in facts.written.groups["licence"]}
    assert facts.documents == len(whole) == facts.written.documents
    assert facts.text_bytes == sizes.pop(("all",)) == facts.written.bytes
    assert told == sizes
    domains = collections.Counter(one["url_domain"] for _, one in whole)
    assert {one.name: one.documents for one in facts.written.groups["domain"]} == domains
    tokens = sum(-(-len(masked(one["text"]).encode()) // 4) for _, one in whole)
    assert (facts.written.tokens, facts.written.tokens_by) == (tokens, "bytes/4")
    lines = section((made / "README.md").read_text(), "What it is made of")
    assert row(lines, "documents")[1] == f"{len(whole):,}"
    assert row(lines, "bytes of text")[1] == f"{facts.text_bytes:,}"
    assert row(lines, "`docs / web`")[1] == str(sum(folder == "web" for folder, _ in whole))


def test_drops_stand_by_reason_and_by_source_with_duplicates_exam_and_personal_data(made, facts):
    text = (made / "README.md").read_text()
    short = sum(len(one["text"].encode()) < 60 for _, one in documents())
    other = sum(one["lang"] == "xx" for _, one in documents())
    both = sum(len(one["text"].encode()) < 60 and one["lang"] == "xx" for _, one in documents())
    lines = section(text, "What was dropped, and why")
    assert row(lines, "`clean`")[2:5] == ["120", str(short + other - both), str(120 - short - other + both)]
    assert f"`text_bytes >= 60`: {short} refused, {short - both} by it alone" in row(lines, "- long")
    of = [(folder, one) for folder, one in documents() if folder == "web"]
    bad = sum(len(one["text"].encode()) < 60 or one["lang"] == "xx" for _, one in of)
    assert row(lines, "`docs/web`")[1:3] == [str(len(of)), f"{bad} of {len(of)}"]
    alike = [one for _, one in documents() if one["text"] == SAME and one["lang"] != "xx"]
    assert row(section(text, "Duplicates"), "`unique`")[3:5] == [str(len(alike) - 1), "1"]
    asked, dropped = row(section(text, "Evaluation data"), "`fresh`")[2:4]
    assert (int(asked), int(dropped)) == (facts.documents + 2, 2)
    assert row(section(text, "Evaluation data"), "`fresh`")[1] == "`exam`"
    mails = sum("jane.doe" in one["text"] for _, one in documents())
    assert row(section(text, "Personal data"), "`masked`")[1:3] == ["120", str(mails)]
    assert not [line for line in lines if "`up`" in line]
    assert "up" not in {one.name for one in facts.stages}  # decides for another set
    assert "exam" not in {one.name for one in facts.readers}  # not what the set is made of


def test_croissant_describes_the_files_as_they_lie(made):
    body = json.loads((made / "croissant.json").read_bytes())
    assert (body["conformsTo"], body["@type"], body["name"]) == (
        "http://mlcommons.org/croissant/1.1", "sc:Dataset", EVIL,
    )  # fmt: skip
    *files, whole = body["distribution"]
    assert len(files) == len(list((made / "shards").iterdir())) > 1
    for one in files:
        data = (made / one["contentUrl"]).read_bytes()
        assert one["sha256"] == hashlib.sha256(data).hexdigest()
        assert one["contentSize"] == f"{len(data)} B"
        assert one["encodingFormat"] == whole["encodingFormat"] == "application/x-parquet"
    assert sorted(p.relative_to(made).as_posix() for p in made.glob(whole["includes"])) == [f["@id"] for f in files]
    (records,) = body["recordSet"]
    types = {one["source"]["extract"]["column"]: one["dataType"] for one in records["field"]}
    known = {pa.large_string(): "sc:Text", pa.string(): "sc:Text", pa.int64(): "cr:Int64"}
    assert types == {field.name: known[field.type] for field in pq.read_schema(made / files[0]["contentUrl"])}
    assert {one["source"]["fileSet"]["@id"] for one in records["field"]} == {whole["@id"]}
    assert {"@type": "sc:CreativeWork", "name": EVIL} in body["license"]
    assert "https://spdx.org/licenses/MIT.html" in body["license"]
    assert not {"url", "citeAs", "creator", "datePublished", "version"} & set(body)


def test_provenance_names_the_run_its_recipe_and_every_stage(made, ran, record):
    body = json.loads((made / "croissant.json").read_bytes())
    run, *stages = body["prov:wasGeneratedBy"]
    assert run["prov:used"]["sc:sha256"] == hashlib.sha256((ran / "web.yaml").read_bytes()).hexdigest()
    assert (run["prov:startedAtTime"], run["prov:endedAtTime"]) == (record.body["began"], record.body["ended"])
    assert run["prov:wasAssociatedWith"]["prov:label"] == f"winnow {w.__version__}"
    assert [one["sc:identifier"] for one in stages if "stage corpus:" in one["prov:label"]] == [
        record.stages["corpus"]["fingerprint"]
    ]
    assert len(body["prov:wasDerivedFrom"]) == 1


def test_lists_and_types_without_a_name(facts):
    columns = {"doc_id": pa.large_string(), "spans": pa.list_(pa.list_(pa.float32())), "odd": pa.struct([("a", pa.int8())]),
               "when": pa.timestamp("us"), "word": pa.dictionary(pa.int32(), pa.string())}  # fmt: skip
    shards = dataclasses.replace(facts.shards, columns=columns)
    body = json.loads(croissant(dataclasses.replace(facts, shards=shards)))
    fields = {one["name"]: one for one in body["recordSet"][0]["field"]}
    assert {name: one["dataType"] for name, one in fields.items()} == {
        "doc_id": "sc:Text", "spans": "cr:Float32", "when": "sc:DateTime", "word": "sc:Text",
    }  # fmt: skip
    assert (fields["spans"]["isArray"], fields["spans"]["arrayShape"]) == (True, "-1,-1")
    assert "isArray" not in fields["when"]


def test_equal_runs_give_equal_bytes_and_no_card_knows_the_machine(made, record, ran):
    before = {p.name: p.read_bytes() for p in made.iterdir() if p.is_file() and p.name in CARDS}
    write_cards(record, "corpus", Told(title=EVIL))
    assert before == {p.name: p.read_bytes() for p in made.iterdir() if p.is_file() and p.name in CARDS}
    assert set(before) == set(CARDS)
    driver = str(record.body["driver"])
    for data in before.values():
        assert not [word for word in (str(ran), "/jane", driver.rpartition("-")[0] + "-") if word.encode() in data]
    assert "…/*.jsonl" in before["README.md"].decode()


def test_the_hub_reads_the_head_and_no_value_is_markdown(made):
    text = (made / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])  # YAML 1.1, where a bare `no` is false
    assert head["language"] == ["no", "de"] or head["language"] == ["de", "no"]
    assert set(head["license"]) == {"mit", "gpl-2.0", "other", "unknown"}
    assert head["size_categories"] == ["n<1K"]
    assert head["pretty_name"] == EVIL
    markdown = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"html": True, "linkify": False})
    tokens = markdown.parse(text.split("---\n", 2)[2])
    inline = [inner for token in tokens for inner in token.children or ()]
    assert not [one for one in inline if one.type in ("link_open", "html_inline", "image", "em_open", "strong_open")]
    raw = {token.content.strip() for token in tokens if token.type == "html_block"}
    assert raw == {"<details><summary>The recipe</summary>", "</details>"}
    tables = [token for token in tokens if token.type in ("th_open", "td_open", "tr_open")]
    assert len(tables) > 100
    (title,) = [
        tokens[at + 1].children for at, one in enumerate(tokens) if one.type == "heading_open" and one.tag == "h1"
    ]
    assert "".join(one.content for one in title) == EVIL


@pytest.mark.parametrize("text", ["*a* _b_", "[x](y)", "<script>", "a|b", "`c`", "# h", "- l", "1. l", "~~s~~", "$x$",
                                  "a\nb", "&lt;", "\x1b[31m", "www.x.org", "http://x.org", "a@b.org", "\\"])  # fmt: skip
def test_words_stay_words(text):
    render = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse
    shown = "\\x1b[31m" if "\x1b" in text else " ".join(text.split())
    for made in (plain(text), code(text)):
        paragraph, inline, _ = render(made)
        assert paragraph.type == "paragraph_open"
        assert "".join(one.content for one in inline.children) == shown
        whole = render("\n".join(table(["a", "b"], [[made, "z"]])))
        cells = [whole[at + 1] for at, one in enumerate(whole) if one.type == "td_open"]
        assert ["".join(inner.content for inner in one.children) for one in cells] == [shown, "z"]


def test_a_recipe_cannot_end_its_fence():
    text = block("a: '```'\n````\n</details>", "yaml")
    assert text.startswith("`````yaml\n")
    assert text.endswith("\n`````")
    assert list(front_matter({"a": ["---\nb: 1", {"c": "no", "d": [1]}]})) == [
        "---", "a:", '- "---\\nb: 1"', '- c: "no"', "  d:", "  - 1", "---",
    ]  # fmt: skip


def test_datasets_finds_the_shards_beside_the_card_and_in_a_folder_to_publish(made, record, tmp_path, facts):
    load = pytest.importorskip("datasets").load_dataset
    for number, folder in enumerate([made, published(record, tmp_path, "jsonl.zst")]):
        found = load(str(folder), split="train", cache_dir=str(tmp_path / f"cache{number}"))
        assert found.num_rows == facts.documents
        (records,) = json.loads((folder / "croissant.json").read_bytes())["recordSet"]
        assert found.column_names == [one["name"] for one in records["field"]]


def published(record, folder, form):
    to = folder / f"to-{form}"
    made = export_with_cards(record, "corpus", str(to), Told(licences=("MIT",)), form)
    assert (made["to"], made["format"], set(made["cards"])) == (str(to), form, set(CARDS))
    assert {p.name for p in to.iterdir()} == {"data", "data.meta", *CARDS}
    return to


def test_a_folder_to_publish_is_whole_or_not_there(record, tmp_path, monkeypatch, capsys, ran):
    monkeypatch.setattr("winnow.dags.looking.cards.card_files", lambda facts: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_with_cards(record, "corpus", str(tmp_path / "new"), Told())
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    said = winnow(capsys, "export", ran / "root", "corpus", "--to", tmp_path / "new", "--card", "--format", "arrow")
    assert said.code == 0
    assert "mlcroissant reads no arrow" in said.out
    assert "nobody has said the licence of the data as a whole (--license)" in said.out
    body = json.loads((tmp_path / "new/croissant.json").read_bytes())
    assert body["distribution"][0]["encodingFormat"] == "application/vnd.apache.arrow.file"
    again = winnow(capsys, "export", ran / "root", "corpus", "--to", tmp_path / "new", "--card")
    assert (again.code, "is not empty" in again.err) == (2, True)


def test_repeated_rows_count_as_often_as_they_are_written(record):
    made = write_cards(record, "twice", Told(licences=("CC-BY-4.0",)))
    body = json.loads((Path(made["folder"]) / "training_summary.json").read_bytes())
    rows = [json.loads(line) for p in (Path(made["folder"]) / "shards").iterdir() for line in p.open()]
    sources = body["2_list_of_data_sources"]["sources_of_the_documents"]
    assert sum(one["documents"] for one in sources) == len(rows) == made["documents"] > len(list(kept()))
    web = next(one for one in sources if one["name"] == "docs / web")
    assert web["documents"] == sum(r["origin"].startswith("web") for r in rows)
    assert web["bytes"] == sum(r["text_bytes"] for r in rows if r["origin"].startswith("web"))
    assert body["2_list_of_data_sources"]["licences"]["of_the_set"] == ["CC-BY-4.0"]
    assert "cards" not in made["remarks"]


def test_the_summary_names_the_top_domains_and_what_a_person_must_fill_in(made, facts):
    body = json.loads((made / "training_summary.json").read_bytes())
    domains = body["2_list_of_data_sources"]["domains"]
    named = sorted((one for one in facts.written.groups["domain"] if one.name), key=lambda one: (-one.bytes, one.name))
    assert domains["number"] == len(named) == 25
    assert domains["top_10_percent"]["domains"] == len(domains["largest"]) == 3
    assert domains["top_5_percent_or_1000"]["domains"] == 2
    top = sum(one.bytes for one in named[:3]) / facts.text_bytes
    assert domains["top_10_percent"]["share_of_bytes"] == pytest.approx(top, abs=1e-6)
    assert [one["name"] for one in domains["largest"]] == [one.name for one in named[:3]]
    lines = (made / "domains.csv").read_text().splitlines()
    assert len(lines) == 26
    assert lines[1].startswith(f"1,{named[0].name},{named[0].documents},{named[0].bytes},")
    assert domains["documents_without_one"] == sum(one["url_domain"] is None for _, one in kept())
    assert {"1.1 provider", "2.3 crawling", "3.1 rights"} <= set(body["to_be_filled_in"])
    text = body["1_general_information"]["modalities"]["text"]
    assert (text["size_range"], text["tokens_estimated_by"]) == ("less than 1 billion tokens", "bytes/4")
    assert body["2_list_of_data_sources"]["licences"]["of_the_set"] is None
    assert [size_range(n) for n in (10**9 - 1, 10**9, 10**13, 10**13 + 1)] == [
        "less than 1 billion tokens", "1 billion to 10 trillion tokens", "1 billion to 10 trillion tokens",
        "more than 10 trillion tokens",
    ]  # fmt: skip


def test_what_the_record_does_not_say_is_said_to_be_unknown(facts):
    parts = [Part(name="docs", documents=3, bytes=9, tokens=None)]
    groups = {"language": None, "licence": None, "domain": None}
    written = dataclasses.replace(facts.written, tokens=None, tokens_by="", sources=parts, groups=groups)
    bare = dataclasses.replace(facts, written=written, funnels=[], duplicates=[], decontaminated=[], masked=[])
    text = data_card(bare).decode()
    assert 'license: "unknown"' in text
    for said in ("No column says the licence", "Unknown: no stage of the run found languages", "Nothing was dropped",
                 "No stage looked for duplicates", "Nothing was looked for", "Nothing was masked",
                 "No comparison was run", "unknown: no stage counts them", "an unknown number of tokens",
                 "Its licence is unknown", "the licence of the data as a whole"):  # fmt: skip
        assert said in text.replace("\\", ""), said
    assert "## Domains" not in text
    assert "license" not in json.loads(croissant(bare))
    assert "domains.csv" not in card_files(bare)
    assert "an unknown number of tokens" in described(bare)


def test_effects_stand_with_their_interval(facts):
    rows = [Row(arm="best", control=False, mean=-0.2, low=-0.3, high=-0.1, verdict="better", mde=None, p_adjusted=None,
                fixed=False),
            Row(arm="aa", control=True, mean=0.01, low=None, high=None, verdict="cannot tell", mde=None,
                p_adjusted=None, fixed=False)]  # fmt: skip
    target = Target(name="held|out", primary=True, documents=5, baseline=1.0, unit="bits per byte", rows=rows)
    effect = Effect(stage="effect", targets=[target], facts=[("seeds", "4")], notes=["small *run*"], screening=True)
    lines = section(data_card(dataclasses.replace(facts, effects=[effect])).decode(), "Measured effect")
    assert row(lines, "`best`")[1:] == [r"held\|out (primary)", "-0.2000 bits per byte", "-0.3000 .. -0.1000", "better"]
    assert row(lines, "`aa` (control)")[3] == "no interval"
    assert "screening only" in lines[0]
    assert r"- small \*run\*" in lines


def test_lineage_and_bill_say_the_same(made, record, facts):
    events = [json.loads(line) for line in (made / "openlineage.jsonl").read_text().splitlines()]
    assert [e["job"]["name"] for e in events] == [f"web.{one.name}" for one in facts.stages]
    assert {e["eventType"] for e in events} == {"COMPLETE"}
    assert {e["eventTime"] for e in events} == {record.body["ended"]}
    outputs = {e["outputs"][0]["name"] for e in events}
    assert {one["name"] for e in events for one in e["inputs"]} <= outputs | {"books/a.jsonl", "web/a.jsonl"}
    assert len(events[0]["inputs"]) == 2
    last = events[-1]["outputs"][0]
    assert last["outputFacets"]["outputStatistics"]["rowCount"] == facts.documents
    assert last["facets"]["version"]["datasetVersion"] == facts.shards.digest
    bill = json.loads((made / "cyclonedx.json").read_bytes())
    first = bill["components"][0]
    assert (bill["bomFormat"], bill["specVersion"], first["type"]) == ("CycloneDX", "1.6", "data")
    assert {one["hashes"][0]["content"] for one in first["components"]} == {one.sha256 for one in facts.shards.files}
    assert "personal data masked by masked" in first["data"][0]["sensitiveData"][0]


def test_errors_name_the_value_the_place_and_what_to_do(ran, record, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    many = winnow(capsys, "card", ran / "root")
    assert (many.code, "3 `write` stages" in many.err, "corpus, bare, twice" in many.err) == (2, True, True)
    other = winnow(capsys, "card", ran / "root", "clean")
    assert (other.code, "'clean' (filter) writes no shards" in other.err, "corpus, bare, twice" in other.err) == (
        2,
        True,
        True,
    )
    none = winnow(capsys, "card", "nowhere")
    assert (none.code, "nowhere" in none.err, "hint" in none.err) == (2, True, True)
    broken = dataclasses.replace(record, body={**record.body, "outcome": "failed"})
    with pytest.raises(StoreError, match="is failed"):
        write_cards(broken, "corpus", Told())
    stages = {name: one for name, one in record.stages.items() if name not in ("corpus", "bare", "twice")}
    with pytest.raises(ConfigError, match="has 0 `write` stages") as found:
        write_cards(dataclasses.replace(record, stages=stages), None, Told())
    assert "use: write" in found.value.hint
    gone = {**record.stages, "twice": {**record.stages["twice"], "dir": "write-" + "0" * 20}}
    with pytest.raises(StoreError, match="twice"):
        write_cards(dataclasses.replace(record, stages=gone), "corpus", Told())
    for option, value in (("--url", "here"), ("--published", "soon"), ("--data-version", "2"), ("--license", " ")):
        said = winnow(capsys, "card", ran / "root", "corpus", option, value)
        assert (said.code, option in said.err, "hint" in said.err) == (2, True, True), option


def test_a_mask_over_another_version_of_the_text_is_not_told_of_this_one(record):
    text = (Path(write_cards(record, "bare", Told())["folder"]) / "README.md").read_text()
    assert "Nothing was masked in these texts" in text
    assert "`masked`" in text  # its column is carried, so the set depends on it


def test_figures_that_do_not_meet_are_told(facts):
    assert list(module.unequal(facts)) == []
    written = dataclasses.replace(facts.written, documents=facts.documents - 1, bytes=facts.text_bytes - 5)
    documents, size = module.unequal(dataclasses.replace(facts, written=written))
    assert f"{facts.documents - 1:,} documents are counted by source, {facts.documents:,} were written" in documents
    assert f"{facts.text_bytes:,} bytes of text were written" in size


def test_cards_go_with_the_shards_that_they_describe(ran, record, tmp_path):
    shutil.copytree(ran / "root", tmp_path / "root")
    copy = _record(tmp_path / "root")
    folder = Path(write_cards(copy, "corpus", Told())["folder"])
    stage = SimpleNamespace(store=copy.store, node=SimpleNamespace(folder=folder.name))
    RewriteRun.retract(stage)
    assert not [name for name in ("shards", *CARDS) if (folder / name).exists()]


def test_a_changed_shard_is_refused(ran, tmp_path):
    shutil.copytree(ran / "root", tmp_path / "root")
    shard = next((tmp_path / "root").glob("write-*/shards/*.parquet"))
    data = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(data[:-1] + b"x")
    with pytest.raises(StoreError, match="is not the one that its index names"):
        write_cards(_record(tmp_path / "root"), "corpus", Told())
    shard.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        write_cards(_record(tmp_path / "root"), "corpus", Told())


@pytest.mark.parametrize(("text", "shown"), [
    ("files: /home/jane/data/x.jsonl", "files: …/x.jsonl"), ("{files: [/a/b.jsonl, ~/c/d]}", "{files: […/b.jsonl, …/d]}"),
    ("'/mnt/my dir/x'", "'…/x'"), ('"/home/jane"', '"…/"'), (r"C:\Users\jane\x.txt", "…/x.txt"), ("~jane/x", "…/x"),
    ("https://a.b/c/d.html", "https://a.b/c/d.html"), ("raw/*/*.jsonl", "raw/*/*.jsonl"), ("s3://a/b/c", "s3://a/b/c"),
    ("\"url_path LIKE '/tag/%'\"", "\"url_path LIKE '/tag/%'\""), ("../x/y", "../x/y"), ("a / b / c", "a / b / c"),
    ("file://" + "/home/jane/x", "…/x"), ("bytes/4", "bytes/4"), ("x=/home/jane/y", "x=…/y"),
])  # fmt: skip
def test_paths_of_the_machine_are_shortened_and_nothing_else(text, shown):
    assert without_machine_paths(text) == shown


def test_words_of_the_hub():
    assert [hub_licence(x) for x in ("Apache-2.0", "GPL-2.0-only", "LGPL-2.1-or-later", "MIT OR X", "https://a.b")] == [
        "apache-2.0", "gpl-2.0", "lgpl-2.1", "other", "other",
    ]  # fmt: skip
    assert [licence_address(x) for x in ("MIT", "https://a.b", "My own")] == [
        "https://spdx.org/licenses/MIT.html", "https://a.b", "",
    ]  # fmt: skip
    sizes = {0: "n<1K", 999: "n<1K", 1000: "1K<n<10K", 10**6: "1M<n<10M", 10**12 - 1: "100B<n<1T", 10**12: "n>1T"}
    assert {n: size_category(n) for n in sizes} == sizes


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")  # of its own libraries
def test_mlcroissant_validates_it_and_reads_every_record(record, tmp_path, facts):
    library = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    told = Told(title="set", licences=("MIT",), url="https://a.example/d", cite_as="@misc{d}", creators=("A",),
                published="2026-12-01", version="1.0.0")  # fmt: skip
    for form in ("parquet", "jsonl"):
        export_with_cards(record, "corpus", str(tmp_path / form), told, form)
        found = library.Dataset(str(tmp_path / form / "croissant.json"))
        assert (set(found.metadata.issues._errors), set(found.metadata.issues._warnings)) == (set(), set())
        records = list(found.records("documents"))
        assert len(records) == facts.documents
        assert {r["documents/text"].decode() for r in records} == {masked(one["text"]) for _, one in kept()}
        assert sum(int(r["documents/n"]) for r in records) == sum(one["n"] for _, one in kept())
