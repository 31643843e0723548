"""`rewrite`: another text of each document, by a language model behind an endpoint, beside the first one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
import pyarrow as pa

from winnow.core.endpoint.asking import Asker, Outcome, Unanswered
from winnow.core.endpoint.question import BYTES_PER_TOKEN, Answer, Question, Refused
from winnow.core.endpoint.settings import Asks
from winnow.core.endpoint.template import Long, check_slots, filled, shown, template_in
from winnow.core.errors import ConfigError
from winnow.core.operators import Columns, Context, Exactness, Map, Schema, port
from winnow.core.operators.contract import Meaning
from winnow.core.operators.retext import asked_of
from winnow.core.terminal import percent

TEMPLATES = Path(__file__).parent / "templates"
OK, CUT, PROBLEM = "ok", "texts_cut", "rewrite:"  # the last two: counters
Template = Literal["rephrase", "simplify", "question_answer", "recover", "own"]


@dataclass(frozen=True, kw_only=True)
class RewriteTexts(Asks, Map):
    """Another text of each document by a language model, `rewritten`; null where there is none.

    `template` is `rephrase` (clear prose), `simplify` (few words, short sentences), `question_answer` (questions with
    their answers), `recover` (what a rewritten text was made from, for `faithful`), or `own`: `prompt`, a file of text
    with `{{text}}` in it and `{{name}}` for each column in `slots`. `column` is what is rewritten. `rewrite` says `ok`,
    or why there is no text: `cut_off` (`max_tokens` were too few), `refused`, `too_large`, `no_text`, `unanswered`. Of
    texts above `max_chars` characters the model sees the head (or both ends), and `rewrite_cut` is true.
    `rewrite_model` and `rewrite_prompt` (a digest) say what made it.

    The first text stays as it is; `faithful` looks whether the second is true to it, and `rewritten` makes new
    documents. Answers are kept as those of `llm_annotate` are.

    Raises:
        ConfigError: no safe address or template; the cap is reached.
        EngineError: no answer while there was patience.
    Cost: a request per document; 2 small files are written per answer.
    Source: WRAP (Maini et al. 2024), TinyHelen (Yang et al. 2025), SynE (Chen et al. 2024)
    """

    name: ClassVar[str] = "rewrite"
    role: ClassVar[str] = "signal"
    exactness: ClassVar[Exactness] = Exactness(atol=1e-3)
    warm: ClassVar[bool] = True
    batch_rows: ClassVar[int | None] = 64
    columns_from: ClassVar[tuple[str, ...]] = ("slots", "column")
    meaning: ClassVar[Mapping[str, Meaning]] = {"template": "closed"}

    template: Template = "rephrase"
    prompt: tuple[str, ...] = port("files", default=())
    column: str = "text"  # what is rewritten
    slots: tuple[str, ...] = ()  # columns that the prompt names besides the text
    draw: int = 0  # another number asks for another text of the same document
    max_tokens: int = 2048  # of the new text
    max_chars: int = 8000  # of a text that the model sees
    long: Long = "head"  # what it sees of a longer one

    def needs(self) -> tuple[str, ...]:
        """What is rewritten, and what the prompt names."""
        return tuple(dict.fromkeys([self.column, *self.slots]))

    def outputs(self) -> Schema:
        """The text, why there is none, whether the first was cut, and what made it."""
        words = ("rewritten", "rewrite", "rewrite_model", "rewrite_prompt")
        return {**dict.fromkeys(words, pa.large_string()), "rewrite_cut": pa.bool_()}

    def data(self) -> Any:
        """Who is asked, and the text of a template of ours."""
        return {"asked_of": self.asked_of(), "template": "" if self.template == "own" else text_of(self.template)}

    def validate(self) -> None:
        """Raises: ConfigError, as the class says, before anything is asked."""
        super().validate()
        if self.template == "own" and not self.prompt:
            raise ConfigError("which prompt?", where="prompt", hint="`prompt: FILE` with {{text}} in it, or a template")
        for name in ("prompt", "slots"):
            if self.template != "own" and getattr(self, name):
                hint = "leave it out, or give `template: own`"
                raise ConfigError(f"{name} has no effect with template {self.template}", where=name, hint=hint)
        if self.max_chars < 100:
            raise ConfigError(f"max_chars is {self.max_chars}", where="max_chars", hint="at least 100")

    def check_files(self, paths: Sequence[str]) -> None:
        """Raise ConfigError where the prompt is no text, or its slots are not those that are filled."""
        template_in(paths, slots=self._slots(), where="prompt")

    def per_document(self, text_bytes: float) -> tuple[int, float]:
        """One question: the part of the text that is shown, and a template of ours."""
        template = 0 if self.template == "own" else len(text_of(self.template))
        return 1, (min(text_bytes, self.max_chars) + template) / BYTES_PER_TOKEN

    def open(self, ctx: Context) -> Columns:
        """Batch -> the other texts."""
        if self.template == "own":
            paths = [Path(path) for path in ctx.refs.get("prompt", self.prompt)]
            return _Rewriter(self, ctx, template_in(paths, slots=self._slots(), where="prompt")).columns
        return _Rewriter(self, ctx, text_of(self.template)).columns

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Documents without another text by reason, and texts that were cut."""
        asked, told = asked_of(counts), []
        wrong = {k.removeprefix(PROBLEM): n for k, n in counts.items() if k.startswith(PROBLEM) and n}
        if wrong and asked:
            listed = ", ".join(f"{name} {n:,}" for name, n in sorted(wrong.items()))
            more = ": raise `max_tokens`" if "cut_off" in wrong else "; `rewrite` says why of each"
            told.append(f"{sum(wrong.values()):,} of {asked:,} documents ({percent(sum(wrong.values()) / asked)}) were "
                        f"not rewritten: {listed}{more}")  # fmt: skip
        if counts.get(CUT):
            seen = "their head" if self.long == "head" else "their ends"
            told.append(f"{counts[CUT]:,} of {asked:,} texts are longer than {self.max_chars:,} characters, and {seen} "
                        "alone was rewritten: raise `max_chars` where the model reads more")  # fmt: skip
        return tuple(told)

    def _slots(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(["text", *self.slots]))


