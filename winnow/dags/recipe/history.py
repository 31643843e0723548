"""Every run keeps a record: `runs/history/NAME/000001.json` when it begins, `000001.end.json` when it ends.

Both are created once and never replaced, so two drivers of one name have two records, and a run that was killed is one
that began and did not end. `runs/NAME.json` is the latest of its name. What a record reaches stays until `forget`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from winnow.core.errors import ConfigError, StoreError
from winnow.core.store.store import Store
from winnow.dags.recipe.records import RunRecord, living_drivers, read_record, record_in

FOLDER = "runs/history"
END = ".end.json"
PREVIOUS = "prev"


def now() -> str:
    """The time in UTC to the second, as records say it: `2026-11-29T20:15:00+00:00`."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def begin(store: Store, name: str, body: Mapping[str, Any]) -> int:
    """Record that a run begins; returns its number. The first driver to create a number has it.

    A record of an earlier version of winnow, which kept only the latest, becomes the first of the history.
    """
    if not numbers(store, name) and store.exists(f"runs/{name}.json"):
        store.put_new(_key(name, 1), store.get(f"runs/{name}.json"))
    number = max(numbers(store, name), default=0) + 1
    while not store.put_new(_key(name, number), _bytes({**body, "number": number})):
        number += 1
    show_latest(store, name, {**body, "number": number})
    return number


def end(store: Store, name: str, number: int, body: Mapping[str, Any]) -> None:
    """Record how a run ended."""
    body = {**body, "number": number}
    store.put_new(_key(name, number, END), _bytes(body))
    show_latest(store, name, body)


def show_latest(store: Store, name: str, body: Mapping[str, Any]) -> None:
    """`runs/NAME.json`, unless a later run of the name stands there."""
    key = f"runs/{name}.json"
    with suppress(orjson.JSONDecodeError, StoreError, TypeError, AttributeError):
        if int(orjson.loads(store.get(key)).get("number") or 0) > body["number"]:
            return
    store.put(key, _bytes(body))


def numbers(store: Store, name: str) -> list[int]:
    """Numbers of the records of a name, ascending."""
    stems = [Path(key).stem for key in store.list(f"{FOLDER}/{name}") if not key.endswith(END)]
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def names(store: Store) -> list[str]:
    """Names of the runs of a root, ascending."""
    latest = {Path(key).stem for key in store.list("runs") if key.endswith(".json")}
    return sorted(latest | set(store.folders(FOLDER)))


def numbered(store: Store, name: str, number: int) -> RunRecord:
    """One record, as it ended or else as it began. Raises StoreError where it is of another version."""
    ended = _key(name, number, END)
    key = ended if store.exists(ended) else _key(name, number)
    return record_in(store, key, f"{name}@{number}")


def records(store: Store, name: str) -> Iterator[RunRecord]:
    """All records of a name that can be read, oldest first; the latest alone where there is no history."""
    held = numbers(store, name)
    for number in held:
        with suppress(StoreError):
            yield numbered(store, name, number)
    if not held:
        yield read_record(store, name)


def reached(store: Store) -> set[str]:
    """Folders of all stages that any record names. Raises StoreError where one cannot be read: nothing may go then."""
    found: set[str] = set()
    for key in store.list("runs"):
        if key.endswith(".json"):
            found |= {str(s["dir"]) for s in read_record(store, Path(key).stem).stages.values()}
    for name in store.folders(FOLDER):
        for key in store.list(f"{FOLDER}/{name}"):
            found |= {str(s["dir"]) for s in record_in(store, key, name).stages.values()}
    return found


def earlier(record: RunRecord, at: str) -> RunRecord:
    """The record of the same name that `@at` means: `prev`, a number, or the beginning of a date (its last run).

    Raises: ConfigError naming the records there are.
    """
    store, name = record.store, record.name.partition("@")[0]
    held = numbers(store, name)
    own = record.number or max(held, default=0)
    if at == PREVIOUS:
        before = [n for n in held if n < own]
        if before:
            return numbered(store, name, before[-1])
    elif at.isdecimal() and int(at) in held:
        return numbered(store, name, int(at))
    elif len(at) >= 4:
        dated = [r for r in records(store, name) if r.began.startswith(at)]
        if dated:
            return dated[-1]
    few = ", ".join(f"@{r.number} ({r.began or 'no date'})" for r in list(records(store, name))[-5:] if r.number)
    hint = f"latest: {few}; `winnow runs {store.where()}` lists them" if few else "it has one record: run it again"
    what = "has no earlier run" if at == PREVIOUS else f"has no record @{at}"
    raise ConfigError(f"run {name!r} {what}", where=store.where(), hint=hint)


def outcome(record: RunRecord) -> str:
    """finished, failed, interrupted, running; '' of a record of an earlier version."""
    said = str(record.body.get("outcome") or "")
    if said or not record.began:
        return said
    driver = str(record.body.get("driver") or "")
    if driver in living_drivers(record.store):
        with suppress(StoreError, orjson.JSONDecodeError):
            beat = orjson.loads(record.store.get(f"alive/{driver}.json"))
            if (beat.get("run"), beat.get("number")) == (record.name.partition("@")[0], record.number):
                return "running"
    return "interrupted"


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What `forget` removed: records as NAME@NUMBER (NAME where it had no number)."""

    removed: list[str]
    left: int  # records of the name that are left


def forget(record: RunRecord, *, whole: bool, keep: int = 0) -> Forgotten:
    """Remove one record or, where `whole`, all of its name but the newest `keep`; no stage and no file of one.

    The latest pointer follows: first it shows what is left, then records go, so that a kill leaves a readable history.
    Raises: StoreError where one of them is still running; ConfigError for a `keep` below 0.
    """
    if keep < 0:
        raise ConfigError(f"cannot keep {keep} records", where="--keep", hint="0 forgets all of them")
    store, name = record.store, record.name.partition("@")[0]
    held = numbers(store, name)
    gone = held[: len(held) - keep] if whole else [record.number] if record.number in held else []
    for number in gone:
        if outcome(numbered(store, name, number)) == "running":
            raise StoreError(f"run {name}@{number} is going on", where=store.where(), hint="wait for it, or stop it")
    left = [n for n in held if n not in gone]
    if left:
        store.put(f"runs/{name}.json", _bytes(numbered(store, name, left[-1]).body))
    elif not keep:
        store.delete(f"runs/{name}.json")
    for number in gone:
        store.delete(_key(name, number, END))
        store.delete(_key(name, number))
    if not left:
        store.drop_empty(f"{FOLDER}/{name}")
    return Forgotten(removed=[f"{name}@{n}" for n in gone] or ([] if keep else [name]), left=len(left))


def _key(name: str, number: int, suffix: str = ".json") -> str:
    return f"{FOLDER}/{name}/{number:06d}{suffix}"


def _bytes(body: Mapping[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_INDENT_2)
