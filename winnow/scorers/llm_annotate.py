"""What a language model says of each document: the columns of a JSON answer to a rubric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
import pyarrow as pa

from winnow.core.endpoint.asking import Asker, Outcome, Unanswered
from winnow.core.endpoint.question import BYTES_PER_TOKEN, Answer, Question, Refused
from winnow.core.endpoint.settings import Asks, beside
from winnow.core.endpoint.template import Long, filled, shown, template_in
from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Exactness, Map, Schema, port
from winnow.core.operators.contract import Meaning
from winnow.core.operators.retext import asked_of
from winnow.core.terminal import percent
from winnow.scorers.answer_schema import AnswerSchema, Unusable

OK, CUT, PROBLEM = "ok", "texts_cut", "annotation:"  # the last two: counters
FEW = 16  # documents of a batch below which their share of failures says nothing


@dataclass(frozen=True, kw_only=True)
class LlmAnnotate(Asks, Map):
    """Columns of a language model's answer to a rubric, one per property of `answer`; null where there is none.

    `rubric` is a file of text with `{{text}}` in it, and `{{name}}` for each column in `slots`. `answer` holds the
    properties of a JSON Schema: numbers, integers, booleans, strings, an `enum` of one of these. An answer that does
    not fit is asked for again with what was wrong, up to `tries` times. `annotation` says `ok`, or why there is no
    answer: `invalid_answer`, `refused` (the endpoint does not take the question), `too_large`, `no_text`,
    `unanswered`. Of texts above `max_chars` characters the model sees the head (or both ends), and `annotation_cut` is
    true.

    Every answer is kept in the root as it arrives, by endpoint, model, question and parameters, and is asked for once:
    the first answer is the answer, for any layout, engine and rerun there. Another root asks anew and may be answered
    otherwise. A cap that is reached stops the stage; raised, it goes on where it stopped.

    Raises:
        ConfigError: no rubric, schema or safe address; the cap is reached; more than `most_invalid` of a batch fail.
        EngineError: no answer while there was patience.
    Cost: a request per document and try; 2 small files are written per answer.
    Source: FineWeb-Edu (Penedo et al. 2024), Ask-LLM (Sachdeva et al. 2024)
    """

    name: ClassVar[str] = "llm_annotate"
    role: ClassVar[str] = "scorer"
    exactness: ClassVar[Exactness] = Exactness(atol=1e-3)
    warm: ClassVar[bool] = True
    batch_rows: ClassVar[int | None] = 64
    meaning: ClassVar[Mapping[str, Meaning]] = {"answer": "free"}
    columns_from: ClassVar[tuple[str, ...]] = ("slots",)

    rubric: tuple[str, ...] = port("files")
    answer: dict[str, Any]
    slots: tuple[str, ...] = ()  # columns that the rubric names besides the text
    max_chars: int = 8000  # of a text that the model sees
    long: Long = "head"  # what it sees of a longer one
    tries: int = 3  # for an answer that fits
    response_format: Literal["json_schema", "json_object", "none"] = "json_schema"  # what the endpoint is told of it
    most_invalid: float = beside(0.5)  # of a batch: more than that stops the stage before it costs more

    def needs(self) -> tuple[str, ...]:
        """The text, and what the rubric names."""
        return tuple(dict.fromkeys(["text", *self.slots]))

    def outputs(self) -> Schema:
        """A column per property, why there is none, and whether the text was cut."""
        return {**self._schema().columns(), "annotation": pa.large_string(), "annotation_cut": pa.bool_()}

    def validate(self) -> None:
        """Raises: ConfigError, as the class says, before anything is asked."""
        super().validate()
        self._schema().check("answer")
        if self.max_chars < 100:
            raise ConfigError(f"max_chars is {self.max_chars}", where="max_chars", hint="at least 100")
        if not 1 <= self.tries <= 10:
            raise ConfigError(f"tries is {self.tries}", where="tries", hint="1 to 10")
        if not 0 <= self.most_invalid <= 1:
            raise ConfigError(f"most_invalid is {self.most_invalid:g}", where="most_invalid", hint="0 to 1")

    def per_document(self, text_bytes: float) -> tuple[int, float]:
        """One question: the schema and the part of the text that is shown; the rubric is not known yet."""
        return 1, (min(text_bytes, self.max_chars) + len(str(self.answer))) / BYTES_PER_TOKEN

    def check_files(self, paths: Sequence[str]) -> None:
        """Raise ConfigError where the rubric is no text, or its slots are not those that are filled."""
        template_in(paths, slots=self.needs(), where="rubric")

    def open(self, ctx: Context) -> Columns:
        """Batch -> what the model says of it."""
        paths = [Path(path) for path in ctx.refs.get("rubric", self.rubric)]
        annotator = _Annotator(self, ctx, template_in(paths, slots=self.needs(), where="rubric"))
        return annotator.columns

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Documents without an answer by reason, texts that were cut, tokens that were guessed."""
        asked, told = asked_of(counts), []
        wrong = {k.removeprefix(PROBLEM): n for k, n in counts.items() if k.startswith(PROBLEM) and n}
        if wrong and asked:
            listed = ", ".join(f"{name} {n:,}" for name, n in sorted(wrong.items()))
            share = percent(sum(wrong.values()) / asked)
            told.append(f"{sum(wrong.values()):,} of {asked:,} documents ({share}) have no annotation: {listed}; "
                        "`annotation` says why of each")  # fmt: skip
        if counts.get(CUT):
            seen = "their head" if self.long == "head" else "their ends"
            told.append(f"{counts[CUT]:,} of {asked:,} texts are longer than {self.max_chars:,} characters, and the "
                        f"model saw {seen}: raise `max_chars` where it reads more")  # fmt: skip
        return tuple(told)

    def _schema(self) -> AnswerSchema:
        return AnswerSchema(self.answer)


