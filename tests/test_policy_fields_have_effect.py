"""No field of a policy is accepted without effect on what is trained; every policy has a uniform limit and resumes.

Generated over the table of policies. A toy run with a field at its default and one with another value must end in other
losses or other weights of the model, by more than a rounding. A new policy needs a line in `BASE` and `LIMIT`, a new
field one in `OTHER`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.support_policies import documents
from tests.test_score_policies_loop import ByTarget
from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Map
from winnow.core.operators.config import build
from winnow.core.operators.fingerprint import fingerprint, operator_identity
from winnow.dags.recipe.registry import operator_class
from winnow.testing.in_memory import run_map
from winnow.trainers.data import pack
from winnow.trainers.data.batches import Batch
from winnow.trainers.data.steered import Steered
from winnow.trainers.model import checkpoint, loop
from winnow.trainers.model.checkpoint import Checkpoints, Folder
from winnow.trainers.model.loop import Recipe
from winnow.trainers.model.shape import Shape
from winnow.trainers.model.usage import Usage
from winnow.trainers.online.blind import rows_of
from winnow.trainers.online.policies import POLICIES
from winnow.trainers.online.policy import Acting
from winnow.trainers.online.policy_run import PolicyRun, told_of
from winnow.trainers.online.seen import Seen
from winnow.trainers.online.told import Spelt

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.train

COUNT, STEPS, ROUNDING = 28, 4, 1e-6
SHAPE = Shape(vocab=170, width=8, layers=1, heads=1, context=24)  # ids that controls and sentinels may take
RECIPE = Recipe(precision="fp32", batch=4)
END = SHAPE.vocab - 1

PER = {"per": ["kind"]}
OFTEN = {**PER, "every": 1}
EVEN = {"per": ["one"]}  # one domain
FEEDBACK = {"a": "x", "b": "y", "c": "z"}
EDGES = {"a": {"a": 1.0, "b": 0.5}, "b": {"b": 1.0}, "c": {"c": 1.0, "a": 0.1}}
LOW = {"score": "bad / 400", "tau": 1.25e-3}  # among the published thresholds
# What is run: what a policy needs at least, and how often it looks, in so few steps.
BASE: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("lin_upper", "quadratic", "extremes", "upper", "ul2")},
    "filtering": LOW, "rwr": {"score": "bad"}, "awr": {"score": "bad"},
    "unlikelihood": LOW, "rho": {"reference": "npt"}, "rho_1": {"reference": "base"},
    "group_dro": {**PER, "step_size": 0.5}, "value_alignment": {"feedback": "x", "every": 2},
    "temperature": PER, "unimax": PER, "skill_it": {**OFTEN, "feedback": FEEDBACK, "edges": EDGES},
    "doge": {**OFTEN, "probe_rows": 1}, "doremi_proxy": {**OFTEN, "reference": "nll"}, "bandit": OFTEN,
    "gradient_gram": {**OFTEN, "probe_rows": 1}, "ppl_change": {**OFTEN, "feedback": FEEDBACK},
    "curriculum": {"by": "bad", "buckets": 3}, "salt": {"teacher": "small", "until": 1.0},
    "conditional": {"score": "bad"},
}  # fmt: skip
TILT = {"r": 0.1, "warm_steps": 3, "warm_share": 0.5, "r_start": 0.2, "fade_share": 0.5, "bounds": "quantiles",
        "per": "sample"}  # fmt: skip
REPEATS = {"per": ["other_kind"], "max_repeats": 1.0}
# Another value of every field.
OTHER: dict[str, dict[str, Any]] = {
    **{name: {**TILT, "delta": 3.0} for name in ("lin_upper", "extremes", "upper")}, "quadratic": TILT,
    "filtering": {"score": "worse / 400", "task": "pep8", "tau": 5e-4},
    "rwr": {"score": "worse", "beta": 0.1, "most": 0.2, "keep_sum": True},
    "awr": {"score": "worse", "task": "pep8", "alpha": 0.1, "beta": 0.1, "most": 0.9, "value": "linear",
            "value_lr": 0.5, "detach": True},
    "unlikelihood": {"score": "worse / 400", "segment_scores": "marks", "segment_ends": "other_ends", "task": "pep8",
                     "tau": 5e-4, "alpha": 0.1},
    "rho": {"reference": "bad", "keep": 0.5, "temperature": 0.5, "per": "sample"},
    "rho_1": {"reference": "other", "keep": 0.2, "temperature": 0.5},
    "group_dro": {"per": ["other_kind"], "step_size": 2.0, "adjustment": 5.0},
    "value_alignment": {
        "feedback": "y", "every": 1, "by": "difference", "feedback_rows": 1, "momentum": 0.1, "preconditioned": True,
        "weigh_by": "group", "scores": ["bad"], "per": ["kind"], "features": ["length"], "kl": 2.0, "link": "sigmoid",
        "hidden": 0, "rate": 0.1, "updates": 5, "memory": 8, "normalise": "sample",
    },
    "temperature": {**REPEATS, "temperature": 5.0}, "unimax": REPEATS,
    "skill_it": {**REPEATS, "feedback": {**FEEDBACK, "a": "z"}, "graph": "known", "edges": {**EDGES, "b": {"c": 2.0}},
                 "eta": 3.0, "every": 2, "window": 1, "over": "mean", "normalise": True, "p_min": 0.3},
    "doge": {**REPEATS, "feedback": FEEDBACK, "eta": 9.0, "smoothing": 0.5, "every": 2, "probe_rows": 3},
    "doremi_proxy": {**REPEATS, "reference": "nll / 2", "eta": 9.0, "smoothing": 0.5, "every": 2},
    "bandit": {**REPEATS, "update": "exp3", "decay": 0.1, "gamma": 0.9, "forget": 0.9, "every": 2},
    "gradient_gram": {**REPEATS, "eta": 9.0, "decay": 0.1, "every": 2, "probe_rows": 3, "p_min": 0.3},
    "ppl_change": {**REPEATS, "feedback": {**FEEDBACK, "a": "z"}, "alpha": 1.9, "clip": 0.001, "every": 2},
    "curriculum": {"by": "worse", "descending": True, "buckets": 5, "within": ["kind"], "opening": "growing",
                   "pacing": 0.5},
    "salt": {"teacher": "another", "share": 0.1, "temperature": 3.0, "until": 0.5, "decay": 0.9},
    "ul2": {"share": 0.3, "modes": ["S"], "sentinels": 8},
    "conditional": {"score": "worse", "at": 0.2, "label": ["kind"], "controls": 8, "ask_for": ["a"], "drop": 0.5,
                    "salt": "y", "learn_controls": False},
}  # fmt: skip
# Fields beside which another one is tried, where it is not read beside those of BASE; None: left out.
BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    **{(name, "r_start"): {"warm_steps": 3} for name in ("lin_upper", "quadratic", "extremes", "upper")},
    ("filtering", "task"): {"tau": None},
    ("unlikelihood", "task"): {"tau": None},
    ("rwr", "most"): {"beta": 0.1},
    ("rwr", "keep_sum"): {"beta": 0.1},
    ("rho", "per"): {"keep": 0.5},
    ("unlikelihood", "segment_scores"): {"score": None, "segment_ends": "ends"},
    ("unlikelihood", "segment_ends"): {"score": None, "segment_scores": "marks", "segment_ends": "ends"},
    ("value_alignment", "weigh_by"): {"per": ["kind"]},
    ("skill_it", "graph"): {"edges": None},
    **{("bandit", name): {"update": "exp3"} for name in ("gamma", "forget")},
    ("conditional", "label"): {"score": None},
    ("conditional", "salt"): {"drop": 0.5},
    **{("conditional", name): {"score": None, "label": ["kind"]} for name in ("controls", "ask_for")},
}
RESUMED: dict[str, dict[str, Any]] = {  # with as much state as there can be
    **{name: {"bounds": "ema"} for name in ("lin_upper", "quadratic", "extremes", "upper")},
    "bandit": {"update": "exp3"}, "skill_it": {"normalise": True}, "value_alignment": {"per": ["kind"], "every": 1},
    "salt": {"decay": 0.5}, "temperature": {"temperature": 5.0},
}  # fmt: skip
LIMIT: dict[str, dict[str, Any]] = {  # fields with which a policy trains to the bits of the plain run
    **{name: {"warm_share": 1.0} for name in ("lin_upper", "quadratic", "extremes", "upper")},
    "filtering": {"score": "known", "tau": math.inf}, "rwr": {"beta": math.inf},
    "awr": {"alpha": 1.0, "beta": math.inf}, "unlikelihood": {"tau": math.inf}, "rho": {"keep": 1.0},
    "rho_1": {"keep": 1.0}, "group_dro": EVEN, "value_alignment": {"kl": math.inf},
    **dict.fromkeys(("temperature", "unimax", "doge", "doremi_proxy", "bandit", "gradient_gram"), EVEN),
    "skill_it": {**EVEN, "feedback": {"all": "x"}, "edges": {"all": {"all": 1.0}}},
    "ppl_change": {**EVEN, "feedback": {"all": "x"}}, "curriculum": {"by": "known", "buckets": 1}, "salt": {"share": 0.0},
    "ul2": {"share": 0.0}, "conditional": {"drop": 1.0},
}  # fmt: skip
CHANGED_NOTHING = "the policy changed nothing: "
NEXT = re.compile(r"raise|lower|leave it out|look at|name a column|label the rows|measured|give")
SAME = {"score": "same"}
# Other ways in which nothing can change, and the figure that must be told of it.
IDLE: dict[str, list[tuple[dict[str, Any], str]]] = {
    **{name: [({"r": 1e9}, "at all of 5 steps each token counted as it does")]
       for name in ("lin_upper", "quadratic", "extremes", "upper")},
    "filtering": [({"score": "known", "tau": 9.0}, "all 28 documents are kept: the highest score is 0.9")],
    "rwr": [(SAME, "all 28 documents have the same `score`, 0.5"), ({"score": "none"}, "none of 28 documents has a `score`"),
            ({"score": "known", "beta": 1e9}, "each token counted"), ({"score": "known + 7", "most": 1e-4, "beta": 1},
                                                                      "multiplied by 0.0001")],
    "awr": [(SAME, "all 28 documents have the same `score`, 0.5")],
    "unlikelihood": [({"score": "known", "tau": 9.0}, "none of 384 tokens lie above tau 9"),
                     ({"score": "none"}, "none of 28 documents has a `score`")],
    "rho": [({"reference": "none"}, "none of 28 documents has a `reference`")],
    "rho_1": [({"temperature": 1e9}, "each token counted")],
    "group_dro": [({"per": ["one"], "step_size": 9.0}, "'all' is the only group, of 28 documents")],
    "value_alignment": [({"scores": ["same"], "features": []}, "each token counted")],
    "temperature": [({}, "the shares of its 3 domains were those of their tokens at every step")],
    "curriculum": [({"by": "same"}, "all 28 documents have the same `by`, 0.5"),
                   ({"by": "known", "buckets": 1}, "all 28 documents are in one bucket")],
    "ppl_change": [({"every": 9}, "the shares of its 3 domains")], "gradient_gram": [({"eta": 0.0}, "3 domains")],
    "salt": [({"until": 0.0}, "until 0 of 5 steps is none"), ({"until": 0.1}, "until 0.1 of 5 steps is none")],
    "conditional": [({"drop": 1.0}, "none of 28 documents has a control")],
}  # fmt: skip
GAPS: dict[str, dict[str, Any]] = {  # fields of a policy that name columns with gaps
    **{key: {"score": "bad"} for key in ("filtering", "rwr", "awr", "unlikelihood", "conditional")},
    "unlikelihood": {"score": "bad", "tau": 0.5}, "filtering": {"score": "bad", "tau": 0.5},
    "rho": {"reference": "bad"}, "group_dro": {"per": ["some"]}, "curriculum": {"by": "bad"},
    "value_alignment": {"scores": ["bad"], "per": ["some"]},
    **{key: {"per": ["some"]} for key in ("temperature", "unimax", "doge", "bandit", "gradient_gram", "skill_it", "ppl_change")},
    "doremi_proxy": {"per": ["some"], "reference": "bad"},
}  # fmt: skip


@cache
def rows() -> tuple[pack.Documents, pl.DataFrame]:
    """Documents, and columns of each."""
    draw = np.random.Generator(np.random.Philox(key=9))
    made = documents(draw.integers(1, 30, size=COUNT).tolist())
    easy = np.repeat(np.arange(COUNT) % 2 == 0, np.diff(made.offsets))  # of two tokens: their losses fall at once
    made = dataclasses.replace(made, tokens=np.where(easy, made.tokens % 2, made.tokens))
    tokens, some = np.diff(made.offsets), draw.random((3, COUNT))
    gaps = [None if n % 9 == 0 else float(value) for n, value in enumerate(some[0])]
    ends = [[max(1, n // 2), n] if n > 1 else [n] for n in tokens.tolist()]
    columns = {
        "doc_id": made.doc_id, "text_bytes": tokens, "bad": pl.Series(gaps, dtype=pl.Float64), "known": some[1],
        "worse": some[1], "npt": 4 + some[2], "nll": (tokens + 1) * (4 + some[2]), "one": ["all"] * COUNT,
        "same": [0.5] * COUNT, "none": pl.Series([None] * COUNT, dtype=pl.Float64),
        "some": [None if n % 9 == 1 else "aabbbc"[n % 6] for n in range(COUNT)],
        "kind": ["aabbbc"[n % 6] for n in range(COUNT)], "other_kind": ["abcccc"[n // 2 % 6] for n in range(COUNT)],
        "marks": [[0.0, 1.0][-len(e):] for e in ends], "ends": ends,
        "other_ends": [[max(1, e[-1] // 4), e[-1]] if len(e) > 1 else e for e in ends],
    }  # fmt: skip
    return made, pl.DataFrame(columns)


@cache
def text(name: str) -> list[Batch]:
    """A held-out text as packed rows."""
    made = documents([20] * 4, seed=ord(name))
    made = dataclasses.replace(made, tokens=made.tokens % (ord(name) - ord("v")))
    held = packed(made, tokens=made.num_tokens)
    return [held.batch(step) for step in range(held.num_steps)]


def packed(made: pack.Documents, *, tokens: int = STEPS * 4 * 24) -> pack.PackedBatches:
    return pack.batches_of(made, context=SHAPE.context, batch=4, tokens=tokens, end=END, seed=0)


@cache
def teacher(name: str) -> Path:
    """Weights of a model of the run's shape."""
    path = Path(pytest.temporary) / f"{name}.npz"  # type: ignore[attr-defined]
    learned, _ = loop.fit(packed(rows()[0]), SHAPE, RECIPE, init_seed=len(name))
    loop.save(learned, path)
    return path


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    pytest.temporary = tmp_path_factory.mktemp("policies")  # type: ignore[attr-defined]
    yield
    for kept in (teacher, trained, text, rows):
        kept.cache_clear()


