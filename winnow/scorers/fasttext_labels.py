"""Any fastText classifier file: probabilities of named labels, or the likeliest label of each text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError
from winnow.scorers import fasttext_fit

MARK = "__label__"
_FLOOR = 1e-5  # fastText reports p + 1e-5, so that its logarithm stays finite


@dataclass(frozen=True, kw_only=True)
class Lines:
    """How a text becomes the line that fastText reads."""

    words: Literal["plain", "spaced"] = "plain"  # fastText: how a text becomes a line


Probabilities = Callable[[list[str]], npt.NDArray[np.float64]]


def one_file(files: Sequence[Any]) -> Path:
    """The one file of a port. Raises: ConfigError where there is not exactly one."""
    if len(files) != 1:
        raise ConfigError(f"model_file matches {len(files)} files", where="model_file", hint="name exactly one")
    return Path(files[0])


def loaded(path: Path) -> Any:
    """The model at `path`. Raises: ConfigError where it is none."""
    import fasttext

    try:
        return fasttext.load_model(str(path))
    except ValueError as error:
        raise ConfigError(f"{path.name} is not a fastText model: {error}", hint="give a .bin or .ftz file") from error


def probabilities(model: Any, labels: Sequence[str]) -> Probabilities:
    """Lines -> probability of each of `labels`, f64[lines, labels] in [0, 1].

    Raises: ConfigError where the model lacks one of them.
    """
    wanted = [label if label.startswith(MARK) else f"{MARK}{label}" for label in labels]
    known = set(model.get_labels())
    for label, full in zip(labels, wanted, strict=True):
        if full not in known:
            raise ConfigError(
                f"the model has no label {label!r}",
                where="label",
                hint="it has " + ", ".join(name.removeprefix(MARK) for name in model.get_labels()[:20]),
            )

    def answer(lines: list[str]) -> npt.NDArray[np.float64]:
        if not lines:
            return np.zeros((0, len(wanted)), dtype=np.float64)
        rows = []
        for names, shares in zip(*model.predict(lines, k=-1), strict=True):
            place = {name: at for at, name in enumerate(names)}
            rows.append([float(shares[place[label]]) if label in place else 0.0 for label in wanted])
        return np.clip(np.array(rows, dtype=np.float64) - _FLOOR, 0.0, 1.0)

    return answer


def likeliest(model: Any, lines: list[str]) -> tuple[pl.Series, pl.Series]:
    """(label without its mark, probability) of each line; null where the model says nothing."""
    names, shares = model.predict(lines, k=1) if lines else ([], [])
    labels = [one[0].removeprefix(MARK) if len(one) else None for one in names]
    scores = [min(max(float(one[0]) - _FLOOR, 0.0), 1.0) if len(one) else None for one in shares]
    return pl.Series(labels, dtype=pl.String), pl.Series(scores, dtype=pl.Float64)


def line_of(words: str) -> pl.Expr:
    """One line per text: `spaced` sets punctuation apart as our own fits do, `plain` only joins the lines."""
    text = pl.col("text")
    return text.str.replace_all(r"[\n\r]+", " ") if words == "plain" else fasttext_fit.tokenised(text)


def lines_of(text: pl.Series, line: pl.Expr) -> list[str]:
    """The lines of the texts that are not null."""
    known = text.filter(text.is_not_null())
    return pl.DataFrame({"text": known}).select(line).to_series().to_list()


def placed(text: pl.Series, answers: pl.DataFrame) -> pl.DataFrame:
    """Answers for the texts that are not null, put back among all rows; null elsewhere."""
    known = text.is_not_null()
    if known.all():
        return answers
    row = pl.DataFrame({"known": known}).select(pl.when("known").then(pl.col("known").cum_sum() - 1))
    return answers.select(pl.all().gather(row.to_series()))


def scores_of(text: pl.Series, line: pl.Expr, probability: Probabilities) -> pl.DataFrame:
    """Column `score`: the probability of the one label, null where the text is."""
    score = pl.DataFrame({"score": probability(lines_of(text, line))[:, 0]})
    return placed(text, score)