class _Annotator:
    """The operator opened: its rubric, its schema and the endpoint."""

    def __init__(self, op: LlmAnnotate, ctx: Context, rubric: str) -> None:
        self.op, self.ctx, self.rubric = op, ctx, rubric
        self.schema = op._schema().checked()
        self.asker = Asker.opened(op, ctx)
        self.extra = _response_format(op, self.schema)

    def columns(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The columns of a batch, row for row."""
        questions, cut = self._questions(rows)
        found = self._answered(questions)
        self._stop_waste(found)
        names = list(self.schema.columns())
        held: dict[str, list[Any]] = {name: [] for name in (*names, "annotation", "annotation_cut")}
        texts = rows["text"].to_list()
        for row, text in enumerate(texts):
            values, why = found.get(row, (None, None if text is None else "no_text"))
            for name in names:
                held[name].append(None if values is None else values[name])
            held["annotation"].append(why)
            held["annotation_cut"].append(None if text is None else row in cut)
            if why not in (None, OK):
                self.ctx.count(PROBLEM + why, 1)
        self.ctx.count(CUT, len(cut))
        schema = pa.schema(self.op.outputs())
        frame = pl.from_arrow(pa.table({n: pa.array(held[n], schema.field(n).type) for n in schema.names}))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def _questions(self, rows: pl.DataFrame) -> tuple[dict[int, Question], set[int]]:
        """Row -> its question, of texts that say something; and the rows whose text was cut."""
        out, cut = {}, set()
        for row, values in enumerate(rows.select(self.op.needs()).iter_rows(named=True)):
            text = values["text"]
            if text is None or not text.strip():
                continue
            seen, less = shown(text, max_chars=self.op.max_chars, long=self.op.long)
            slots = {name: "" if value is None else str(value) for name, value in values.items()} | {"text": seen}
            out[row] = self.asker.question(filled(self.rubric, slots), **self.extra)
            cut |= {row} if less else set()
        return out, cut

    def _answered(self, questions: dict[int, Question]) -> dict[int, tuple[dict[str, Any] | None, str]]:
        """Row -> (the values, `ok`), or (None, why there are none)."""
        found: dict[int, tuple[dict[str, Any] | None, str]] = {}
        for _ in range(self.op.tries):
            again: dict[int, Question] = {}
            for row, outcome in zip(questions, self.asker.ask(list(questions.values())), strict=True):
                values, why, wrong = self._read(outcome)
                found[row] = (values, why)
                if wrong and isinstance(outcome, Answer):
                    again[row] = questions[row].again(outcome.text, wrong)
            questions = again
            if not questions:
                break
        return found

    def _read(self, outcome: Outcome) -> tuple[dict[str, Any] | None, str, str]:
        """(values, what `annotation` says, what to tell the model). Raises where no answer stops the stage."""
        if isinstance(outcome, Unanswered):
            return None, "unanswered", ""
        if isinstance(outcome, Refused):
            return None, "refused", ""
        if outcome.problem == "too_large":
            return None, "too_large", ""
        try:
            return self.schema.values(outcome.text), OK, ""
        except Unusable as error:
            return None, "invalid_answer", str(error)

    def _stop_waste(self, found: Mapping[int, tuple[dict[str, Any] | None, str]]) -> None:
        """Raise ConfigError where most documents of a batch have no answer that fits: the others cost the same."""
        wrong = [why for _, why in found.values() if why != OK]
        if len(found) < FEW or len(wrong) <= self.op.most_invalid * len(found):
            return
        usual = max(sorted(set(wrong)), key=wrong.count)
        raise ConfigError(
            f"{len(wrong)} of {len(found)} documents of a batch have no annotation, most of them: {usual}",
            where="most_invalid",
            hint="try the rubric on a few documents, look at `answer:` and `response_format:`; "
            "`most_invalid: 1` goes on all the same",
        )


def _response_format(op: LlmAnnotate, schema: AnswerSchema) -> dict[str, Any]:
    if op.response_format == "none":
        return {}
    if op.response_format == "json_object":
        return {"response_format": {"type": "json_object"}}
    named = {"name": "annotation", "strict": True, "schema": schema.as_json()}
    return {"response_format": {"type": "json_schema", "json_schema": named}}
