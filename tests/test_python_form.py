"""The Python form makes the stages of the same recipe in YAML, runs them, and shows what they left."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import polars as pl
import pytest
from support import lines_of, plan_of, put_corpus, put_file, texts

import winnow as w
from winnow.core.errors import ConfigError, StoreError
from winnow.core.operators import Context
from winnow.core.operators.budget import Budget
from winnow.core.operators.usercode import Selection
from winnow.dags.python.rows import ablation, selection
from winnow.dags.recipe.plan import make_plan
from winnow.dags.recipe.yaml_recipe import parse_recipe
from winnow.selectors.function_selector import FunctionSelector

FUNCTIONS = """
import polars as pl
import winnow as w

@w.scorer("caps_share")
def caps_share(text: pl.Series) -> pl.Series:
    return text.str.count_matches(r"[A-Z]") / text.str.len_chars().clip(1)

@w.selector("calmest", needs=("caps_share", "token_count"))
def calmest(rows: pl.DataFrame, budget: int) -> pl.Series:
    order = rows.with_row_index().sort("caps_share", maintain_order=True)
    fits = order["token_count"].cum_sum() <= budget
    return order.select("index", fits=fits.cast(pl.Float64)).sort("index")["fits"]

def plain(text):
    return text

hidden = w.scorer("hidden")(lambda text: text.str.len_bytes())
"""
CALMEST = ("caps_share", "token_count")
WEB = """
seed: 7
stages:
  docs:    {use: jsonl, files: "raw/*.jsonl.zst", id: content}
  lang:    {use: language, inputs: docs}
  sig:     {use: signals, inputs: docs}
  clean:
    use: filter
    inputs: [lang, sig]
    preset: gopher_quality
    keep: {english: "language = 'en' OR word_count > 3"}
  exact:   {use: exact, inputs: docs, where: kept_clean}
  unique:  {use: minhash, inputs: docs, where: kept_exact, threshold: 0.75}
  quality: {use: fasttext, inputs: docs, where: kept_unique, positive: "refs/*.jsonl", epoch: 1}
  caps:    {use: "python_form_functions:caps_share", inputs: docs}
  best:    {use: top_k, inputs: [docs, unique], by: quality, budget: 2k tokens}
  calm:    {use: "python_form_functions:calmest", inputs: [docs, unique], budget: 2k tokens}
  plain:   {use: random, inputs: [docs, unique], budget: 2k tokens}
  corpus:  {use: write, inputs: [docs, best], format: parquet, carry: [quality, token_count]}
  effect:
    use: ablation
    where: kept_unique
    arms: {best: best, calm: calm}
    baseline: plain
    seeds: 2
    eval: "refs/*.jsonl"
"""
QUICK = """
seed: 3
tokenizer: words
max_bad_share: 0.001
stages:
  std:    {use: text_files, source: std, files: "std/*.txt"}
  site:   {use: jsonl, source: site, files: ["raw/*.jsonl.zst"], max_bad_share: 0.02}
  docs:   {use: concat, inputs: [std, site]}
  sig:    {use: signals, inputs: docs}
  clean:  {use: filter, inputs: sig, keep: {long: "word_count > 3"}}
  taught: {use: jsonl, files: "refs/a.jsonl"}
  safe:   {use: decontaminate, inputs: docs, where: kept_clean, against: taught}
  aside:  {use: holdout, inputs: docs, where: kept_safe, share: 0.1, seed: 11}
  code:   {use: filter, inputs: aside, keep: {held_out: held_out}, ignore: all}
  few:    {use: random, inputs: [docs, aside], budget: 10%, where: "text_bytes < 5000"}
  short:  {use: signals, inputs: docs, where: "kept_aside and (text_bytes < 900)"}
  corpus: {use: write, inputs: [docs, few], format: jsonl.zst}
  plain:  {use: random, inputs: [docs, aside], budget: 20 docs}
  effect:
    use: ablation
    inputs: docs
    where: kept_aside
    arms: {few: few}
    baseline: plain
    eval: {taught: taught, code: code}
    seeds: 2
