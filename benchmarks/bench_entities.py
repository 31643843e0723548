"""Named entities and personal data found in labelled sentences: `named_entities` by spaCy and presidio, `mask_pii`; JSON out.

    python benchmarks/bench_entities.py --packs DIR [--folds 5 --epochs 6]

DIR holds pii_presidio.tar.xz (or what is in it, unpacked): 1,500 sentences of presidio-research, made from 209 templates
and invented names, with labelled spans. A small spaCy NER (HashEmbedCNN, width 96, no vectors) is trained on the templates of
all folds but one and asked about those of that one, so that no template is on both sides; names may be. Spans are right
where both ends and the label are (`f1`); `covered` is the share of the labelled characters that some span of the label has,
and `marked` the share of all other characters of the sentences that it has too.

Speeds are MB of text per CPU second of one process with one thread, loading and compilation aside. Needs the extra [entities].
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyarrow as pa
import spacy

from winnow.core.operators import Context
from winnow.pipeline.edit.mask_pii import MaskPii
from winnow.pipeline.measure.named_entities import NamedEntities

NAMED = ("PERSON", "GPE", "ORGANIZATION", "STREET_ADDRESS")
PATTERNS = {"EMAIL_ADDRESS": "<EMAIL>", "PHONE_NUMBER": "<PHONE>", "IP_ADDRESS": "<IP>", "IBAN_CODE": "<IBAN>",
            "CREDIT_CARD": "<CARD>", "US_SSN": "<ID>"}  # fmt: skip
Spans = list[set[tuple[int, int, str]]]  # of every sentence, in characters
FOLDS = 5


def sentences(packs: Path) -> list[dict[str, Any]]:
    """The labelled sentences."""
    name = "synth_dataset_v2.json"
    for path in sorted(packs.rglob(name)):
        return json.loads(path.read_bytes())
    with tarfile.open(packs / "pii_presidio.tar.xz") as pack:
        file = pack.extractfile(next(m for m in pack.getmembers() if m.name.endswith(name)))
        assert file is not None
        return json.loads(file.read())


def labelled(rows: Sequence[dict[str, Any]], labels: Iterable[str]) -> Spans:
    wanted = set(labels)
    return [
        {(s["start_position"], s["end_position"], s["entity_type"]) for s in row["spans"] if s["entity_type"] in wanted}
        for row in rows
    ]


def trained(rows: Sequence[dict[str, Any]], epochs: int, folder: Path) -> None:
    """A pipeline of one NER, fitted and saved."""
    spacy.util.fix_random_seed(1)
    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    examples = []
    for row in rows:
        doc = nlp.make_doc(row["full_text"])
        spans = [doc.char_span(a, b, label=k, alignment_mode="expand") for a, b, k in labelled([row], NAMED)[0]]
        told = nlp.make_doc(row["full_text"])
        told.ents = [told.char_span(s.start_char, s.end_char, label=s.label_) for s in spacy.util.filter_spans(spans)]
        examples.append(spacy.training.Example(doc, told))
    optimizer = nlp.initialize(lambda: examples)
    draw = random.Random(1)
    for _ in range(epochs):
        draw.shuffle(examples)
        for batch in spacy.util.minibatch(examples, 32):
            nlp.update(batch, sgd=optimizer, drop=0.2)
    nlp.to_disk(folder)


def batch_of(texts: Sequence[str]) -> pa.RecordBatch:
    column = pa.array(texts, pa.large_string())
    sizes = pa.array([len(text.encode()) for text in texts], pa.int64())
    return pa.record_batch({"text": column, "text_bytes": sizes})


def spans_of(texts: Sequence[str], found: Iterable[Sequence[tuple[int, int, str]]]) -> Spans:
    """Spans in bytes as spans in characters."""
    out = []
    for text, spans in zip(texts, found, strict=True):
        data = text.encode()
        out.append({(len(data[:a].decode()), len(data[:b].decode()), k) for a, b, k in spans})
    return out


def entities(texts: Sequence[str], **fields: Any) -> tuple[Spans, Callable[[], object]]:
    """What the operator finds, and a call that does it again."""
    with tempfile.TemporaryDirectory() as work:
        answer = NamedEntities(**fields).open(Context(seed=0, work=Path(work)))
    batch = batch_of(texts)
    lists = answer(batch).to_pydict()
    columns = (lists[f"entity_{name}"] for name in ("starts", "stops", "labels"))
    return spans_of(texts, [list(zip(*row, strict=True)) for row in zip(*columns, strict=True)]), lambda: answer(batch)


def masked(texts: Sequence[str]) -> tuple[Spans, Callable[[], object]]:
    """What `mask_pii` finds."""
    edit = MaskPii(ids=("us_ssn",)).editing(Context(seed=0, work=Path()))
    batch, names = batch_of(texts), {mask: kind for kind, mask in PATTERNS.items()}
    spans = edit(batch).spans
    every = list(zip(spans.starts.tolist(), spans.stops.tolist(), map(names.get, spans.new.to_pylist()), strict=True))
    rows = spans.rows.tolist()
    return spans_of(texts, [every[a:b] for a, b in itertools.pairwise(rows)]), lambda: edit(batch)


def judged(gold: Spans, found: Spans, label: str, texts: Sequence[str]) -> dict[str, float]:
    """Right spans, and characters of the label that are found."""
    right = wanted = told = chars = covered = beside = 0
    for truth, answer in zip(gold, found, strict=True):
        g, f = ({s for s in spans if s[2] == label} for spans in (truth, answer))
        right, wanted, told = right + len(g & f), wanted + len(g), told + len(f)
        of_gold, of_found = ({n for a, b, _ in spans for n in range(a, b)} for spans in (g, f))
        chars, covered = chars + len(of_gold), covered + len(of_gold & of_found)
        beside += len(of_found - of_gold)
    rest = sum(map(len, texts)) - chars
    return {"spans": wanted, "f1": round(2 * right / max(wanted + told, 1), 3),
            "precision": round(right / max(told, 1), 3), "recall": round(right / max(wanted, 1), 3),
            "covered": round(covered / max(chars, 1), 3), "marked": round(beside / max(rest, 1), 4)}  # fmt: skip


def speed(call: Callable[[], object], texts: Sequence[str], seconds: float = 1.0) -> float:
    """MB per CPU second, the best of three."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    best = 0.0
    for _ in range(3):
        start, times = time.process_time(), 0
        while time.process_time() - start < seconds:
            call()
            times += 1
        best = max(best, times * size / (time.process_time() - start))
    return round(best, 3)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many of the five are held out in turn")
    parser.add_argument("--epochs", type=int, default=6)
    arguments = parser.parse_args()
    rows = sentences(arguments.packs)
    every = [row["full_text"] for row in rows]
    found, again = entities(every, engine="presidio", persons=(), labels=tuple(PATTERNS))
    rules, rules_again = masked(every)
    gold = labelled(rows, PATTERNS)
    patterns = {name: {label: judged(gold, spans, label, every) for label in PATTERNS}
                for name, spans in (("presidio", found), ("mask_pii", rules))}  # fmt: skip
    speeds = {"mask_pii": speed(rules_again, every), "presidio, patterns": speed(again, every)}
    print(json.dumps({"patterns": patterns, "MB per CPU second": speeds}), flush=True)
    texts: list[str] = []
    truth: Spans = []
    answers: dict[str, Spans] = {"spacy": [], "presidio": []}
    for fold in range(arguments.folds):
        asked = [row for row in rows if row["template_id"] % FOLDS == fold]
        texts += [row["full_text"] for row in asked]
        truth += labelled(asked, NAMED)
        with tempfile.TemporaryDirectory() as folder:
            trained([row for row in rows if row["template_id"] % FOLDS != fold], arguments.epochs, Path(folder))
            files = tuple(sorted(str(path) for path in Path(folder).rglob("*") if path.is_file()))
            for engine, all_spans in answers.items():
                spans, again = entities([row["full_text"] for row in asked], engine=engine, model=files)
                all_spans += [{(a, b, "GPE" if k == "LOCATION" else k) for a, b, k in one} for one in spans]
                if fold == 0:
                    speeds[engine + ", with the model"] = speed(again, texts)
        named = {
            name: {label: judged(truth, spans, label, texts) for label in NAMED} for name, spans in answers.items()
        }
        print(json.dumps({"folds": fold + 1, "sentences": len(texts), "named": named,
                          "MB per CPU second": speeds}), flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
