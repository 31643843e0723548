"""Policies by name: the recipe's registry lists them too, and a worker makes one again of its name and fields."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from winnow.core.errors import ConfigError
from winnow.core.operators.config import build
from winnow.trainers.online.policy import Policy

POLICIES: dict[str, str] = {  # by seam: weights, mixtures, targets
    "lin_upper": "winnow.trainers.online.weights.lin_upper:LinUpper",
    "quadratic": "winnow.trainers.online.weights.quadratic:Quadratic",
    "extremes": "winnow.trainers.online.weights.extremes:Extremes",
    "upper": "winnow.trainers.online.weights.upper:Upper",
    "filtering": "winnow.trainers.online.weights.filtering:Filtering",
    "rwr": "winnow.trainers.online.weights.rwr:Rwr",
    "awr": "winnow.trainers.online.weights.awr:Awr",
    "unlikelihood": "winnow.trainers.online.weights.unlikelihood:Unlikelihood",
    "rho": "winnow.trainers.online.weights.rho:Rho",
    "rho_1": "winnow.trainers.online.weights.rho_1:Rho1",
    "group_dro": "winnow.trainers.online.weights.group_dro:GroupDro",
    "value_alignment": "winnow.trainers.online.weights.value_alignment:ValueAlignment",
    "temperature": "winnow.trainers.online.mixtures.temperature:Temperature",
    "unimax": "winnow.trainers.online.mixtures.unimax:Unimax",
    "skill_it": "winnow.trainers.online.mixtures.skill_it:SkillIt",
    "doge": "winnow.trainers.online.mixtures.doge:Doge",
    "doremi_proxy": "winnow.trainers.online.mixtures.doremi_proxy:DoremiProxy",
    "bandit": "winnow.trainers.online.mixtures.bandit:Bandit",
    "gradient_gram": "winnow.trainers.online.mixtures.gradient_gram:GradientGram",
    "ppl_change": "winnow.trainers.online.mixtures.ppl_change:PplChange",
    "curriculum": "winnow.trainers.online.mixtures.curriculum:Curriculum",
    "salt": "winnow.trainers.online.targets.salt:Salt",
    "ul2": "winnow.trainers.online.targets.ul2:Ul2",
    "conditional": "winnow.trainers.online.targets.conditional:Conditional",
}


INNER: dict[str, str] = {  # what user functions become; a recipe names them by `module:name`
    "function_policy": "winnow.trainers.online.function_policy:FunctionPolicy",
    "function_column_policy": "winnow.trainers.online.function_policy:FunctionColumnPolicy",
}


NEAREST: dict[str, str] = {  # role of what is no policy -> what acts on data while training by the like
    "selector": "`filtering`, `rwr` and `rho` choose or weigh documents, `unimax` and `curriculum` domains and order; "
                "a selection is the arm's data, `data: SELECTION`",
    "scorer": "`rwr`, `awr`, `filtering` and `conditional` go by a score: `{use: rwr, score: STAGE.COLUMN}`",
    "filter": "`filtering` leaves documents out: `{use: filtering, score: COLUMN, tau: 0.5}`",
    "trainer": "`salt` learns from a trained model, `rho_1` goes by its losses: `{use: salt, teacher: STAGE}`",
}  # fmt: skip


def nearest(use: str, role: str) -> str:
    """A hint for who named something of a role where a policy is wanted."""
    near = difflib.get_close_matches(use, POLICIES, n=2, cutoff=0.6)
    first = f"did you mean {' or '.join(repr(name) for name in near)}? " if near else ""
    other = NEAREST.get(role, f"policies are {', '.join(POLICIES)}")
    return f"{first}{other}; `winnow list` prints all policies"


def policy_named(name: str, fields: Mapping[str, Any]) -> Policy:
    """The policy of a name with these fields, as `config.dump` gives them.

    Raises:
        ConfigError: there is no such policy, or a field is not one of its.
    """
    known = {**POLICIES, **INNER}
    if name not in known:
        raise ConfigError(f"this version of winnow has no policy {name!r}", where="policy")
    module, _, attribute = known[name].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, type)
    assert issubclass(found, Policy)
    return build(found, fields, where="policy")