def text_of(template: str) -> str:
    """The text of a template of ours."""
    text = (TEMPLATES / f"{template}.txt").read_text("utf-8")
    check_slots(text, ["text"], where=template)
    return text


class _Rewriter:
    """The operator opened: its template and the endpoint."""

    def __init__(self, op: RewriteTexts, ctx: Context, template: str) -> None:
        self.op, self.ctx, self.template = op, ctx, template
        self.asker = Asker.opened(op, ctx)
        drawn = f"\0{op.draw}" if op.draw else ""
        self.digest = hashlib.blake2b(f"{template}{drawn}".encode(), digest_size=8).hexdigest()

    def columns(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The columns of a batch, row for row."""
        questions, cut = self._questions(rows)
        asked = self.asker.ask(list(questions.values()))
        found = {row: self._read(one) for row, one in zip(questions, asked, strict=True)}
        known = rows[self.op.column].is_not_null().to_list()
        said = [found.get(row, (None, "no_text" if known[row] else None)) for row in range(rows.height)]
        for _, why in said:
            if why not in (None, OK):
                self.ctx.count(PROBLEM + str(why), 1)
        self.ctx.count(CUT, len(cut))
        made = [text is not None for text, _ in said]
        columns = {
            "rewritten": [text for text, _ in said],
            "rewrite": [why for _, why in said],
            "rewrite_model": [self.op.model if one else None for one in made],
            "rewrite_prompt": [self.digest if one else None for one in made],
            "rewrite_cut": [row in cut if known[row] else None for row in range(rows.height)],
        }
        types = self.op.outputs()
        frame = pl.from_arrow(pa.table({name: pa.array(columns[name], kind) for name, kind in types.items()}))
        assert isinstance(frame, pl.DataFrame)
        return frame

    def _questions(self, rows: pl.DataFrame) -> tuple[dict[int, Question], set[int]]:
        """Row -> its question, of texts that say something; and the rows whose text was cut."""
        more = {"seed": self.op.draw} if self.op.draw else {}
        out, cut = {}, set()
        for row, values in enumerate(rows.select(self.op.needs()).iter_rows(named=True)):
            text = values[self.op.column]
            if text is None or not str(text).strip():
                continue
            seen, less = shown(str(text), max_chars=self.op.max_chars, long=self.op.long)
            slots = {name: "" if values[name] is None else str(values[name]) for name in self.op.slots} | {"text": seen}
            out[row] = self.asker.question(filled(self.template, slots), **more)
            cut |= {row} if less else set()
        return out, cut

    def _read(self, outcome: Outcome) -> tuple[str | None, str]:
        """(the new text, what `rewrite` says). Raises where no answer stops the stage."""
        if isinstance(outcome, Unanswered):
            return None, "unanswered"
        if isinstance(outcome, Refused):
            return None, "refused"
        assert isinstance(outcome, Answer)
        if outcome.problem == "too_large":
            return None, "too_large"
        if outcome.ended == "length":
            return None, "cut_off"
        text = outcome.text.strip()
        return (text, OK) if text else (None, "no_text")
