"""`winnow why`: the life of one document in a run, from what the stages stored.

`explain` returns plain values (also the form of `winnow why --json`):

    {"run", "root", "doc_id", "origin", "text" (its start), "bytes", "stages": [...], "ended": [...]}

with one entry per stage of every row space that holds the document:

    {"stage", "operator", "kind", "space", "hidden", "dir", "state": ok|masked|failed|null|rows|not run,
     "columns": {name: value}, "where", "population", "verdict": true|false|null, "why", "values": {column: value},
     "clauses": [{"clause", "rule", "passed", "values": {column: value}}],
     "edits": {"changes", "bytes": [before, after], "shown": [{"start", "stop", "before", "after"}]} (of an editor),
     "cluster": {"keeper", "is_keeper", "size", "pairs", "order" (by which it is kept), "texts" (`pair_texts`),
        "earlier" (where in earlier data the keeper lay, or null),
        "members": [{"doc_id", "origin", "jaccard", "kept", "order": {column: value}}]}}

`ended` has one entry per `write` (or per last decision, where nothing is written): {"stage", "shard", "row"} where
the document was written, else {"stage", "dropped_by", "why"}.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import xxhash

from winnow.core.errors import ConfigError
from winnow.core.operators import ROW_COLUMNS, Kind, Operator, sql
from winnow.core.operators.duplicates import cluster_columns
from winnow.core.store.schema import STATE, STATE_FAILED, STATE_MASKED, STATE_NULL, STATE_OK
from winnow.core.words.hashing import TEXT_SEEDS
from winnow.dags.looking.address import json_value
from winnow.dags.looking.duplicates import clusters_in
from winnow.dags.looking.edits import HIDDEN, edits_of, is_editor
from winnow.dags.looking.finished import FinishedRun, FinishedStage
from winnow.dags.looking.matching import Condition, column_of, equals, no_column
from winnow.dags.looking.pair_texts import compared
from winnow.dags.looking.row_index import Place, shard_name
from winnow.dags.recipe.records import RunRecord
from winnow.dags.shapes.quarantine import put_aside

STATES = {STATE_OK: "ok", STATE_MASKED: "masked", STATE_FAILED: "failed", STATE_NULL: "null"}
MOST_MEMBERS = 20
TEXT_CHARS = 240
MOST_LISTED = 10  # documents, where several are meant
_HEX = re.compile(r"[0-9a-f]{8,32}\Z")
_NAME = re.compile(r"[^\W\d][\w.]*\Z")


def explain(record: RunRecord, doc: str = "", *, where: str | None = None, full: bool = False) -> dict[str, Any]:
    """The life of one document: `doc` is a doc_id (or its first digits), a user id, an origin or COLUMN=VALUE.

    `where` is SQL over any columns that only this document satisfies; `full` gives its text whole.
    Raises: ConfigError where no row or more than one document is meant: it lists them.
    """
    run = FinishedRun(record)
    doc_id = find_document(run, doc) if where is None else find_where(run, where)
    return Explanation(run, doc_id, full=full).as_json()


def find_document(run: FinishedRun, doc: str) -> bytes:
    """The doc_id that a text means. Raises ConfigError with the nearest ids or origins."""
    spaces = _spaces(run)
    found = {p.doc_id: s for s, p in _candidates(run, spaces, doc)}
    if found:
        return _only_one(found, doc, number=str(len(found)))
    found = _with_value(run, spaces, doc)
    if found:
        return _only_one(found, doc)
    raise ConfigError(
        f"no document {doc!r} in run {run.record.name!r}", where=run.store.location, hint=_near(spaces, doc)
    )


def find_where(run: FinishedRun, rule: str) -> bytes:
    """The doc_id of the one document that a rule is true for. Raises ConfigError for none, or listing several."""
    spaces, found, refused = _spaces(run), dict[bytes, FinishedStage](), list[ConfigError]()
    for space in spaces:
        try:
            found |= {p.doc_id: space for p in Condition(run, space, rule).places(most=MOST_LISTED + 1)}
        except ConfigError as error:  # another row space may have the columns
            refused.append(error)
    if len(refused) == len(spaces):
        raise refused[0]
    if not found:
        raise ConfigError(f"no document where {rule}", where="--where", hint="`winnow sample RUN` shows some documents")
    return _only_one(found, rule)


def _spaces(run: FinishedRun) -> list[FinishedStage]:
    """Complete row spaces. Raises ConfigError where there is none."""
    spaces = run.spaces()
    if not spaces:
        raise ConfigError("no stage of this run is complete", where=run.store.location, hint="run it first")
    return spaces


def _only_one(found: Mapping[bytes, FinishedStage], asked: str, *, number: str = "") -> bytes:
    """The one document. Raises ConfigError that lists several by id and origin."""
    if len(found) == 1:
        return next(iter(found))
    listed = []
    for doc_id in sorted(found)[:MOST_LISTED]:
        place = found[doc_id].index.find(doc_id.hex())[0]
        listed.append(f"{doc_id.hex()} ({found[doc_id].cell('origin', place.unit, place.row)})")
    many = number or (f"more than {MOST_LISTED}" if len(found) > MOST_LISTED else str(len(found)))
    raise ConfigError(f"{asked!r} means {many} documents: {', '.join(listed)}", hint="give one of these ids")


def _with_value(run: FinishedRun, spaces: Sequence[FinishedStage], doc: str) -> dict[bytes, FinishedStage]:
    """Documents by NAME=VALUE; empty where the text is no such pair, or no row has the value.

    Raises: ConfigError for a name that no row space has: it says which there are.
    """
    name, equal, value = doc.partition("=")
    if not equal or not _NAME.match(name):
        return {}
    found, known = dict[bytes, FinishedStage](), False
    for space in spaces:
        column = column_of(run, space, name, where=name)
        if column is not None:
            known = True
            rule = Condition(run, space, equals(column, name, value), where=name)
            found |= {p.doc_id: space for p in rule.places(most=MOST_LISTED + 1)}
    if not known:
        raise no_column(run, spaces, name, where=doc)
    return found


def _candidates(run: FinishedRun, spaces: Sequence[FinishedStage], doc: str) -> list[tuple[FinishedStage, Place]]:
    """Rows by id, else by user id, else by origin, each with its row space."""
    if _HEX.match(doc.lower()):
        found = [(s, p) for s in spaces for p in s.index.find(doc.lower())]
        if found:
            return found
    hashed = [h for s in spaces if s.is_reader for h in _hashed(s.operator, doc)]
    found = [(s, p) for h in dict.fromkeys(hashed) for s in spaces for p in s.index.find(h)]
    return found or [(s, p) for s in spaces if s.is_reader for p in s.index.with_origin(doc)]


def _hashed(operator: Operator | None, doc: str) -> list[str]:
    """Hex ids that a reader would give to a user id or an origin."""
    source, rule = str(getattr(operator, "source", "")), str(getattr(operator, "id", "position"))
    if rule.startswith("field:"):
        return [one_hash("id", source, "", doc)]
    if rule != "position":
        return []
    rel, mark, locator = doc.rpartition("#")
    pairs = [(rel, locator)] if mark else []
    return [one_hash(source, a, b) for a, b in [*pairs, (doc, "")]]


def one_hash(*parts: str) -> str:
    """The doc_id that `core.ids` gives to these parts, 32 hex digits, without loading compiled kernels."""
    data = "\0".join(parts).encode()
    return b"".join(xxhash.xxh64_intdigest(data, seed).to_bytes(8, "little") for seed in TEXT_SEEDS).hex()


def _near(spaces: Sequence[FinishedStage], doc: str) -> str:
    if _HEX.match(doc.lower()):
        return "nearest ids: " + ", ".join(i for s in spaces[:1] for i in s.index.nearest(doc.lower()))
    origins = [o for s in spaces if s.is_reader for o in s.index.like_origin(doc)]
    if origins:
        return "origins like it: " + ", ".join(origins[:4])
    first = [str(s.cell("origin", u, 0)) for s in spaces for u, r in list(s.parts.items())[:50] if r.rows]
    near = difflib.get_close_matches(doc, first[:50], n=1)
    looks = (
        f"did you mean {near[0]!r}?" if near else f"origins look like {first[0]!r}" if first else "there are no rows"
    )
    return f"{looks}; a doc_id is 8 to 32 hex digits"


class Explanation:
    """One document in all stages of a run."""

    def __init__(self, run: FinishedRun, doc_id: bytes, *, full: bool = False) -> None:
        self.run, self.doc_id, self.store, self.full = run, doc_id, run.store, full
        self.places: dict[str, Place] = {}
        for space in run.spaces():
            for place in space.index.find(doc_id.hex()):
                self.places[space.folder] = place
        self.entries: dict[str, dict[str, Any]] = {}

    def as_json(self) -> dict[str, Any]:
        """The whole answer; see the module."""
        for view in self.run.stages:
            if view.space in self.places or (view.kind is Kind.ROWS and view.folder in self.places):
                self.entries[view.folder] = self._entry(view)
        return {
            "run": self.run.record.name, "root": self.store.location, "doc_id": self.doc_id.hex(),
            **self._facts(), "stages": list(self.entries.values()), "ended": list(self._ended()),
        }  # fmt: skip

    def _facts(self) -> dict[str, Any]:
        folder, place = next(iter(self.places.items()))
        space = self.run.at(folder)
        text = space.cell("text", place.unit, place.row)
        return {
            "origin": space.cell("origin", place.unit, place.row),
            "bytes": space.cell("text_bytes", place.unit, place.row),
            "text": text if text is None or self.full or len(text) <= TEXT_CHARS else text[:TEXT_CHARS] + "...",
            "full": self.full,
        }

    def _entry(self, view: FinishedStage) -> dict[str, Any]:
        out: dict[str, Any] = {
            "stage": view.shown, "operator": view.operator_name, "kind": view.kind.value,
            "space": self.run.name_of(view.space or view.folder), "hidden": view.hidden,
            "dir": self.store.where(view.folder), "state": "not run", "columns": {}, "where": view.where,
            "population": view.population_names(), "verdict": None, "why": "", "values": {}, "clauses": [],
            "cluster": None, "edits": None,
        }  # fmt: skip
        if not view.complete or view.kind is Kind.TABLE:
            return out if not view.complete else {**out, "state": "table"}
        place = self.places[view.folder if view.kind is Kind.ROWS else view.space]
        if place.unit not in view.parts:
            return out
        out["columns"] = self._values(view, place)
        if view.kind is Kind.ROWS:
            return {**out, "state": "rows"}
        out["state"] = STATES.get(out["columns"].pop(STATE), "unknown")
        out["verdict"] = (
            out["columns"].get("kept") if out["state"] == "ok" else False if "kept" in out["columns"] else None
        )
        out["clauses"] = list(self._clauses(view, place, out["columns"]))
        if is_editor(view):
            out["edits"] = edits_of(view, place.unit, place.row)
            out["columns"] = {name: value for name, value in out["columns"].items() if name not in HIDDEN}
        out["cluster"] = self._cluster(view, out["columns"]) if out["state"] == "ok" else None
        if out["verdict"] is not None and out["state"] == "ok" and not out["clauses"]:
            out["values"] = self._read(view, place)
        out["why"] = self._why(view, out)
        return out

    def _values(self, view: FinishedStage, place: Place) -> dict[str, Any]:
        """The stage's own columns; of a row space only what the reader added."""
        skip = ROW_COLUMNS if view.kind is Kind.ROWS else {}
        names = [c for f in view.parts[place.unit].files for c in f.columns if c not in skip]
        return {c: json_value(v) for c, v in view.values(names, place.unit, place.row).items()}

    def _read(self, view: FinishedStage, place: Place) -> dict[str, Any]:
        """Columns that a deciding stage reads of this row, besides what every row has."""
        names = [n for n in (view.file.columns if view.file else {}) if n not in ROW_COLUMNS]
        out = {n: json_value(v) for n, v in view.input_values(names, place.unit, place.row).items()}
        return {n: v for n, v in out.items() if not (isinstance(v, str) and v.startswith("<"))}

    def _clauses(self, view: FinishedStage, place: Place, columns: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        names = list(dict.fromkeys(c for rule in view.rules.values() for c in sql.column_names(rule)))
        read = {n: json_value(v) for n, v in view.input_values(names, place.unit, place.row).items()}
        for name, rule in view.rules.items():
            values = {column: read[column] for column in sql.column_names(rule)}
            yield {"clause": name, "rule": rule, "passed": columns.get(f"pass_{name}"), "values": values}

    def _cluster(self, view: FinishedStage, columns: Mapping[str, Any]) -> dict[str, Any] | None:
        """Keeper and members of the duplicate cluster; None where the document has no duplicate."""
        found = clusters_in(view)
        size = columns[found.columns.size] if found else None
        if found is None or not size or size < 2:
            return None
        keeper = columns[found.columns.keeper] or self.doc_id.hex()
        jaccard = found.similar_to(self.doc_id)
        members = [
            {"doc_id": doc_id.hex(), "origin": str(found.space.cell("origin", place.unit, place.row)),
             "jaccard": jaccard.get(doc_id), "kept": doc_id.hex() == keeper,
             "order": {name: json_value(v) for name, v in found.ordered_by(place).items()}}
            for doc_id, place in found.members(bytes.fromhex(keeper), MOST_MEMBERS)
        ]  # fmt: skip
        kept = next((p for p in found.space.index.find(keeper)), None) if keeper != self.doc_id.hex() else None
        own = self.places[view.space]
        texts = [found.space.cell("text", p.unit, p.row) for p in (own, kept) if p is not None]
        return {
            "keeper": keeper,
            "is_keeper": keeper == self.doc_id.hex(),
            "size": size,
            "members": members,
            "pairs": len(jaccard),
            "order": found.order(),
            "texts": compared(*texts) if len(texts) > 1 else None,
            "earlier": columns.get(found.columns.earlier),
        }

    def _why(self, view: FinishedStage, out: Mapping[str, Any]) -> str:
        """What decided, in words; '' for stages that decide nothing."""
        if out["state"] == "masked":
            asked = [f"{name} did not keep it" for name in self._refusing(view)]
            return "not asked: " + ("; ".join(asked) or (f"where {view.where}" if view.where else "masked"))
        if out["state"] == "failed":
            return f"the operator failed on it{self._failure(view)}"
        if out["verdict"] is None:
            return ""
        if out["clauses"]:
            refused = [c for c in out["clauses"] if c["passed"] is not True]
            return "; ".join(_clause_text(c) for c in refused) or "every clause is true"
        if out["cluster"]:
            return _cluster_text(out["cluster"], out["columns"])
        if cluster_columns(out["columns"]) is not None:
            return "it has no duplicate"
        values = ", ".join(f"{k} = {short(v)}" for k, v in out["values"].items())
        if view.role != "selector":
            return f"with {values}" if values else ""
        return f"{'selected' if out['verdict'] else 'not selected'}{f' with {values}' if values else ''}"

    def _failure(self, view: FinishedStage) -> str:
        """`: ValueError: odd document`, as the quarantine has it."""
        found = put_aside(self.store, view.parts.values())
        mine = next((bad for bad in found if bad["place"] == self.doc_id.hex()), None)
        return f": {mine['error']}: {' '.join(mine['message'].split())}" if mine else ""

    def _refusing(self, view: FinishedStage) -> list[str]:
        """Stages of the population that did not keep the document."""
        names = []
        for folder in view.deciding():
            entry = self.entries.get(folder)
            if entry is not None and entry["verdict"] is not True:
                names.append(str(entry["stage"]))
        return names

    def _ended(self) -> Iterator[dict[str, Any]]:
        """Where the document went: per `write`, or per last decision where nothing is written."""
        writes = [v for v in self.run.stages if v.is_write and v.complete]
        for view in [w for w in writes if self._reaches(w)]:
            place = self.places.get(view.folder)
            if place is not None:
                yield {"stage": view.shown, "shard": shard_name(self.store, view.folder, place.unit, list(view.parts)),
                       "row": place.row}  # fmt: skip
            else:
                yield {"stage": view.shown, **self._dropped(view)}
        if not writes:
            used = {f for v in self.run.stages if v.complete for f in v.deciding()}
            for view in self.run.stages:
                entry = self.entries.get(view.folder)
                if entry is not None and "kept" in entry["columns"] and view.folder not in used and not view.hidden:
                    last = {"kept": True} if entry["verdict"] else self._dropped(view)
                    yield {"stage": view.shown, **last}

    def _reaches(self, view: FinishedStage) -> bool:
        return view.source_space in self.places

    def _dropped(self, view: FinishedStage) -> dict[str, Any]:
        """The first stage, in the order of the data, among the decisions behind `view` that did not keep it."""
        behind = self.run.decisions_behind(view)
        for stage in self.run.stages:
            entry = self.entries.get(stage.folder)
            if stage.folder not in behind or entry is None or "kept" not in entry["columns"]:
                continue
            if entry["verdict"] is not True:  # a masked row too: nothing before refused it, so its `where` did
                return {"dropped_by": stage.shown, "why": entry["why"]}
        return {"dropped_by": view.shown, "why": f"where {view.where}" if view.where else "a `where` on the way"}


def _clause_text(clause: Mapping[str, Any]) -> str:
    values = ", ".join(f"{k} = {short(v)}" for k, v in clause["values"].items())
    return f"{clause['clause']} {'is null' if clause['passed'] is None else 'refuses'}: {clause['rule']} with {values}"


def _cluster_text(cluster: Mapping[str, Any], columns: Mapping[str, Any]) -> str:
    if cluster["is_keeper"]:
        first = f", the first by {cluster['order']}" if cluster["order"] else ""
        return f"kept as one of {cluster['size']} duplicates{first}"
    jaccard = columns.get("keeper_jaccard")
    like = f" (Jaccard {jaccard:.3f})" if jaccard is not None else ""
    earlier = f", an earlier document: {cluster['earlier']}" if cluster["earlier"] else ""
    return f"duplicate of {cluster['keeper']}{like}{earlier}"


def short(value: Any) -> str:
    """A value as a short text."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "null" if value is None else str(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."
