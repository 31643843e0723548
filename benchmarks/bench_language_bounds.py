"""What bounds on certainty cost and give: of `paragraph_languages`, and of one limit of scores beside own ones, as JSON.

    python benchmarks/bench_language_bounds.py PACKS [--most 40] [--sentences 60]

PACKS is the folder of the data packs (`lid_lingua.tar.xz`: single words, word pairs and sentences of 75 languages).
`paragraphs`: of texts in the languages that the model knows, the first `most` of each kind, the share told rightly without
bounds, with `min_letters: 24`, and with `min_score: 0.5` too, and how many are told at all. `limits`: of the first
`sentences` sentences of ten languages, what `language_score >= 0.65` keeps, and what `limits` keep that each language gets
by `spread 0.3 0.9` of its own scores; shares of what is told as a language, and of what is kept how much is told rightly.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from bench_language import FOLD, known_codes, lingua_texts

import winnow

TEN = ("bs", "hr", "sr", "cs", "sk", "da", "sv", "es", "ca", "en")
KINDS = ("single-words", "word-pairs", "sentences")
BOUNDS = {"none": (1, 0.0), "letters": (24, 0.0), "letters and score": (24, 0.5)}


def told(texts: list[tuple[str, str]], min_letters: int, min_score: float) -> dict[str, float]:
    """Shares of one bound: told of all, and right of those."""
    from winnow.core.operators import Context
    from winnow.pipeline.measure.paragraph_languages import ParagraphLanguages

    operator = ParagraphLanguages(min_letters=min_letters, min_score=min_score)
    batch = pl.DataFrame({"text": [text for _, text in texts]}, schema={"text": pl.String}).to_arrow().to_batches()[0]
    columns = operator.open(Context(seed=0, work=Path()))
    found = pl.DataFrame(columns(batch.cast(large(batch.schema))))["main_language"].to_list()
    pairs = [(FOLD.get(true, true), FOLD.get(said, said)) for (true, _), said in zip(texts, found, strict=True) if said]
    return {"told": round(len(pairs) / len(texts), 3), "right": round(sum(a == b for a, b in pairs) / len(pairs), 3)}


def large(schema: Any) -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.large_string()) for name in schema.names])


def limits(texts: list[tuple[str, str]], folder: Path) -> dict[str, Any]:
    """What one limit keeps, and what limits of each language keep."""
    rows = [{"text": text, "true": language} for language, text in texts]
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    docs = winnow.read(str(folder / "docs.jsonl"), columns={"true": "string"}, name="docs")
    run = (
        docs.language(name="lang")
        .limits(per="language", least={"language_score": "spread 0.3 0.9"}, min_docs=20, name="own")
        .run(folder / "root", progress=False)
    )
    frame = run.frame("docs", ["true"]).join(run.frame("lang", ["language", "language_score"]), on="doc_id")
    frame = frame.join(run.frame("own", ["least_language_score"]), on="doc_id").collect()
    kept = {"one": frame["language_score"] >= 0.65, "own": frame["language_score"] >= frame["least_language_score"]}
    out: dict[str, Any] = {"texts": frame.height}
    for name, mask in kept.items():
        passed = frame.filter(mask)
        right = (passed["true"] == passed["language"]).mean()
        of = {code: round(float(mask.filter(frame["language"] == code).mean() or 0), 2) for code in TEN}
        out[name] = {"kept": passed.height, "right": round(float(right or 0), 3), "kept_of": of}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", type=Path)
    parser.add_argument("--most", type=int, default=40)
    parser.add_argument("--sentences", type=int, default=60)
    given = parser.parse_args()
    known = known_codes("winnow") or set()
    held = lingua_texts(given.packs, given.most)
    texts = [
        (code, text) for kind in KINDS for code, text in held[kind] if FOLD.get(code, code) in known or code in known
    ]
    report: dict[str, Any] = {"texts": len(texts)}
    report["paragraphs"] = {name: told(texts, *bounds) for name, bounds in BOUNDS.items()}
    sentences = lingua_texts(given.packs, given.sentences)["sentences"]
    with tempfile.TemporaryDirectory() as folder:
        report["limits"] = limits([(code, text) for code, text in sentences if code in TEN], Path(folder))
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
