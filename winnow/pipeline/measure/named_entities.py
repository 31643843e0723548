"""Persons, places and what else a recogniser names: spans of the text, and how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import ArrowColumns, Context, Exactness, MapArrow, Resources, Schema, port
from winnow.core.operators.contract import Meaning
from winnow.core.operators.effect import ReadAt
from winnow.core.operators.retext import asked_of
from winnow.core.words.text import utf8_buffers
from winnow.pipeline.measure import entity_recognisers as engines
from winnow.pipeline.measure.entity_windows import I64, Recogniser, Span, byte_offsets, recognised

Engine = Literal["spacy", "presidio", "gliner"]
PERSONS = ("PERSON", "PER")  # what OntoNotes' and presidio's, and CoNLL's and WikiNER's labels call them
USES: Mapping[Engine, tuple[str, ...]] = {
    "spacy": ("spacy", "thinc"),
    "presidio": ("presidio-analyzer", "spacy", "thinc", "phonenumbers", "tldextract"),
    "gliner": ("gliner", "transformers", "torch"),
}
_FOUND, _LABEL = "entities", "entity:"  # counters


@dataclass(frozen=True, kw_only=True)
class NamedEntities(MapArrow):
    """Spans that a recogniser of the user's finds: names of persons, places, organisations, what its labels are.

    Lists of equal length, an entry per span, in order: `entity_starts` and `entity_stops` in bytes, as `drop_spans`
    reads them, `entity_labels`, `entity_scores` in [0, 1]; spans of presidio may overlap. `num_entities` counts them,
    `num_persons` those whose label is one of `persons` (A and a are one; there is no such column where `labels` names
    none of them). Null where the text is null, empty lists where nothing is found.

    | engine | what is run | `model` | scores |
    |---|---|---|---|
    | `spacy` | the entities (`doc.ents`) of a pipeline | a folder of `nlp.to_disk`, or `package`, one installed | 1 |
    | `presidio` | its analyzer: patterns with checks, and a spaCy pipeline's entities | the same, or none | its own |
    | `gliner` | a zero-shot model; `labels` are words: `person` | a folder of `model.save_pretrained` | its own |

    The model is the user's, and what it finds is as good as it is; nothing is downloaded, and its files are part of the
    stage. A document on which it fails is put aside. Long texts are read in windows: of 20,000 characters with 500 of
    context on either side, GLiNER's of as many words as it reads with 24.

    Raises:
        ConfigError: no model or one that cannot be loaded, a label that it does not have, a package that is missing.
    Cost: the model's; one text at a time, so that no answer depends on its neighbours.
    Source: own; spaCy (Honnibal et al. 2020), presidio (Mendels et al. 2018), GLiNER (Zaratiana et al. 2024)
    """

    name: ClassVar[str] = "named_entities"
    role: ClassVar[str] = "signal"
    exactness: ClassVar[Exactness] = Exactness(atol=1e-3)
    resources: ClassVar[Resources] = Resources(memory_gb=2)
    warm: ClassVar[bool] = True
    batch_rows: ClassVar[int | None] = 64  # a document that fails costs another look at these
    uses: ClassVar[tuple[str, ...]] = USES["spacy"]
    meaning: ClassVar[Mapping[str, Meaning]] = {
        "labels": "labels", "persons": "labels", "package": "files", "exclude": "labels", "language": "closed",
    }  # fmt: skip
    read_at: ClassVar[ReadAt] = {
        "package": ("engine", ("spacy", "presidio")), "exclude": ("engine", ("spacy", "presidio")),
        "language": ("engine", ("presidio",)), "min_score": ("engine", ("presidio", "gliner")),
    }  # fmt: skip

    engine: Engine
    model: tuple[str, ...] = port("files", default=())
    package: str = ""  # a spaCy pipeline that is installed, such as en_core_web_sm
    labels: tuple[str, ...] = ()  # only these; () = all that the model has
    persons: tuple[str, ...] = PERSONS  # labels that `num_persons` counts
    min_score: float = 0.4  # spans below are not listed
    language: str = ""  # whose recognisers of presidio's; "" = the pipeline's, or en without one
    exclude: tuple[str, ...] = ()  # components of the pipeline that are not run, such as [parser, lemmatizer]

    def __post_init__(self) -> None:
        """Which libraries decide the output."""
        package = (self.package,) if self.package else ()
        object.__setattr__(self, "uses", (*USES[self.engine], *package))

    def needs(self) -> tuple[str, ...]:
        """The text."""
        return ("text",)

    def outputs(self) -> Schema:
        """Four lists and two counts."""
        places, words = pa.large_list(pa.int64()), pa.large_list(pa.large_string())
        counts = {"num_entities": pa.int32()} | ({"num_persons": pa.int32()} if self._counts_persons() else {})
        return {"entity_starts": places, "entity_stops": places, "entity_labels": words,
                "entity_scores": pa.large_list(pa.float64()), **counts}  # fmt: skip

    def validate(self) -> None:
        """Raise ConfigError where there is no model or two, no label for GLiNER, or a score out of its range."""
        if self.model and self.package:
            raise ConfigError("`model` and `package` are two pipelines", where="package", hint="keep one of them")
        if self.engine != "presidio" and not (self.model or self.package):
            hint = "a folder on disk" + (", or `package:`" if self.engine == "spacy" else "")
            raise ConfigError("no model is named", where="model", hint=hint)
        if self.engine == "gliner" and not self.labels:
            hint = "for example `labels: [person]`"
            raise ConfigError("GLiNER finds what it is asked for", where="labels", hint=hint)
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"min_score is {self.min_score}", where="min_score", hint="0 to 1")
        if self.exclude and not (self.model or self.package):
            raise ConfigError("there is no pipeline of which to exclude components", where="exclude")
        if self.persons not in ((), PERSONS) and not self._counts_persons():
            raise ConfigError("`labels` names none of `persons`, so they would not be counted", where="persons",
                              hint="name them in `labels` too, or leave `persons` out")  # fmt: skip
        if self.package and self.engine != "gliner":
            engines.package_files(self.package)

    def check_files(self, paths: Sequence[str]) -> None:
        """Raise ConfigError where the files are no such model."""
        engines.check_names([Path(path) for path in paths], gliner=self.engine == "gliner")

    def open(self, ctx: Context) -> ArrowColumns:
        """Batch -> lists and counts; the model is loaded once.

        Raises: ConfigError where it cannot be loaded, or does not have the labels.
        """
        recogniser = self._recogniser(ctx)
        engines.check_labels(recogniser, self.labels, self.persons if self._counts_persons() else ())

        def columns(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column("text")
            found = [self._spans(recogniser, text[row]) for row in range(len(text))]
            self._count(ctx, found)
            return pa.record_batch(self._columns(text, found), schema=pa.schema(self.outputs()))

        return columns

    def _recogniser(self, ctx: Context) -> Recogniser:
        paths = [Path(path) for path in ctx.refs.get("model", self.model)]
        if self.engine == "gliner":
            model = engines.gliner_model(paths, ctx.work)
            return engines.GlinerRecogniser(model, labels=self.labels, min_score=self.min_score)
        paths = engines.package_files(self.package) if self.package else paths
        if paths:
            nlp = engines.spacy_pipeline(paths, ctx.work, exclude=self.exclude)
        else:
            nlp = engines.blank_pipeline(self.language or "en")
        if self.engine == "spacy":
            return engines.SpacyRecogniser(nlp)
        return engines.PresidioRecogniser(
            nlp, language=self.language or nlp.lang, labels=self.labels, min_score=self.min_score
        )

    def _counts_persons(self) -> bool:
        return bool(self.persons) and (not self.labels or any(map(self._is_person, self.labels)))

    def _is_person(self, label: str) -> bool:
        return label.casefold() in {name.casefold() for name in self.persons}

    def _spans(self, recogniser: Recogniser, text: pa.Scalar) -> list[Span]:
        """The spans that are wanted. Raises: RowError where the model fails on the text."""
        if not text.is_valid or not len(text.as_buffer()):
            return []
        return [s for s in recognised(recogniser, text.as_py()) if not self.labels or s.label in self.labels]

    def _count(self, ctx: Context, found: Sequence[Sequence[Span]]) -> None:
        ctx.count(_FOUND, sum(map(len, found)))
        for label in self.labels:
            ctx.count(_LABEL + label, sum(span.label == label for spans in found for span in spans))

    def _columns(self, text: pa.Array, found: Sequence[Sequence[Span]]) -> dict[str, pa.Array]:
        """The lists and counts of a batch."""
        sizes = np.array([len(spans) for spans in found], dtype=np.int64)
        rows = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        every = [span for spans in found for span in spans]
        starts, stops = _in_bytes(text, found)
        null = np.asarray(text.is_null())
        offsets = pa.array(rows, mask=np.append(null, False)) if null.any() else pa.array(rows)
        lists = {
            "entity_starts": pa.array(starts), "entity_stops": pa.array(stops),
            "entity_labels": pa.array([span.label for span in every], pa.large_string()),
            "entity_scores": pa.array([span.score for span in every], pa.float64()),
        }  # fmt: skip
        out = {name: pa.LargeListArray.from_arrays(offsets, values) for name, values in lists.items()}
        out["num_entities"] = pa.array(sizes.astype(np.int32), mask=null)
        if self._counts_persons():
            persons = [sum(self._is_person(span.label) for span in spans) for spans in found]
            out["num_persons"] = pa.array(np.array(persons, dtype=np.int32), mask=null)
        return out

    def remarks(self, counts: Mapping[str, int], metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Labels that nothing has."""
        asked = asked_of(counts)
        never = [label for label in self.labels if counts.get(_LABEL + label) == 0]
        if not asked or (counts.get(_FOUND) != 0 and not never):
            return ()
        what = "entity" if counts.get(_FOUND) == 0 else f"span of {', '.join(map(repr, never))}"
        return (f"no {what} in {asked:,} documents: look at the model's language and labels on texts that have some",)


def _in_bytes(text: pa.Array, found: Sequence[Sequence[Span]]) -> tuple[I64, I64]:
    """(first bytes, bytes behind the last) of the spans, counted from the start of their text."""
    offsets, data = utf8_buffers(text)
    starts, stops = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for row, spans in enumerate(found):
        if spans:
            places = np.array([(span.start, span.stop) for span in spans], dtype=np.int64)
            in_bytes = byte_offsets(data[offsets[row] : offsets[row + 1]], places)
            starts.append(in_bytes[:, 0])
            stops.append(in_bytes[:, 1])
    return np.concatenate(starts), np.concatenate(stops)
