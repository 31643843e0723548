"""Policies that an arm says in place: they are stages above it, as if one had written them there.

    effect: {use: ablation, arms: {reweighted: {data: plain, policy: {use: lin_upper, r: 0.4}}}, ...}

is `policies: {reweighted: effect_reweighted}`, `arms: {reweighted: plain}` and a stage `effect_reweighted` over the
rows of the comparison. A policy that is a stage of its own is named: `policy: hard`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from winnow.core.errors import ConfigError, WinnowError, did_you_mean
from winnow.core.operators.written import written
from winnow.dags.recipe.registry import REGISTRY, operator_class
from winnow.dags.recipe.yaml_recipe import StageSpec, condition_of
from winnow.trainers.online.policies import nearest
from winnow.trainers.online.policy import Policy

KEYS = ("data", "policy")
OWN = ("use", "inputs", "where", "seed")  # keys of a stage that an inline policy may have
E = TypeVar("E", bound=WinnowError)


@dataclass(frozen=True, kw_only=True)
class Said:
    """One policy as a stage says it: in place, or by the name of a stage."""

    label: str  # arm; '' of a stage that trains one model
    port: str  # where the data of the arm stand
    data: str
    where: str  # below the stage
    policy: str | Mapping[str, Any]

    def stage_name(self, stage: str) -> str:
        """The name of the policy's stage: as it is said, or after the stage and the arm."""
        return self.policy if isinstance(self.policy, str) else f"{stage}_{self.label or 'policy'}"

    def spec(self, stage: StageSpec, *, taken: Collection[str]) -> StageSpec:
        """The stage of an inline policy, without inputs where it names none. Raises ConfigError where it is none."""
        where = f"stages.{stage.name}.{self.where}"
        assert isinstance(self.policy, Mapping)
        use = self.policy.get("use")
        if not isinstance(use, str):
            raise ConfigError("a policy in place needs `use: POLICY`", where=where, hint="for example {use: lin_upper}")
        check_is_policy(use, where=where)
        name = self.stage_name(stage.name)
        name = name if name not in taken else f"{name}_policy"
        inputs = self.policy.get("inputs", ())
        return StageSpec(
            name=name, use=use, inputs=(inputs,) if isinstance(inputs, str) else tuple(inputs),
            where=condition_of(self.policy.get("where"), where=f"{where}.where"), seed=self.policy.get("seed"),
            config={k: v for k, v in self.policy.items() if k not in OWN},
        )  # fmt: skip

    def placed(self, error: E, stage: str, name: str) -> E:
        """An error about the implied stage `name`, told of the place where its policy is written."""
        where = f"stages.{stage}.{self.where}"
        below = error.where.removeprefix(f"stages.{name}") if error.where.startswith(f"stages.{name}") else ""
        told = f"{where}{below}" if below or not error.where else where
        return type(error)(error.what, where=told, hint=error.hint)


def check_is_policy(use: str, *, where: str) -> None:
    """Check a name before its fields: those of something else are not what is missing.

    Raises:
        ConfigError: it is an operator, and no policy.
    """
    if ":" in use or use not in REGISTRY:
        return  # its code or its name is looked at where it is loaded
    cls = operator_class(use)
    if not issubclass(cls, Policy):
        raise ConfigError(f"{use!r} ({cls.role or 'operator'}) is no policy", where=f"{where}.use",
                          hint=nearest(use, cls.role))  # fmt: skip


def policies_of(stage: StageSpec) -> list[Said]:
    """What a stage's arms, or its `policy`, say of policies; nothing where none does.

    Raises:
        ConfigError: an arm is neither a name nor `{data: ..., policy: ...}`.
    """
    arms = stage.config.get("arms")
    if isinstance(arms, Mapping):
        return [_of_arm(stage, str(label), arm) for label, arm in arms.items() if isinstance(arm, Mapping)]
    policy = stage.config.get("policy")
    if isinstance(policy, Mapping):
        data = str(stage.config.get("selection", ""))
        return [Said(label="", port="selection", data=data, where="policy", policy=policy)]
    return []


def by_name(stage: StageSpec) -> StageSpec:
    """The stage with the names that its policies are given, whether there are stages of these names or not."""
    said = policies_of(stage)
    return desugared(stage, said, {one.label: one.stage_name(stage.name) for one in said}) if said else stage


def _of_arm(stage: StageSpec, label: str, arm: Mapping[str, Any]) -> Said:
    where = f"stages.{stage.name}.arms.{label}"
    for key in arms_unknown(arm):
        raise ConfigError(f"an arm has no {key!r}", where=where, hint=did_you_mean(key, KEYS))
    data, policy = arm.get("data"), arm.get("policy")
    if not isinstance(data, str):
        raise ConfigError("an arm with a policy needs its data", where=where,
                          hint=f"{label}: {{data: SELECTION, policy: {{use: lin_upper}}}}")  # fmt: skip
    if not isinstance(policy, str | Mapping):
        raise ConfigError(f"the arm's policy is {written(policy)}", where=f"{where}.policy",
                          hint=f"name a stage, write {{use: lin_upper}}, or `{label}: {data}` without one")  # fmt: skip
    return Said(label=label, port=f"arms.{label}", data=data, where=f"arms.{label}.policy", policy=policy)


def arms_unknown(arm: Mapping[str, Any]) -> list[str]:
    """Keys of an arm that it cannot have."""
    return [str(key) for key in arm if key not in KEYS]


def desugared(stage: StageSpec, said: list[Said], names: Mapping[str, str]) -> StageSpec:
    """The stage with names of stages in place of its policies: {label: stage}."""
    config = dict(stage.config)
    if "arms" not in config or not isinstance(config["arms"], Mapping):
        return dataclasses.replace(stage, config={**config, "policy": names[""]})
    plain = {one.label: one.data for one in said}
    config["arms"] = {label: plain.get(str(label), arm) for label, arm in config["arms"].items()}
    known = config.get("policies") or {}
    twice = [label for label in names if label in known]
    if twice:
        raise ConfigError(f"{twice[0]!r} has two policies", where=f"stages.{stage.name}.policies",
                          hint="say it at the arm, or in `policies`")  # fmt: skip
    return dataclasses.replace(stage, config={**config, "policies": {**known, **names}})
