"""The comparison of all policies on real text (`benchmarks/policies.yaml`): it plans, and leaves no policy out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import plan_of, put_file

from winnow.trainers.online.policies import POLICIES

pytest.importorskip("torch")
BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SOURCES = ("astronomy", "chat", "docs", "laws", "news", "peps", "physics", "psychology", "web")
MIXED = {"reference", "regmix", "swarm"}  # arms that read other documents, and have no policy


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policies")
    for name in ("pool", "physics", "astronomy", "psychology"):
        sources = SOURCES if name == "pool" else (name,)
        rows = [{"text": f"{name} {source} says {n} things", "source": source} for source in sources for n in range(3)]
        put_file(folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    recipe = (BENCHMARKS / "policies.yaml").read_text()
    for many, few in (("seeds: 6", "seeds: 1"), ("runs: 32", "runs: 11")):
        assert many in recipe
        recipe = recipe.replace(many, few)
    return plan_of(recipe, folder)


def test_every_policy_has_an_arm_that_differs_from_plain_in_it_alone(plan):
    compare = plan.node("effect").operator
    assert {said.split()[0] for said in plan.node("effect").policies.values()} == set(POLICIES)
    assert set(compare.arms) - {*compare.controls} == set(plan.node("effect").policies) | MIXED
    plain = plan.node("effect.train_baseline_0").refs["selection"]
    for arm in plan.node("effect").policies:
        assert plan.node(f"effect.train_{arm}_0").refs["selection"] is plain
    for arm in MIXED:
        assert plan.node(f"effect.train_{arm}_0").refs["selection"] is not plain


def test_what_is_measured_is_read_by_no_policy_and_feedback_by_no_model(plan):
    """All that models learn from is behind three checks, and is not the part that is set aside as feedback."""
    for stage in ("plain", "student", "small", "losses", "graph", "regmix", "swarm"):
        respected = sorted(node.spoken for node in plan.node(stage).about.respects)
        assert {"apart", "safer", "safe"} <= set(respected), stage
    for feedback in (name for name in (f"f_{source}" for source in SOURCES) if name != "f_physics"):
        assert {"apart", "safer"} <= {node.spoken for node in plan.node(feedback).about.respects}, feedback
    assert {"apart", "safer"} <= {node.spoken for node in plan.node("feed").about.respects}
    against = [plan.node(name).refs["against"].name for name in ("apart", "safer", "safe")]
    assert against == ["astronomy", "psychology", "feed"]


def test_the_script_knows_its_recipes():
    asked = [sys.executable, str(BENCHMARKS / "bench_openstax.py"), "--packs", "none", "--out", "none", "--recipe", "x"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stderr
    assert "openstax.yaml" in said
    assert "policies.yaml" in said
    for name in ("openstax.yaml", "policies.yaml"):
        assert (BENCHMARKS / name).exists()