@dataclasses.dataclass
class Shifted(ByTarget):
    """Another reference."""

    def nats(self, rows: Batch) -> np.ndarray:
        """The losses."""
        return (4 - super().nats(rows)).astype(np.float32)


def acting(name: str, fields: dict[str, Any]) -> tuple[Any, PolicyRun]:
    """(batches, policy) of a run, as `train` makes them."""
    policy = build(operator_class(name), fields, where="policy")  # type: ignore[type-var]
    made, frame = rows()
    columns = {}
    if isinstance(policy, Map):
        found = run_map(policy, frame, Context(seed=1, work=Path()))
        columns = {column: found[column] for column in policy.outputs()}
    port = {port: fields[port] for port in (*policy.texts, *policy.models, *policy.results) if fields.get(port)}
    texts = {label: text(held) for p in policy.texts if p in port
             for label, held in (port[p].items() if isinstance(port[p], dict) else [(p, port[p])])}  # fmt: skip
    models = {p: teacher(port[p]) for p in policy.models if p in port and name == "salt"}
    told = {
        "columns": columns, "texts": texts, "models": models, "shapes": dict.fromkeys(models, dataclasses.asdict(SHAPE)),
        "references": {p: (ByTarget if port[p] == "base" else Shifted)() for p in policy.models if p in port},
        "results": {p: {"graph": {**EDGES, "b": {"c": 3.0}}} for p in policy.results if p in port},
        "spelling": Spelt(ids=made.tokens, offsets=made.offsets, bytes=np.ones(SHAPE.vocab, dtype=np.int64)),
    }  # fmt: skip
    how = {"vocab": SHAPE.vocab, "context": SHAPE.context, "batch": 4, **told}
    if policy.feeds:
        made = policy.feed(made, dataclasses.replace(told_of(packed(made), **how), steps=0))
    plain = packed(made)
    known = told_of(plain, **how)
    data = policy.rewrite(plain, known) if policy.rewrites else plain
    return data, PolicyRun(policy=policy, told=dataclasses.replace(known, steps=data.num_steps))


