"""Stages that train on mixtures: what they expand into, what more runs leave alone, and one small run of each, killed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support import plan_of, run

from winnow.core.errors import ConfigError
from winnow.trainers.mixing import runs as tables

WORDS = {"stars": "astronomer telescope comet galaxy orbit planet nebula", "bread": "baker dough oven crust flour yeast",
         "harbour": "captain ferry pilot crew tide lighthouse crane"}  # fmt: skip
SMALL = "tokens: 6000, width: 32, layers: 1, heads: 1, vocab: 300, context: 32, batch: 4"


def write(folder):
    """900 documents of three topics of unequal size, and 40 held-out ones of the rarest."""
    g = np.random.default_rng(0)

    def text(topic, n=40):
        return " ".join(g.choice([*WORDS[topic].split(), "the", "of", "a"], n)) + "."

    topics = ["stars"] * 150 + ["bread"] * 300 + ["harbour"] * 450
    lines = [json.dumps({"text": text(t), "topic": t}) for t in topics]
    (folder / "docs.jsonl").write_text("\n".join(lines))
    (folder / "held.jsonl").write_text("\n".join(json.dumps({"text": text("stars")}) for _ in range(40)))


def recipe(stage, *, mixed="{use: mixture, inputs: docs, per: topic, budget: 3k tokens}", more=""):
    """A recipe that ends in a stage."""
    return f"""
seed: 7
stages:
  docs: {{use: jsonl, files: docs.jsonl, id: content, columns: {{topic: string}}}}
  held: {{use: jsonl, files: held.jsonl}}
  sig: {{use: signals, inputs: docs}}
  mixed: {mixed}
  best: {{use: top_k, inputs: docs, by: mean_word_length, budget: 3k tokens}}
  proxies: {stage}
{more}"""


RUNS = f"{{use: mixture_runs, mixture: mixed, runs: %d, eval: {{stars: held}}, {SMALL}}}"
CLIMB = f"{{use: climb, mixture: mixed, iterations: %s, simulated: 300, eval: {{stars: held}}, {SMALL}}}"
RATER = (
    f"{{use: meta_rater, selection: best, runs: 4, scores: {{long: mean_word_length, common: common_word_share}}, "
    f"simulated: 300, eval: {{stars: held}}, {SMALL}}}"
)


def folders(text, folder, kind):
    """Folders of the sub-stages of one operator."""
    return {node.folder for node in plan_of(text, folder).nodes if node.operator.name == kind}


def test_more_runs_leave_the_first_ones_what_they_were(tmp_path):
    write(tmp_path)
    few, many = (folders(recipe(RUNS % n), tmp_path, "train_gpt") for n in (4, 6))
    assert len(few) == 4
    assert len(many) == 6
    assert few < many
    other = folders(
        recipe(RUNS % 4, mixed="{use: mixture, inputs: docs, per: topic, budget: 4k tokens}"), tmp_path, "train_gpt"
    )
    assert not few & other


def test_all_runs_have_one_tokenizer_seed_and_lot_and_wait_for_the_overlap_check(tmp_path):
    write(tmp_path)
    nodes = [n for n in plan_of(recipe(RUNS % 4), tmp_path).nodes if n.face_of == "proxies"]
    trained = [n for n in nodes if n.operator.name == "train_gpt"]
    assert len({(n.operator.init_seed, n.operator.order_seed) for n in trained}) == 1
    assert all(n.operator.weighted for n in trained)
    assert len([n for n in nodes if n.operator.name == "tokenizer"]) == 1
    assert len([n for n in nodes if n.operator.name == "arms_overlap"]) == 1
    assert len({n.seed for n in nodes if n.operator.name == "mixture"}) == 1


def test_climb_trains_its_iterations_on_what_the_one_before_found(tmp_path):
    write(tmp_path)
    nodes = {n.name: n for n in plan_of(recipe(CLIMB % "[5, 3, 2]"), tmp_path).nodes if n.face_of == "proxies"}
    kinds = [n.operator.name for n in nodes.values()]
    assert kinds.count("train_gpt") == 10
    assert kinds.count("drawn_mixture") == 5
    assert kinds.count("listed_mixture") == 5
    steps = [n.operator for n in nodes.values() if n.operator.name == "climb_step"]
    assert [(s.num, round(s.share_left, 6)) for s in steps] == [(3, 0.1), (2, 0.01)]
    assert all(s.budget.amount == 3_000 and s.max_repeats == 4 for s in steps)
    assert kinds[-1] == "regmix"


@pytest.mark.parametrize(
    ("stage", "mixed", "says"),
    [
        (RUNS.replace("mixture: mixed", "mixture: best") % 4, None, "'best' is a top_k, and not a mixture"),
        (RUNS % 4, "{use: mixture, inputs: docs, per: topic, budget: 10%}", "the budget of 'mixed' is 10%"),
        (CLIMB % "[5, 3]", "{use: mixture, inputs: docs, per: topic, budget: 100 docs}", "give it tokens"),
        (RATER.replace("selection: best", "selection: mixed"), None, "selects by no score"),
        (RATER.replace("long: mean_word_length", "long: boks"), None, "no stage of these rows has a column 'boks'"),
    ],
)  # fmt: skip
def test_what_cannot_be_mixed_is_refused_while_planning(stage, mixed, says, tmp_path):
    write(tmp_path)
    with pytest.raises(ConfigError) as error:
        plan_of(recipe(stage, **({"mixed": mixed} if mixed else {})), tmp_path)
    assert says in str(error.value)


@pytest.mark.slow
@pytest.mark.train
def test_proxies_find_the_topic_that_they_are_measured_on_and_train_nothing_twice(tmp_path):
    write(tmp_path)
    fits = """  shares: {use: swarm, runs: proxies, budget: 6k tokens}
  chosen: {use: mixture, inputs: docs, per: topic, budget: 3k tokens, weights_from: shares}
"""
    root = tmp_path / "root"
    begun = run(recipe(RUNS % 10), tmp_path, root, until="proxies.train_m3_0")  # as after a kill
    before = {name for name in begun.computed if ".train_" in name}
    found = run(recipe(RUNS % 10, more=fits), tmp_path, root)
    after = {name for name in found.computed if ".train_" in name}
    assert before
    assert not before & after
    assert len(before | after) == 10
    table = tables.load(found.folder("proxies") / "runs" / tables.FILE)
    stars = table.shares[:, table.values.index("stars")]
    assert np.corrcoef(stars, table.losses[:, 0])[0, 1] < -0.6
    (receipt,) = found.manifest("shares").receipts
    weights = receipt.extra["metrics"]["weights"]
    assert weights["stars"] > 150 / 900
    again = run(recipe(RUNS % 11), tmp_path, root)
    assert {name for name in again.computed if ".train_" in name} == {"proxies.train_m10_0"}