"""
MORE = """
stages:
  docs:   {use: jsonl, files: "raw/*.jsonl.zst", id: "field:text", source: web}
  notes:  {use: join, inputs: docs, files: "refs/notes.jsonl", key: id, on: id, columns: {grade: float64}}
  sig:    {use: signals, inputs: docs}
  clean:
    use: filter
    inputs: [docs, sig]
    keep: {long: "word_count > 3", graded: "grade > 1 OR notes.matched IS NULL"}
  vec:    {use: ngram_vectors, inputs: docs, where: kept_clean}
  graph:  {use: knn_graph, inputs: docs, where: kept_clean, k: 4}
  spread: {use: facility_location, inputs: [docs, clean], budget: 2k tokens}
  lots:   {use: sample, inputs: [docs, clean], by: grade, budget: 20 docs, temperature: 0.5}
  first:  {use: write, inputs: [docs, spread]}
  second: {use: exact, inputs: first}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with a corpus, references and a module of functions."""
    put_corpus(tmp_path / "raw", texts(120), 3, ".jsonl.zst")
    put_file(tmp_path / "refs" / "a.jsonl", lines_of([t + " reference" for t in texts(40, seed=9) if len(t) > 100]))
    for i, text in enumerate(t for t in texts(24, seed=5) if len(t) > 100):
        put_file(tmp_path / "std" / f"{i}.txt", text.encode())
    (tmp_path / "python_form_functions.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("python_form_functions", None)
    yield tmp_path
    sys.modules.pop("python_form_functions", None)


@pytest.fixture
def functions(folder):
    import python_form_functions

    return python_form_functions


@pytest.fixture
def docs(folder):
    return w.read("raw/*.jsonl.zst", id="content")


def web(functions):
    """The recipe WEB as a program."""
    docs = w.read("raw/*.jsonl.zst", id="content").score(functions.caps_share, name="caps")
    clean = docs.language(name="lang").signals(name="sig").filter(
        name="clean", preset="gopher_quality", keep={"english": "language = 'en' OR word_count > 3"}
    )  # fmt: skip
    pool = clean.exact().minhash(name="unique", threshold=0.75)
    best = pool.fasttext(name="quality", positive="refs/*.jsonl", epoch=1).top_k(name="best", by="quality", tokens="2k")
    arms = {"best": best, "calm": functions.calmest(tokens="2k"), "plain": w.random(tokens=2000)}
    return ablation(pool, arms=arms, eval="refs/*.jsonl", seeds=2), best.write(
        name="corpus", format="parquet", carry=["quality", "token_count"]
    )


def quick():
    """The recipe QUICK as a program."""
    std, site = w.read("std/*.txt", name="std", source="std"), w.read(
        Path("raw/*.jsonl.zst"), name="site", source="site", max_bad_share=0.02
    )  # fmt: skip
    taught = w.read("refs/a.jsonl", name="taught")
    clean = w.concat(std, site, name="docs").signals(name="sig").filter(name="clean", keep={"long": "word_count > 3"})
    aside = clean.decontaminate(name="safe", against=taught).holdout(name="aside", share=0.1, seed=11)
    few = aside.random(name="few", share=0.1, where="text_bytes < 5000")
    code = aside.widen().filter(name="code", keep={"held_out": "held_out"})
    return [
        aside.signals(name="short", where="text_bytes < 900"),
        few.write(name="corpus", format="jsonl.zst"),
        ablation(
            aside,
            arms={"few": few},
            baseline=w.random(docs=20, name="plain"),
            eval={"taught": taught, "code": code},
            seeds=2,
        ),
    ]


def same_as_yaml(lazies, recipe, folder, **top):
    """Every stage of the programs has the fingerprint of its namesake in the recipe, and nothing is left out."""
    written = {n.name: n.fingerprint for n in plan_of(recipe, folder).nodes}
    programmed = {}
    for lazy in lazies:
        own = lazy.plan(**top).fingerprints
        text = lazy.to_yaml(**top)
        again = make_plan(parse_recipe(text, name="again", folder=folder), None)
        assert {n.name: n.fingerprint for n in again.nodes} == own
        assert all(programmed.setdefault(k, v) == v for k, v in own.items())
    assert programmed == written


def test_a_program_and_its_recipe_have_the_same_stages_and_fingerprints(folder, functions):
    same_as_yaml(web(functions), WEB, folder, seed=7)


def test_concat_holdouts_references_and_budgets_have_the_fingerprints_of_the_recipe(folder):
    same_as_yaml(quick(), QUICK, folder, seed=3, tokenizer="words")


def test_joins_graphs_and_written_rows_have_the_fingerprints_of_the_recipe(folder):
    put_file(folder / "refs" / "notes.jsonl", lines_of([{"id": "a", "grade": 2.0}]))
    docs = w.read("raw/*.jsonl.zst", id="field:text", source="web")
    noted = docs.join(name="notes", files="refs/notes.jsonl", key="id", on="id", columns={"grade": "float64"})
    keep = {"long": "word_count > 3", "graded": "grade > 1 OR notes.matched IS NULL"}
    clean = noted.signals(name="sig").filter(name="clean", keep=keep)
    spread = clean.ngram_vectors(name="vec").knn_graph(name="graph", k=4).facility_location(name="spread", tokens="2k")
    lots = clean.select(selection("sample", by="grade", docs=20, temperature=0.5), name="lots")
    same_as_yaml([spread.write(name="first").exact(name="second"), lots], MORE, folder)


def test_to_yaml_round_trips_texts_that_yaml_would_read_otherwise(folder):
    odd = [
        "word_count > 3 AND '${HOME}' <> 'no'",
        "text_bytes >= 1e-05",
        "'\\' <> 'a\"b: c # {é\u2028}' OR word_count > 1",
    ]
    keep = {"true": odd[0], "n": odd[1], "c": odd[2], "NULL": odd[1], "True": odd[1]}
    lazy = w.read("raw/*.jsonl.zst", source="null", columns={"a": "int64"}).signals().filter(keep=keep)
    parsed = parse_recipe(lazy.to_yaml(name="1e5"), name="x", folder=folder)
    assert parsed.stages[-1].config["keep"] == keep
    assert parsed.stages[0].config == {"files": ["raw/*.jsonl.zst"], "source": "null", "columns": {"a": "int64"}}
    assert parsed.name == "1e5"


def test_a_deciding_stage_narrows_what_follows_and_widen_takes_it_back(docs):
    clean = docs.signals().filter(keep={"long": "word_count > 3"})
    stages = clean.language().minhash().random(docs=5).recipe().stages
    assert [(s.name, s.inputs, s.where) for s in stages] == [
        ("docs", (), None),
        ("signals", ("docs",), None),
        ("filter", ("docs", "signals"), None),
        ("language", ("docs",), "kept_filter"),
        ("minhash", ("docs",), "kept_filter"),
        ("random", ("docs", "minhash"), None),
    ]
    wide = clean.widen().language(where="word_count > 9").recipe().stages[-1]
    assert (wide.inputs, wide.where) == (("docs", "signals"), "word_count > 9")
    assert clean.language(where="word_count > 9").recipe().stages[-1].where == "kept_filter and (word_count > 9)"


def test_a_value_is_not_changed_by_what_is_called_on_it(docs):
    before = docs.to_yaml()
    docs.signals().filter(keep={"a": "word_count > 3"})
    assert docs.to_yaml() == before
    assert docs.signals().to_yaml() == docs.signals().to_yaml()


def test_another_branch_does_not_change_what_a_name_means(docs, folder):
    """Two branches count words apart; each condition reads its own, alone and in one recipe."""
    near = docs.signals(name="one").filter(name="f_one", keep={"long": "word_count > 3"})
    far = docs.signals(name="two", where="text_bytes > 10").filter(name="f_two", keep={"long": "word_count > 3"})
    both = ablation(
        docs,
        arms={"a": near.random(docs=5, name="a"), "b": far.random(docs=5, name="b")},
        baseline="a",
        eval="refs/*.jsonl",
    )
    together = both.plan().fingerprints
    for branch in (near, far):
        for name, found in branch.plan().fingerprints.items():
            assert together[name] == found
    with pytest.raises(ConfigError, match="no stage of these rows has a column 'language'"):
        docs.signals().filter(keep={"english": "language = 'en'"})


def test_columns_of_a_referenced_branch_stay_unseen(docs):
    good = docs.signals(name="theirs").filter(keep={"long": "word_count > 3"})
    pool = docs.fasttext(positive=good, epoch=1)
    assert [s.name for s in pool.recipe().stages] == ["docs", "theirs", "filter", "fasttext"]
    with pytest.raises(ConfigError, match="no stage of these rows has a column 'theirs_word_count'"):
        pool.top_k(by="theirs_word_count", docs=3)
    own = pool.top_k(by="word_count", docs=3).recipe()  # implied: not theirs
    assert [s.name for s in own.stages][-2:] == ["signals", "top_k"]
    assert pool.signals().top_k(by="word_count", docs=3).recipe().stages[-1].inputs == ("docs", "signals")


def test_branches_that_want_one_name_are_numbered_and_given_names_are_kept(docs):
    a, b = (docs.signals().filter(keep={"long": f"word_count > {n}"}) for n in (3, 5))
    arms = {"a": a.random(docs=5), "b": b.random(docs=5)}
    names = [s.name for s in ablation(docs, arms=arms, baseline="a", eval="refs/*.jsonl").recipe().stages]
    assert names == ["docs", "signals", "filter", "random", "filter_2", "random_2", "effect"]
    c = b.minhash().filter(name="again", keep={"x": "kept_filter"})
    with pytest.raises(ConfigError, match="there are two of that name"):
        ablation(docs, arms={"a": a.random(docs=5), "c": c.random(docs=5)}, baseline="c", eval="x.jsonl").recipe()
    f, g = docs.language(), docs.language(where="text_bytes > 10")
    names = [s.name for s in ablation(docs, arms={"f": f, "g": g}, baseline="f", eval="x.jsonl").recipe().stages]
    assert names == ["docs", "language", "language_2", "effect"]
    d, e = (docs.random(docs=n, name="mine") for n in (3, 4))
    with pytest.raises(ConfigError, match="two stages are called 'mine'"):
        ablation(docs, arms={"d": d, "e": e}, baseline="d", eval="x.jsonl").recipe()


def test_stages_that_differ_in_what_narrows_them_alone_are_two(docs):
    few, many = (docs.filter(name=f"over_{n}", keep={"x": f"text_bytes > {n}"}).language() for n in (30, 3))
    arms = {"few": few.random(docs=5), "many": many.random(docs=5)}
    stages = ablation(docs, arms=arms, baseline="few", eval="refs/*.jsonl").recipe().stages
    measured = [(s.name, s.where) for s in stages if s.use == "language"]
    assert measured == [("language", "kept_over_3"), ("language_2", "kept_over_30")]  # the baseline is named last


def test_what_a_selector_needs_is_scored_and_counted_where_nobody_wrote_it(docs, functions):
    pool = docs.signals().filter(keep={"long": "word_count > 3"})
    stages = {s.name: s for s in pool.select(functions.calmest(tokens="2k")).recipe(tokenizer="words").stages}
    assert stages["caps_share"].use == "python_form_functions:caps_share"
    assert stages["caps_share"].where == "kept_filter"
    assert (stages["tokens"].config, stages["tokens"].where) == ({"tokenizer": "words"}, None)
    assert stages["calmest"].inputs == ("docs", "filter", "caps_share", "tokens")
    written = docs.count_tokens(tokenizer="bytes/2").random(tokens=100).recipe().stages
    assert [s.use for s in written] == ["jsonl", "count_tokens", "random"]


@pytest.mark.parametrize(
    ("fields", "budget"),
    [({"tokens": "5M"}, "5M tokens"), ({"tokens": "5M tokens"}, "5M tokens"), ({"tokens": 1234}, "1.234k tokens"),
     ({"docs": 300}, "300 docs"), ({"bytes": "20GB"}, "20GB"), ({"share": "10%"}, "10%"), ({"share": 0.1}, "10%")],
)  # fmt: skip
def test_budgets_are_written_as_people_say_them(docs, fields, budget):
    assert docs.random(**fields).recipe().stages[-1].config == {"budget": budget}


def other():
    return w.read("refs/*.jsonl").random(docs=3)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda d: d.minhsh(), "did you mean 'minhash'"),
        (lambda d: d.minhash(treshold=0.5), "did you mean 'threshold'"),
        (lambda d: d.random(tokens="5M", docs=3), "two budgets"),
        (lambda d: d.random(tokens="5 GB"), "as a budget in tokens"),
        (lambda d: d.random(docs="many"), "as a budget in docs"),
        (lambda d: d.top_k(by="wordcount", docs=3), "no stage of these rows has a column 'wordcount'"),
        (lambda d: d.signals(name="2nd"), "is not a stage name"),
        (lambda d: d.signals(name="a").language(name="a"), "two stages are called 'a'"),
        (lambda d: d.jsonl(files="x"), "opens rows of its own"),
        (lambda d: d.filter(keep={"a": "text_bytes >"}), "cannot read"),
        (lambda d: d.filter(keep={"a": d}), "takes no rows or stage as 'keep'"),
        (lambda d: d.select("random"), "is not a selection"),
        (lambda d: d.select(w.random(docs=3)).score(len), "is not a scorer"),
        (lambda d: w.random(tokns="5M"), "no field 'tokns'"),
        (lambda d: w.read("raw/*.dat"), "does not name one reader"),
        (lambda d: w.read("raw/*.jsonl", reader="minhash"), "does not read files"),
        (lambda d: w.concat(d, d.random(docs=3)), "narrowed by 'random'"),
        (lambda d: ablation(d, arms={"a": w.top_k(by="text_bytes", docs=3)}, eval="x.jsonl"), "which one is the base"),
        (lambda d: ablation(d, arms={"a": w.random(docs=3)}, baseline="b", eval="x.jsonl"), "no arm 'b'"),
        (lambda d: ablation(d, arms={"a": 3}, eval="x.jsonl"), "arm 'a' is 3"),
        (lambda d: ablation(d, arms={"a": w.random(docs=3)}, eval="x.jsonl"), "arms names nothing"),
        (lambda d: ablation(d, arms={"a": w.random(docs=3), "b": other()}, baseline="a", eval="x"), "the others from"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_on_the_line_that_makes_it(docs, wrong, told):
    with pytest.raises((ConfigError, AttributeError)) as found:
        wrong(docs)
    assert told in str(found.value)


def test_a_file_that_is_not_there_is_told_when_the_program_is_planned(folder):
    with pytest.raises(ConfigError, match="no file matches"):
        w.read("nothing/*.jsonl").signals().plan()


def test_a_selector_called_with_rows_computes_and_with_fields_alone_waits(functions):
    rows = pl.DataFrame({"caps_share": [0.5, 0.0, 0.1], "token_count": [1, 2, 2]})
    assert functions.calmest(rows, 4).to_list() == [0.0, 1.0, 1.0]
    assert functions.calmest(rows=rows, budget=4).to_list() == [0.0, 1.0, 1.0]
    assert functions.calmest(tokens="4") == Selection(use=functions.calmest, fields={"tokens": "4"})
    assert functions.caps_share(pl.Series(["Ab"])).to_list() == [0.5]


def test_a_share_is_handed_to_a_selector_as_a_number_of_rows(folder):
    selector = FunctionSelector(target="python_form_functions:calmest", columns=CALMEST, budget=Budget.parse("50%"))
    rows = pl.DataFrame({"caps_share": [0.5, 0.0, 0.1, 0.2], "token_count": [1, 1, 1, 1]})
    kept = selector.solve(rows, Context(seed=0, work=folder, code=folder))["kept"]
    assert kept.to_list() == [False, True, True, False]


def test_functions_that_workers_cannot_import_are_refused(docs, functions):
    with pytest.raises(ConfigError, match="'hidden' is '<lambda>'"):
        docs.score(functions.hidden)
    with pytest.raises(ConfigError, match="decorate it"):
        docs.score(functions.plain)

    @w.scorer("inner")
    def inner(text):
        return text.str.len_bytes()

    with pytest.raises(ConfigError, match="no other process can import"):
        docs.score(inner)


def test_a_module_that_another_of_its_name_hides_is_refused(docs, functions, folder):
    functions.__file__ = str(folder / "elsewhere" / "python_form_functions.py")
    with pytest.raises(ConfigError, match="would be run"):
        docs.score(functions.caps_share)


@pytest.mark.parametrize("way", ["notebook", "script"])
def test_functions_of_the_running_program_are_refused_with_a_way_out(folder, way):
    program = textwrap.dedent("""
        import winnow as w
        @w.scorer("caps")
        def caps(text):
            return text.str.len_bytes()
        try:
            w.read("raw/*.jsonl.zst").score(caps)
        except w.ConfigError as error:
            print(error)
    """)
    (folder / "prog.py").write_text(program)
    command = ["-c", program] if way == "notebook" else ["prog.py"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True, env=_env())
    assert "defined in the running program" in done.stdout
    assert "from my_scorers import caps" in done.stdout
    assert ("%%writefile my_scorers.py" in done.stdout) == (way == "notebook")


def _env():
    return {**os.environ, "PYTHONPATH": str(Path(w.__file__).parent.parent)}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished run with a user's scorer and selector, and its folder."""
    folder = tmp_path_factory.mktemp("done")
    put_corpus(folder / "raw", texts(120), 3)
    (folder / "python_form_functions.py").write_text(FUNCTIONS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        sys.modules.pop("python_form_functions", None)
        import python_form_functions

        pool = w.read("raw/*.jsonl").signals().filter(keep={"long": "word_count > 3"}).minhash(threshold=0.7)
        lazy = pool.select(python_form_functions.calmest(tokens="2k")).write()
        run = lazy.run("runs/web", workers=0, progress=False)
        sys.modules.pop("python_form_functions", None)
    return folder, lazy, run


def test_a_run_gives_what_the_recipe_gives(done, tmp_path):
    from support import run

    folder, lazy, opened = done
    ran = run(lazy.to_yaml(), folder, tmp_path / "root")
    assert {n.name: n.fingerprint for n in ran.plan.nodes} == {
        k: s["fingerprint"] for k, s in zip((n.name for n in ran.plan.nodes), opened.stages.values(), strict=True)
    }
    assert opened.frame("write").collect().height == ran.manifest("write").rows > 0


def test_frames_are_lazy_aligned_and_hold_every_row(done):
    _, _, run = done
    frame = run.frame("filter", ["kept", "text"])
    assert isinstance(frame, pl.LazyFrame)
    rows = frame.collect()
    assert rows.schema == {"doc_id": pl.String, "kept": pl.Boolean, "text": pl.String}
    assert rows.height == run.frame("docs").select(pl.len()).collect().item() == 120
    words = run.frame("signals", "word_count").join(frame, on="doc_id").collect()
    assert words.filter(pl.col("kept") != (pl.col("word_count") > 3)).height == 0
    short = run.frame("signals").filter(pl.col("word_count") <= 3)
    dropped = rows.filter(~pl.col("kept"))["doc_id"].to_list()
    assert short.select("doc_id").head(2).collect()["doc_id"].to_list() == dropped[:2]
    assert short.select(pl.len()).collect().item() == len(dropped) > 2


def test_a_frame_has_the_columns_of_its_stage_and_ids_in_bytes_where_asked(done):
    _, _, run = done
    assert run.frame("minhash").collect_schema().names() == ["doc_id", *run.stages["minhash"]["columns"]]
    assert {"kept", "state"} <= set(run.stages["minhash"]["columns"])
    shown, raw = run.frame("docs", "origin").collect(), run.frame("docs", "origin", doc_id="binary").collect()
    assert shown["doc_id"].to_list() == [d.hex() for d in raw["doc_id"]]
    assert "jaccard" in run.frame("minhash.pairs").collect().columns


def test_text_is_that_of_the_rows_a_stage_speaks_of(done):
    _, _, run = done
    assert sorted(run.text().collect()["text"]) == sorted(texts(120))
    kept = run.frame("calmest", ["kept", "text"]).filter("kept").collect()["text"].to_list()
    assert sorted(run.text("write").collect()["text"]) == sorted(kept)


def test_a_run_is_opened_by_path_and_by_name(done, monkeypatch):
    folder, _, run = done
    monkeypatch.chdir(folder)
    assert list(w.open("runs/web").stages) == list(w.open("web").stages) == list(run.stages)
    assert w.open("web", name="web").name == "web"
    with pytest.raises(ConfigError, match="did you mean 'web'"):
        w.open("wep")
    with pytest.raises(ConfigError, match="did you mean 'minhash'"):
        run.frame("minhsh")
    with pytest.raises(ConfigError, match="did you mean 'word_count'"):
        run.frame("signals", "wordcount")
    with pytest.raises(ConfigError, match="0 results"):
        run.result()


def test_a_stage_that_is_not_complete_says_so(folder, docs, monkeypatch):
    def stop(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("winnow.dags.driver.runner.Runner._submit", stop)
    with pytest.raises(w.Interrupted):
        docs.signals().run("runs/stopped", workers=0, progress=False)
    run = w.open("stopped")
    assert [s["complete"] for s in run.stages.values()] == [False, False]
    with pytest.raises(StoreError, match="'signals' of run 'stopped' is not complete"):
        run.frame("signals")


def test_a_second_run_computes_nothing(done, monkeypatch):
    folder, lazy, _ = done
    monkeypatch.chdir(folder)
    assert {s["state"] for s in lazy.plan("runs/web").stages} == {"cached"}
    assert "11 of 11 stages are cached" in str(lazy.plan("runs/web"))


def test_the_example_runs_as_it_stands(tmp_path):
    example = Path(__file__).parent.parent / "docs" / "examples" / "python_form.py"
    done = subprocess.run(
        [sys.executable, example, tmp_path / "run"], capture_output=True, text=True, check=False, env=_env()
    )
    assert done.returncode == 0, done.stderr
    assert 'use: "my_scorers:most_explained"' in done.stdout
    assert "comment_share" in done.stdout
    assert w.open(tmp_path / "run").frame("write").collect().height > 0


@pytest.mark.train
def test_ablate_trains_the_arms_and_prints_the_table(folder, functions, docs):
    pool = docs.signals().filter(keep={"long": "word_count > 3"})
    arms = {"calm": functions.calmest(tokens="4k"), "plain": w.random(tokens="4k")}
    told = w.ablate(
        pool, arms=arms, eval={"refs": "refs/a.jsonl"}, run="runs/web", seeds=1, aa=False, tokens=2048, vocab=300,
        width=16, layers=1, heads=1, context=32, batch=4, workers=0, progress=False,
    )  # fmt: skip
    assert "bits per byte against the baseline, 1 seed;" in str(told)
    assert "calm" in str(told)
    assert told["seeds"] == 1
    assert w.open("runs/web").result().metrics == told.metrics


def test_the_package_is_imported_in_a_blink_and_the_form_without_heavy_libraries():
    code = "import sys, winnow as w; w.read, w.open, w.random; print(sorted(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_env()).stdout
    for heavy in ("torch", "ray", "numba", "fasttext", "scipy", "tokenizers"):
        assert f"'{heavy}'" not in loaded
    spent = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import winnow"], check=True, env=_env())
        spent.append(time.perf_counter() - begun)
    bare = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    assert min(spent) < 0.3 + (time.perf_counter() - bare)


@pytest.mark.parametrize("condition", [3, "", "  ", ["a > 1"]])
def test_a_condition_that_is_no_sql_is_refused_as_in_a_recipe(condition):
    with pytest.raises(ConfigError, match="`where` is SQL over columns, found"):
        w.read("raw/*.jsonl").language(where=condition)
