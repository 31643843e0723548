"""`lm_nats`: what language models make of every document of a pool, as columns that selectors can rank by.

Sub-stages: `tokens` per distinct tokenizer (those of a model's own pool are made once), `nats_{label}` per model, and,
where several models are named, the face that puts their columns side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Exactness, Operator, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.core.operators.contract import Meaning
from winnow.trainers.data.encoder import NARROW_VOCAB
from winnow.trainers.data.tokenizer_file import TokenizerFile
from winnow.trainers.data.tokens import Tokens
from winnow.trainers.evaluate.causal_nats import CausalNats
from winnow.trainers.evaluate.gpt_nats import GptNats
from winnow.trainers.evaluate.model_nats import Measured, check_measured
from winnow.trainers.evaluate.nats_columns import PART, NatsColumns
from winnow.trainers.evaluate.ngram_nats import OF_WORDS, NgramNats
from winnow.trainers.model.causal_lm import CausalLm
from winnow.trainers.model.held import held

ONE = "model"  # the label of `model` in `at`
NGRAM = "ngram_lm"  # the operator whose sub-stage `model` is a table of n-grams


@dataclass(frozen=True, kw_only=True)
class LmNats(Measured, Composite):
    """Loss of each document under language models: `nll` in nats, `bits_per_byte`, `nats_per_token`; less is likelier.

    A model is a `train` stage, a `model_file`, a run of an ablation, an `ngram_lm`, or a folder of a causal model of
    transformers (safetensors, `./pythia-70m`). `models: {small: a, big: ./b}` scores under several: `nll_small`,
    `nll_big`, ...; a text is tokenised once per distinct tokenizer. `at: {small: 100}` takes the weights of that step,
    which the run must have kept (`loss_at` or `curve` of `train`).

    `measures`: `nll` of the whole document, `scored_tokens`, `bits_per_byte`, `nats_per_token`; over the tokens of a
    document `token_variance` and `token_max`; `learnable_median` (SALT): the median loss of tokens whose truth is
    among the `top_k` likeliest, null where fewer than `least_learnable` are; `top_k_share`: the share of those tokens;
    `el2n`: the mean distance of the predicted distribution to the truth, in [0, sqrt 2].

    Every token is scored once; a document longer than a window in several. Null where a document has no token, and for
    rows that `where` leaves out.

    Raises: ConfigError where a model is pickled, missing, of another tokenizer or no causal one.
    Cost: one forward pass over the text per model.
    Source: own; perplexity as in Marion et al. 2023; learnable tokens of Rawat et al. 2024 (SALT, section 4); EL2N of
        Paul et al. 2021, over tokens
    """

    name: ClassVar[str] = "lm_nats"
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers")
    meaning: ClassVar[Mapping[str, Meaning]] = {"measures": "closed", "at": "closed"}
    former: ClassVar[Mapping[str, str]] = {"measure": "measures"}
    becomes: ClassVar[Mapping[str, str]] = {"model": "causal_lm", "models": "causal_lm"}

    model: str = port("ref", default="")
    models: dict[str, str] | None = port("refs", default=None)  # label -> model
    at: dict[str, int] | None = None  # label (of `model`: `model`) -> step of the run whose weights are scored

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: no model or both fields are given, or a label, a step or a measure cannot serve.
        """
        check_measured(self)
        if bool(self.model) == bool(self.models):
            raise ConfigError("give `model` or `models`", where="model", hint="one model, or several with labels")
        for label in self.labels():
            if not label.isidentifier():
                raise ConfigError(f"{label!r} cannot end a column's name", where="models", hint="letters, digits, _")
        for label, step in (self.at or {}).items():
            if label not in self.labels():
                raise ConfigError(f"{label!r} is none of {', '.join(self.labels())}", where="at")
            if step < 0:
                raise ConfigError(f"step {step} is before the first", where=f"at.{label}")

    def labels(self) -> dict[str, str]:
        """Label -> the model's stage."""
        return dict(self.models) if self.models else {ONE: self.model}

    def expand(self, scope: Scope) -> list[Sub]:
        """Tokens, losses per model, and their columns side by side."""
        parts = Parts(scope, part_of(self, Measured))
        for label, stage in self.labels().items():
            parts.add(PART.format(label), stage, step=(self.at or {}).get(label, -1), where=f"models.{label}")
        if not self.models:
            return parts.subs
        face = NatsColumns(labels=tuple(self.models), names=self.measures)
        inputs = (*scope.inputs[:1], *(f".{PART.format(label)}" for label in self.models))
        return [*parts.subs, Sub(name="columns", operator=face, inputs=inputs, where=scope.where)]


