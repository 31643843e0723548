"""The figures of a summary of training content as Article 53(1)(d) of Regulation (EU) 2024/1689 asks for it.

The sections are those of the template of the AI Office (July 2025). What the record of a run knows is filled in; what
only a person knows is named in `to_be_filled_in`, and never guessed. It is about one set of documents: who trains a
model on several adds them up, and the words of the summary are the provider's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import orjson

from winnow.dags.looking.cards.facts import Facts
from winnow.dags.looking.cards.words import preprocessing
from winnow.dags.looking.cards.written_rows import Part

NAME, DOMAINS = "training_summary.json", "domains.csv"
LISTED = 1000  # domains in the JSON; `domains.csv` has all
_TO_FILL = {
    "1.1 provider": "name and contact of the provider, and of its authorised representative in the Union",
    "1.2 model": "names and versions of the model, what it was made from, when it was placed on the market",
    "1.3 other modalities": "sizes of images, audio and video that the model was trained on beside these texts",
    "1.3 latest date": "when the latest of these data were acquired, and whether the model is trained continuously",
    "2.1 public datasets": "which of the sources are public data sets, with their names and links",
    "2.2 private datasets": "which were licensed from rightsholders, or had from other third parties",
    "2.3 crawling": "names and purposes of crawlers, when they crawled, how they behave, kinds of sites",
    "2.4 user data": "whether data of users of the provider's services or models are among the sources",
    "2.5 synthetic data": "which sources were written by models, and by which",
    "3.1 rights": "measures to respect opt-outs from text and data mining (Directive (EU) 2019/790, Article 4(3))",
    "3.2 illegal content": "measures against illegal content beside the rules that the run lists",
}  # fmt: skip


def training_summary(facts: Facts) -> bytes:
    """The figures as JSON. Equal facts give equal bytes."""
    body = {
        "about": "figures for a summary under Article 53(1)(d) of Regulation (EU) 2024/1689; not the summary itself",
        "set": facts.title, "run": facts.run, "stage": facts.stage, "recipe_sha256": facts.recipe_sha256,
        "content_digest": facts.shards.digest,
        "1_general_information": _general(facts), "2_list_of_data_sources": _sources(facts),
        "3_data_processing": _processing(facts), "to_be_filled_in": _TO_FILL,
    }  # fmt: skip
    return orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n"


def domains_csv(parts: Sequence[Part]) -> bytes:
    """Every domain by size of its text, with the share of all text that it and those before it make."""
    text, total, sum_bytes = io.StringIO(), sum(one.bytes for one in parts), 0
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["rank", "domain", "documents", "bytes", "share", "share_so_far"])
    for rank, one in enumerate((one for one in parts if one.name is not None), start=1):
        sum_bytes += one.bytes
        shares = [f"{value / total:.6f}" if total else "" for value in (one.bytes, sum_bytes)]
        out.writerow([rank, one.name, one.documents, one.bytes, *shares])
    return text.getvalue().encode()


def size_range(tokens: int) -> str:
    """The template's range of a number of tokens of text."""
    if tokens < 10**9:
        return "less than 1 billion tokens"
    return "1 billion to 10 trillion tokens" if tokens <= 10**13 else "more than 10 trillion tokens"


def _general(facts: Facts) -> dict[str, Any]:
    written = facts.written
    text = {
        "documents": facts.documents, "bytes_of_text": facts.text_bytes, "tokens": written.tokens,
        "tokens_estimated_by": written.tokens_by or None,
        "size_range": None if written.tokens is None else size_range(written.tokens),
    }  # fmt: skip
    languages = written.groups["language"]
    return {
        "modalities": {"text": text},
        "linguistic_characteristics": None if languages is None else [_part(one, written.bytes) for one in languages],
        "processed_at": facts.ended or None,
    }  # fmt: skip


def _sources(facts: Facts) -> dict[str, Any]:
    total = facts.written.bytes
    return {
        "readers": [
            {"reader": one.name, "source": one.source or None, "files": len(one.files), "documents_read": one.documents,
             "bytes_of_text_read": one.bytes, "records_put_aside": one.bad}
            for one in facts.readers
        ],
        "sources_of_the_documents": [_part(one, total) for one in facts.written.sources],
        "licences": {
            "of_the_set": list(facts.told.licences) or None,
            "of_the_documents": None if (found := facts.written.groups["licence"]) is None
            else [_part(one, total) for one in found],
        },
        "domains": _domains(facts),
    }  # fmt: skip


def _domains(facts: Facts) -> dict[str, Any] | None:
    """What the template asks of crawled text: the top 10 % of domains by size (5 % or 1,000 for small providers)."""
    parts = facts.written.groups["domain"]
    if parts is None:
        return None
    total, named = facts.written.bytes, [one for one in parts if one.name is not None]
    top = {"top_10_percent": -(-len(named) // 10), "top_5_percent_or_1000": min(-(-len(named) // 20), 1000)}
    return {
        "number": len(named), "column": facts.written.columns["domain"],
        "documents_without_one": sum(one.documents for one in parts if one.name is None),
        **{name: {"domains": number, "share_of_bytes": _share(sum(one.bytes for one in named[:number]), total)}
           for name, number in top.items()},
        "largest": [_part(one, total) for one in named[: min(LISTED, top["top_10_percent"])]], "all_in": DOMAINS,
    }  # fmt: skip


def _processing(facts: Facts) -> dict[str, Any]:
    return {
        "steps": list(preprocessing(facts)),
        "duplicates_removed": sum(one.removed for one in facts.duplicates) if facts.duplicates else None,
        "evaluation_data": [{"stage": one.stage, "against": list(one.against), "dropped": one.dropped}
                            for one in facts.decontaminated] or None,
        "personal_data_masked": [{"stage": one.stage, "documents_changed": one.edited, "found": one.found}
                                 for one in facts.masked] or None,
    }  # fmt: skip


def _part(one: Part, total: int) -> dict[str, Any]:
    return {"name": one.name, "documents": one.documents, "bytes": one.bytes, "tokens": one.tokens,
            "share_of_bytes": _share(one.bytes, total)}  # fmt: skip


def _share(part: int, total: int) -> float | None:
    return round(part / total, 6) if total else None
