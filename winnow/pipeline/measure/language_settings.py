"""What the operators that tell languages share: whose model answers, and which codes it may say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, port
from winnow.core.operators.contract import Meaning
from winnow.pipeline.measure.language_judges import BuiltIn, FastText


@dataclass(frozen=True, kw_only=True)
class LanguageSettings:
    """The model that tells languages: py3langid's, or a fastText classifier."""

    uses: ClassVar[tuple[str, ...]] = ("py3langid",)
    meaning: ClassVar[Mapping[str, Meaning]] = {"languages": "labels"}

    model_file: tuple[str, ...] = port("files", default=())
    languages: tuple[str, ...] = ()  # only these codes may be answered (py3langid); () = all
    codes: Literal["labels", "short"] = "labels"  # of a model file

    def __post_init__(self) -> None:
        if self.model_file:  # then the other library decides the output
            object.__setattr__(self, "uses", ("fasttext-numpy2",))

    def validate(self) -> None:
        """Raises: ConfigError where a field is of the other model."""
        for given, where, problem in (
            (self.model_file and self.languages, "languages", "languages restricts the built-in model only"),
            (
                not self.model_file and self.codes == "short",
                "codes",
                "codes are of a model file; the built-in model's are short",
            ),
        ):
            if given:
                raise ConfigError(problem, where=where, hint="drop one of the two fields")

    def judge(self, ctx: Context) -> BuiltIn | FastText:
        """The model, loaded.

        Raises: ConfigError where the model file or a language code is not usable.
        """
        files = [str(path) for path in ctx.refs.get("model_file", self.model_file)]
        return FastText(files, short=self.codes == "short", count=ctx.count) if files else BuiltIn(self.languages)
