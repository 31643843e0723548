"""Which policies act on the arms of a comparison, what they read, and what does not go with them.

    arms: {better: best, reweighted: {data: plain, policy: {use: lin_upper, r: 0.4}}}

An arm may train on the baseline's own selection: it differs from it in its policy, and is no A/A control. Models that a
policy reads give the comparison their tokenizer, as a start does; texts that it reads are held-out feedback, and must
not hold what is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Operator, Scope, Sub, port
from winnow.core.operators.config import dump
from winnow.trainers.compare.arms import BASELINE
from winnow.trainers.data.encoder import BYTES_VOCAB
from winnow.trainers.data.tokenizer import Tokenizer
from winnow.trainers.evaluate.target_tokens import TargetTokens
from winnow.trainers.evaluate.teacher_top_k import TeacherTopK
from winnow.trainers.evaluate.token_losses import TokenLosses
from winnow.trainers.model.held import Held, held
from winnow.trainers.model.policed import MOST_TEXT_BYTES
from winnow.trainers.model.shape import Shape
from winnow.trainers.online.policies import nearest
from winnow.trainers.online.policy import Policy

if TYPE_CHECKING:
    from winnow.trainers.ablation.grid import Grid


@dataclass(frozen=True, kw_only=True)
class Governed:
    """What acts on the arms' data while they train."""

    policies: dict[str, str] | None = port(
        "refs", default=None
    )  # arm -> its policy; `arms: {x: {data:, policy:}}` says it too

    def policy_of(self, label: str) -> str:
        """The stage of a label's policy; '' where it trains plainly, as a control and another budget do."""
        return dict(self.policies or {}).get(label, "")


def check_policies(fields: Governed, labels: Iterable[str], *, averages: Iterable[str]) -> None:
    """Check the labels of the policies.

    Raises:
        ConfigError: one is no arm, the baseline, or an average of others.
    """
    known = list(labels)
    for label in fields.policies or {}:
        if label == BASELINE:
            raise ConfigError("the baseline trains plainly", where=f"policies.{label}", hint="give the policy an arm")
        if label in averages:
            raise ConfigError(f"{label!r} is an average of trained models", where=f"policies.{label}",
                              hint="give the policy to the arms that it averages")  # fmt: skip
        if label not in known:
            raise ConfigError(f"no arm is called {label!r}", where="policies", hint=did_you_mean(label, known))


