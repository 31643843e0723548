"""`sample_text`: text drawn from a trained model, and what a scorer of documents makes of it.

Sub-stages: `texts` (samples.parquet, in the stage's folder) and, with a `scorer`, `scores`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Exactness, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt, given
from winnow.trainers.evaluate.drawn_text import Drawn, DrawnText
from winnow.trainers.evaluate.sample_scores import scored_by
from winnow.trainers.model.held import held
from winnow.trainers.online.policy import MODEL


@dataclass(frozen=True, kw_only=True)
class SampleText(Drawn, Composite):
    """Text that a trained model writes, and the score of it: mean, and expected maximum of `max_of` samples.

    `model` is a `train` stage, a `model_file` or a run of an ablation; `scorer` a stage that scores each text by itself
    (`fasttext`, `classifier`, `signals`, a function), `score` SQL over its columns. `control` asks a model that was
    trained with `conditional` for a label; the controls themselves are never drawn.

    Cost: samples x max_tokens forward passes.
    Source: own; temperature and nucleus sampling (Holtzman et al. 2020), defaults of Korbak et al. 2023
    """

    name: ClassVar[str] = "sample_text"
    stage_only: ClassVar[Mapping[str, str]] = {"model": MODEL}
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1.0)
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers")
    meaning: ClassVar[Mapping[str, Meaning]] = {"control": "labels", "prompts": "free", "score": "labels"}
    read_at: ClassVar[ReadAt] = {"score": ("scorer", given), "max_of": ("scorer", given)}

    model: str = port("ref")
    scorer: str = port("ref", default="")
    score: str = ""
    max_of: int = 25

    def validate(self) -> None:
        """Raise ConfigError for a number out of its range."""
        DrawnText(**part_of(self, Drawn)).validate()
        if self.max_of < 1:
            raise ConfigError(f"max_of is {self.max_of}, and must be at least 1", where="max_of")
        if self.scorer and self.samples < self.max_of:
            raise ConfigError(f"{self.samples} samples are fewer than the {self.max_of} of a maximum", where="max_of",
                              hint="raise `samples`, or lower `max_of`")  # fmt: skip

    def expand(self, scope: Scope) -> list[Sub]:
        """Samples; their scores."""
        found = held(scope, self.model, where="model")
        refs = {"model": found.model, "tokenizer": found.tokenizer}
        subs = [Sub(name="texts", operator=DrawnText(**part_of(self, Drawn)), refs=refs)]
        if self.scorer:
            face = face_of(scope, self.scorer)
            job = scored_by(face.operator, score=self.score, max_of=self.max_of)
            parts: dict[str, Any] = {"samples": ".texts", **({"parts": dict(face.refs)} if face.refs else {})}
            subs.append(Sub(name="scores", operator=job, refs=parts, repeats=_with_code(scope, self.scorer)))
        return subs


def face_of(scope: Scope, name: str) -> Sub:
    """What a stage's columns come from: itself, or the last sub-stage of a composite, with outer names in its refs."""
    found = scope.lookup(name)
    if not isinstance(found.operator, Composite):
        return found
    inner = dataclasses.replace(scope, stage=name, inputs=found.inputs, where=found.where)
    *_, last = dataclasses.replace(found.operator, **found.refs).expand(inner)
    refs = {port: f"{name}.{value[1:]}" if value.startswith(".") else value for port, value in last.refs.items()}
    return dataclasses.replace(last, refs=refs)


def _with_code(scope: Scope, name: str) -> str:
    """The stage itself where it runs code of the user's, which comes along then; else nothing."""
    return name if scope.lookup(name).operator.name.startswith("function_") else ""