class Parts:
    """Sub-stages that score a pool under models, each tokenizer's tokens once."""

    def __init__(self, scope: Scope, measured: Mapping[str, Any]) -> None:
        self.scope, self.measured = scope, dict(measured)
        self.measures: tuple[str, ...] = self.measured["measures"]
        self.subs: list[Sub] = []
        self._tokens: dict[tuple[str, bool], str] = {}

    def add(self, name: str, stage: str, *, step: int = -1, where: str = "model") -> None:
        """Score under the model of a stage.

        Raises:
            ConfigError: it holds none, or has no weights along the way.
        """
        declared = self.scope.lookup(stage)
        if isinstance(declared.operator, CausalLm):
            if step >= 0:
                raise ConfigError(f"{stage!r} is no run of winnow, and has no steps", where="at", hint="leave it out")
            self._of_folder(name, declared.operator)
            return
        if declared.operator.name == NGRAM:
            self._of_ngrams(name, stage, where)
            return
        found = held(self.scope, stage, where=where)
        wide = found.shape is None or found.shape.vocab > NARROW_VOCAB
        tokens = self._tokens_of(found.tokenizer, wide=wide)
        self._score(name, GptNats(step=step, **self.measured), tokens, {"run_of": found.model})

    def _of_folder(self, name: str, model: CausalLm) -> None:
        files = model.tokenizer_file()
        key = f".tokenizer_{name}"
        self.subs.append(Sub(name=key[1:], operator=TokenizerFile(files=files)))
        tokens = self._tokens_of(key, wide=True)
        operator = CausalNats(
            files=model.patterns(), base=model.place(), weights_gb=model.weights_gb(), **self.measured
        )
        self._score(name, operator, tokens, {})

    def _of_ngrams(self, name: str, stage: str, where: str) -> None:
        other = [m for m in self.measures if m not in OF_WORDS]
        if other:
            raise ConfigError(f"{stage!r} is an n-gram model, which has no {other[0]}", where=where,
                              hint=f"score it apart, with measures: [{', '.join(OF_WORDS)}]")  # fmt: skip
        operator = NgramNats(names=self.measures)
        self.subs.append(Sub(name=name, operator=operator, inputs=self.scope.inputs[:1], where=self.scope.where,
                             refs={"table": f"{stage}.model"}))  # fmt: skip

    def _tokens_of(self, tokenizer: str, *, wide: bool) -> str:
        """The stage of the token ids by a tokenizer."""
        if (tokenizer, wide) not in self._tokens:
            name = "tokens" if not self._tokens else f"tokens_{len(self._tokens)}"
            self.subs.append(Sub(name=name, operator=Tokens(wide=wide), inputs=self.scope.inputs[:1],
                                 where=self.scope.where, refs={"tokenizer": tokenizer}))  # fmt: skip
            self._tokens[tokenizer, wide] = f".{name}"
        return self._tokens[tokenizer, wide]

    def _score(self, name: str, operator: Operator, tokens: str, refs: Mapping[str, str]) -> None:
        inputs = (*self.scope.inputs[:1], tokens)
        self.subs.append(Sub(name=name, operator=operator, inputs=inputs, where=self.scope.where, refs=dict(refs)))