class ArmPolicies:
    """The policies of a comparison's labels, resolved to operators and names of stages."""

    def __init__(self, fields: Governed, scope: Scope) -> None:
        self.scope = scope
        self.stages: dict[str, str] = dict(fields.policies or {})
        self.declared: dict[str, Sub] = {label: scope.lookup(stage) for label, stage in self.stages.items()}
        for label, sub in self.declared.items():
            if not isinstance(sub.operator, Policy):
                raise ConfigError(f"{self.stages[label]!r} ({sub.operator.name}) is no policy", where=self.where(label),
                                  hint=nearest(sub.operator.name, sub.operator.role))  # fmt: skip
        self.models = dict(self._models())

    def where(self, label: str) -> str:
        """Where a label's policy stands in the stage."""
        return "policy" if label == BASELINE else f"arms.{label}.policy"

    @property
    def tokenizer(self) -> str:
        """The stage of the tokenizer of the models that policies read; '' where they read none."""
        return next((found.tokenizer for found in self.models.values()), "")

    def fitted(self, vocab: int) -> int:
        """Ids of the fitted tokenizer of all arms: without those that it leaves free for the policy that asks for most.

        Raises:
            ConfigError: that leaves fewer than bytes need.
        """
        label, taken = self._most()
        if taken and vocab - taken < BYTES_VOCAB <= vocab:
            name = policy_at(self.declared[label]).called()
            hint = f"give the model a `vocab` of {BYTES_VOCAB + taken:,} or more"
            what = f"vocab is {vocab:,}, and the policy {name!r} takes {taken:,} of its ids for itself"
            raise ConfigError(what, where=self.where(label), hint=hint)
        return vocab - taken

    def check_room(self, tokenizer: str, vocab: int) -> None:
        """Check that a fitted tokenizer that is given leaves free the ids of the policy that asks for most.

        Raises:
            ConfigError: it does not. One from a file is looked at when it is read.
        """
        label, taken = self._most()
        if not taken:
            return
        operator = self.scope.lookup(tokenizer).operator
        if not isinstance(operator, Tokenizer) or operator.vocab + taken <= vocab:
            return
        name, free = policy_at(self.declared[label]).called(), vocab - operator.vocab
        read = next((f"the policy of {key.partition('/')[0]!r}" for key, one in self.models.items()
                     if one.tokenizer == tokenizer), "the start")  # fmt: skip
        raise ConfigError(
            f"{name!r} takes {taken:,} ids for itself, and {tokenizer!r} leaves {free:,} of {vocab:,} free: {read} "
            "brings a model with these ids", where=self.where(label),
            hint="give the two a comparison each, or train that model with a policy that takes as many ids",
        )  # fmt: skip

    def _most(self) -> tuple[str, int]:
        """(label, ids) of the policy that takes most ids for itself; ("", 0): none takes any."""
        taken = [(label, policy_at(sub).reserved()) for label, sub in self.declared.items()]
        return max(taken, key=lambda pair: pair[1], default=("", 0))

    def tokenizers(self, start: str) -> dict[str, str]:
        """Label/port -> stage of the tokenizer of every model that is read, and of the start.

        Raises:
            ConfigError: two of them cannot be one tokenizer.
        """
        found = {key: one.tokenizer for key, one in self.models.items()} | ({"start": start} if start else {})
        if len(found) < 2:
            return found
        known = {key: self.scope.lookup(name) for key, name in found.items()}
        for key, sub in known.items():
            first = next(iter(known))
            if type(sub.operator) is not type(known[first].operator) or dump(sub.operator) != dump(
                known[first].operator
            ):
                raise ConfigError(
                    f"the models of {first} and {key} have two tokenizers, {found[first]} and {found[key]}",
                    where=self.where(key.partition("/")[0]) if key != "start" else "start",
                    hint="models of one comparison read the same ids: train them with one tokenizer",
                )  # fmt: skip
        return found

    def texts(self) -> dict[str, str]:
        """Label/port -> stage of the held-out texts that policies read."""
        return {f"{label}/{name}": stage for label, sub in self.declared.items()
                for name, stage in named(sub, policy_at(sub).texts).items()}  # fmt: skip

    def is_blind(self, label: str) -> bool:
        """Whether a label's rows and weights are known without training, as those of a label without a policy are."""
        sub = self.declared.get(label)
        return sub is None or policy_at(sub).blind

    def fields_of(self, label: str) -> dict[str, Any]:
        """Fields of a label's runs."""
        sub = self.declared.get(label)
        return {} if sub is None else {"policed": {**dump(sub.operator), "use": sub.operator.name}}

    def refs(self, grid: Grid, label: str, shape: Shape) -> dict[str, Any]:
        """References of a label's runs of that shape.

        Raises:
            ConfigError: a model that its policy reads has another vocabulary than the run, or stored losses are of
                other windows.
        """
        vocab = shape.vocab
        sub = self.declared.get(label)
        if sub is None:
            return {}
        policy = policy_at(sub)
        models = {name: self.models[f"{label}/{name}"] for name in named(sub, policy.models)}
        teachers = {n: self.models[f"{label}/{n}"] for n in named(sub, (*policy.labels_of, *policy.losses_of))}
        for name, found in (models | teachers).items():
            if found.shape is not None and found.shape.vocab != vocab:
                raise ConfigError(f"{name!r} of the policy has {found.shape.vocab} tokens, and this run {vocab}",
                                  where=self.where(label), hint="give the run the `vocab` of that model")  # fmt: skip
        out: dict[str, Any] = {"policy": self.stages[label]}
        out |= {"policy_tokenizer": grid.tokenizer(vocab)} if policy.spells() else {}
        out |= {"policy_models": {name: found.model for name, found in models.items()}} if models else {}
        texts = {name: self._text(grid, stage, vocab) for name, stage in named(sub, policy.texts).items()}
        results, labels = named(sub, policy.results), named(sub, policy.labels_of)
        losses = named(sub, policy.losses_of)
        for name, stage in losses.items():
            self._check_windows(grid, label, stage, self.models[f"{label}/{name}"], shape)
        out |= {"policy_losses": losses} if losses else {}
        out |= {"policy_labels": labels} if labels else {}
        return out | ({"policy_texts": texts} if texts else {}) | ({"policy_results": results} if results else {})

    def refuse_parts(self, label: str, why: str) -> None:
        """Raise ConfigError where a label whose documents are of several sources has a policy that packs them anew."""
        sub = self.declared.get(label)
        policy = None if sub is None else policy_at(sub)
        stored = sub is not None and policy is not None and named(sub, (*policy.labels_of, *policy.losses_of))
        if policy is None or not (policy.feeds or policy.rewrites or policy.spells() or stored):
            return
        reads = policy.spells() or stored
        does = "reads the tokens of the documents" if reads else "makes other rows of the documents"
        raise ConfigError(f"{policy.called()!r} {does}, and {label!r} {why}", where=self.where(label),
                          hint="give the policy an arm that trains on one selection as a whole")  # fmt: skip

    def _models(self) -> Iterator[tuple[str, Held]]:
        for label, sub in self.declared.items():
            for name, stage in named(sub, policy_at(sub).models).items():
                yield f"{label}/{name}", held(self.scope, stage, where=f"{self.where(label)}.{name}")
            for name, stage in named(sub, policy_at(sub).labels_of).items():
                yield f"{label}/{name}", self._teacher(stage, f"{self.where(label)}.{name}")
            for name, stage in named(sub, policy_at(sub).losses_of).items():
                yield f"{label}/{name}", self._scored(stage, f"{self.where(label)}.{name}")

    def _teacher(self, stage: str, where: str) -> Held:
        declared = self.scope.lookup(stage)
        if not isinstance(declared.operator, TeacherTopK):
            raise ConfigError(f"{stage!r} ({declared.operator.name}) holds no stored labels", where=where,
                              hint="name a `teacher_top_k`")  # fmt: skip
        return declared.operator.teacher(declared, self.scope)

    def _scored(self, stage: str, where: str) -> Held:
        declared = self.scope.lookup(stage)
        if not isinstance(declared.operator, TokenLosses):
            raise ConfigError(f"{stage!r} ({declared.operator.name}) holds no losses of tokens", where=where,
                              hint="name a `token_losses`")  # fmt: skip
        return declared.operator.reference(declared, self.scope)

    def _check_windows(self, grid: Grid, label: str, stage: str, found: Held, shape: Shape) -> None:
        """Raise ConfigError where a run reads documents in other windows than its stored losses were made in."""
        operator = self.scope.lookup(stage).operator
        assert isinstance(operator, TokenLosses)
        context = operator.context or (found.shape.context if found.shape is not None else shape.context)
        if context != shape.context:
            raise ConfigError(
                f"{stage!r} read windows of {context} tokens, and this run reads {shape.context}",
                where=self.where(label), hint=f"give {stage!r} `context: {shape.context}`, or the run its own",
            )  # fmt: skip
        if grid.ablation.packing != "best_fit":
            raise ConfigError(
                f"{stage!r} read each document by itself, and with packing {grid.ablation.packing!r} a run does not",
                where=self.where(label), hint="`packing: best_fit`, or `reference:` with the model itself",
            )  # fmt: skip

    @staticmethod
    def _text(grid: Grid, stage: str, vocab: int) -> str:
        operator = TargetTokens(most_bytes=MOST_TEXT_BYTES)
        suffix = "" if vocab == grid.ablation.shape().vocab else f"_{vocab}"
        name = f"feedback_{stage.replace('.', '_')}{suffix}"
        return grid.add(Sub(name=name, operator=operator, refs={"target": stage, "tokenizer": grid.tokenizer(vocab)}))


def policy_at(sub: Sub) -> Policy:
    """The policy of a stage that was found to be one."""
    assert isinstance(sub.operator, Policy)
    return sub.operator


def named(sub: Sub, ports: Iterable[str]) -> dict[str, str]:
    """Label -> stage that a policy's ports name: the port itself, or the labels of one that names several."""
    out: dict[str, str] = {}
    for name in ports:
        value = sub.refs.get(name) or getattr(sub.operator, name)
        if isinstance(value, Mapping):
            out |= value
        elif isinstance(value, tuple):
            out |= {one: one for one in value}
        elif value:
            out[name] = value
    return out


def is_policy(operator: Operator) -> bool:
    """Whether a stage's operator is a policy."""
    return isinstance(operator, Policy)