def fitted(data: Any, run: PolicyRun | None = None, **more: Any) -> tuple[np.ndarray, ...]:
    """Losses and weights of the model that comes out; of a mixture the shares of the steps too."""
    model, losses = loop.fit(data, SHAPE, RECIPE, init_seed=1, policy=run, **more)
    drawn = [] if run is None or run.record is None else run.record.figures.get("shares", [])
    shares = [np.array(list(point["shares"].values())) for point in drawn]
    return (losses, *(weight.detach().numpy().copy() for weight in model.parameters()), *shares)


def bits(run: tuple[np.ndarray, ...]) -> bytes:
    return b"".join(array.tobytes() for array in run)


@cache
def trained(name: str, fields: str) -> tuple[tuple[np.ndarray, ...], dict[str, Any]]:
    """(what comes of a run, what is told of it) of a policy with fields, as `repr` writes them."""
    data, run = acting(name, eval(fields, {"inf": math.inf}))
    return fitted(data, run), run.record.figures


def alike(one: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> bool:
    """Whether two runs are one but for roundings."""
    return len(one) == len(other) and all(
        a.shape == b.shape and np.allclose(a, b, rtol=ROUNDING, atol=ROUNDING) for a, b in zip(one, other, strict=True)
    )


def builds(name: str, fields: dict[str, Any]) -> bool:
    try:
        return build(operator_class(name), fields, where="policy") is not None
    except ConfigError:
        return False


def apart(name: str, field: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fields of two runs that differ in one: it has its default, where there can be one, and another value."""
    beside = {**BASE[name], **BESIDE.get((name, field), {})}
    known = {key: value for key, value in beside.items() if value is not None}
    bare = {key: value for key, value in known.items() if key != field}
    before = next(fields for fields in (bare, known, BASE[name]) if builds(name, fields))
    return before, {**known, field: OTHER[name][field]}


OWN = {(name, f.name): f for name in POLICIES for f in dataclasses.fields(operator_class(name))}
FIELDS, PORTS = list(OWN), {key for key, field in OWN.items() if "port" in field.metadata}
TOLD = {  # fields that are about what is told of a run
    ("conditional", "ask_for"): "behind which labels the model is evaluated when it is trained",
    ("value_alignment", "by"): "ways to the same alignments: what one took, and how well it agreed with itself",
}
UNSHOWN = {
    ("rwr", "task"): "the published numbers of all its tasks are the defaults",
    ("salt", "labels"): "what a stage stored of the teacher: tests/test_teacher_top_k.py",
    ("rho_1", "losses"): "what a stage stored of the reference: tests/test_token_losses.py",
    ("conditional", "per"): "controls within documents: tests/test_segment_controls.py",
}


@pytest.mark.parametrize(("name", "field"), [key for key in FIELDS if key not in UNSHOWN])
def test_every_field_of_a_policy_changes_what_is_trained(name, field):
    assert field in OTHER.get(name, {}), "give another value of this field in OTHER"
    fields = apart(name, field)
    if (name, field) not in PORTS:
        one, other = (operator_identity(build(operator_class(name), known, where="policy")) for known in fields)
        assert fingerprint(one) != fingerprint(other)
    (trained_one, told_one), (trained_other, told_other) = (trained(name, repr(known)) for known in fields)
    if (name, field) in TOLD:
        assert told_one != told_other
        return
    assert not alike(trained_one, trained_other)


def test_the_tables_have_all_policies_and_no_field_that_is_not_there():
    assert set(BASE) == set(LIMIT) == set(OTHER) == set(POLICIES)
    listed = {(name, field) for name, values in OTHER.items() for field in values}
    assert listed == set(FIELDS) - set(UNSHOWN)
    assert set(BESIDE) | set(TOLD) | set(UNSHOWN) <= set(FIELDS)
    known = {f.name: f.default for f in dataclasses.fields(operator_class("rwr"))}
    tasks = operator_class("rwr").presets["task"]
    assert all(known[field] == value for fields in tasks.values() for field, value in fields.items())


@pytest.fixture(scope="module")
def plain() -> bytes:
    """The bits of the run without a policy."""
    return bits(fitted(packed(rows()[0])))


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_has_a_limit_that_trains_to_the_bits_of_the_plain_run(name, plain):
    data, run = acting(name, {**BASE[name], **LIMIT[name]})
    assert bits(fitted(data, run)[: -len(run.record.figures.get("shares", [])) or None]) == plain
    (idle,) = [said for said in run.record.remarks() if said.startswith(CHANGED_NOTHING)]
    assert NEXT.search(idle), "with the next action"
    assert bits(trained(name, repr(BASE[name]))[0]) != plain, "elsewhere it does something"


@pytest.mark.parametrize(("name", "fields", "figure"), [(name, *told) for name, many in IDLE.items() for told in many])
def test_a_policy_that_cannot_have_changed_anything_says_so_once_with_its_figure(name, fields, figure):
    data, run = acting(name, {**BASE[name], **fields})
    fitted(data, run)
    said = run.record.remarks()
    (idle,) = [one for one in said if one.startswith(CHANGED_NOTHING)]
    assert figure in idle
    assert NEXT.search(idle)
    assert len(said) == 1, "and nothing says it twice"


@pytest.mark.parametrize("name", sorted(name for name in POLICIES if issubclass(operator_class(name), Map)))
def test_a_missing_value_is_told_once(name):
    """By the policy with what it does about it, or by the run: never by both."""
    data, run = acting(name, {**BASE[name], **GAPS[name]})
    fitted(data, run)
    told = [one for one in run.record.own_remarks if re.search(r"\bha(s|ve) no\b|are no numbers", one)]
    gaps = [column for column, values in run.told.columns.items() if values.null_count()]
    assert gaps
    assert len(told) == (len(gaps) if run.policy.tells_missing else 0)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_blind_where_nothing_of_it_asks_the_model_and_its_rows_are_then_known_without_training(name):
    data, run = acting(name, {**BASE[name], **RESUMED.get(name, {})})
    begun = run.begin()
    begun.reads(data)
    asks = begun.besides or begun.teaches or begun.looks_every > 0 or type(begun).noted is not Acting.noted
    if begun.weighs and not asks:
        rows_ = data.batch(0)
        other = np.random.Generator(np.random.Philox(key=3)).random(rows_.ids.shape).astype(np.float32)
        one, two = (
            begun.weigh(Seen(step=0, rows=rows_, nats=nats, told=run.told)) for nats in (9 * other, 9 - 9 * other)
        )
        asks = not np.array_equal(one, two)
    assert run.policy.blind is not asks
    if run.policy.blind:
        known = Usage.of(COUNT)
        for rows_, _ in rows_of(data, run):
            known.add(rows_, rows_.weights)
        drawn = data.state() if isinstance(data, Steered) else None
        trained_on, again = acting(name, {**BASE[name], **RESUMED.get(name, {})})
        fitted(trained_on, again)
        assert drawn == (trained_on.state() if isinstance(trained_on, Steered) else None)
        for column, values in again.record.columns.items():
            np.testing.assert_allclose(known.columns()[column], values)
        if isinstance(trained_on, Steered):
            assert trained_on.read()["unique_documents"] >= (known.tokens > 0).sum()


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_printed_as_a_recipe_writes_it(name):
    for field, value in OTHER[name].items():
        fields = {
            k: v for k, v in {**BASE[name], **BESIDE.get((name, field), {}), field: value}.items() if v is not None
        }
        if builds(name, fields):
            said = build(operator_class(name), fields, where="policy").said()
            assert said.startswith(name)
            assert not re.search(r"'|None|True|False", said)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_goes_on_from_its_checkpoint_to_the_same_bits_and_figures(name, tmp_path):
    fields = {**BASE[name], **RESUMED.get(name, {})}
    data, whole = acting(name, fields)
    wanted = fitted(data, whole, checkpoints=Checkpoints(step=Folder(path=tmp_path / "whole"), at=(2,)))
    (start,) = (tmp_path / "whole").iterdir()
    assert int(checkpoint.read_state(start)["step"]) == 2
    data, again = acting(name, fields)
    got = fitted(data, again, checkpoints=Checkpoints(step=Folder(path=tmp_path / "again"), start=start))
    assert bits(got) == bits(wanted)
    one, other = (json.dumps(run.record.figures, sort_keys=True) for run in (again, whole))
    assert one == other
    assert again.record.own_remarks == whole.record.own_remarks
    assert again.record.idle == whole.record.idle == "", "it did something"
    for name in whole.record.columns:
        np.testing.assert_array_equal(again.record.columns[name], whole.record.columns[name])
