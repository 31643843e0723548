"""Fields in which two records of a stage differ: what `plan` says of a changed stage, and `diff` of two runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from winnow.core.operators.written import written
from winnow.core.terminal import cut_to
from winnow.dags.recipe.identity import canonical_columns

Change = dict[str, Any]  # {"field", "was", "now"}

MOST_CHARS = 120  # of a value in one line
_PLAIN = ("operator", "version", "code", "seed")


def change(field: str, was: Any, now: Any) -> Change:
    """One field with its old and its new value."""
    return {"field": field, "was": was, "now": now}


@dataclass(frozen=True, kw_only=True)
class Means:
    """What names of columns in two records of a stage mean: name -> `stage.column`, by the names stages have now."""

    was: Mapping[str, str]
    now: Mapping[str, str]

    def same(self, was: Any, now: Any) -> bool:
        """Whether two values of a field say the same, whatever the stages are called."""
        if was == now or was is None or now is None:
            return bool(was == now)
        return bool(canonical_columns(was, _plain(self.was)) == canonical_columns(now, _plain(self.now)))


def _plain(names: Mapping[str, str]) -> dict[str, str]:
    return {name: f"_{column.replace('.', '_')}" for name, column in names.items()}


def own_changes(
    was: Mapping[str, Any], now: Mapping[str, Any], columns_from: Sequence[str], means: Means
) -> Iterator[Change]:
    """What differs in two stages themselves, of their records' `identity`, `config` and `where`; no names of columns.

    Fields named in `columns_from` are compared as written, but for other names of the same stages: what they mean is in
    the columns that a stage reads.
    """
    old, new = was["identity"], now["identity"]
    for key in _PLAIN:
        if old.get(key) != new.get(key):
            yield change(key, old.get(key), new.get(key))
    if not means.same(was.get("where"), now.get("where")):
        yield change("where", was.get("where"), now.get("where"))
    yield from _config_changes((old["config"], new["config"]), (was["config"], now["config"]), columns_from, means)
    for name in sorted({*old["uses"], *new["uses"]}):
        if old["uses"].get(name) != new["uses"].get(name):
            yield change(f"uses {name}", old["uses"].get(name), new["uses"].get(name))
    for port in sorted({*old["files"], *new["files"]}):
        if old["files"].get(port) != new["files"].get(port):
            yield change(port, *_file_lists(old["files"].get(port, []), new["files"].get(port, [])))


def column_changes(was: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Change]:
    """Names that mean the column of another stage now; both map a name to `stage.column`."""
    for name in (n for n in was if n in now and was[n] != now[n]):
        yield change(f"column {name}", was[name], now[name])


def population_change(was: Sequence[str], now: Sequence[str]) -> Iterator[Change]:
    """Another population, each a list of `stage.kept`."""
    before, after = sorted(was), sorted(now)
    if before != after:
        yield change("population", before, after)


def as_text(one: Mapping[str, Any]) -> str:
    """One change as a short text."""
    was, now = ("none" if one[k] is None else cut_to(_told(one[k]), MOST_CHARS) for k in ("was", "now"))
    return f"{one['field']}: {was} -> {now}"


def _told(value: Any) -> str:
    return written(value) if isinstance(value, Mapping | list | tuple | bool) else str(value)


def _config_changes(
    identity: tuple[Mapping[str, Any], Mapping[str, Any]], plain: tuple[Mapping[str, Any], Mapping[str, Any]],
    columns_from: Sequence[str], means: Means,
) -> Iterator[Change]:  # fmt: skip
    """Fields of the operator, each as (was, now): their identity decides, their plain values are shown."""
    for key in sorted({*identity[0], *identity[1]}):
        a, b = (values.get(key) for values in plain)
        was, now = (values.get(key) for values in identity)
        if was == now or (key in columns_from and means.same(a, b)):
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from (
                change(f"{key}.{k}", a.get(k), b.get(k)) for k in dict.fromkeys([*a, *b]) if a.get(k) != b.get(k)
            )
        elif a == b:
            yield change(key, a, f"{b} (recorded in another form)")
        else:
            yield change(key, a, b)


def _file_lists(was: Sequence[tuple[str, str]], now: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Two lists of (path, digest) as short texts: how many files, and which were added, removed or changed."""
    a, b = (dict(files) for files in (was, now))
    added, removed = [r for r in b if r not in a], [r for r in a if r not in b]
    moved = _moved({r: a[r] for r in removed}, {r: b[r] for r in added})
    added = [r for r in added if r not in moved]
    removed = [r for r in removed if r not in moved.values()]
    renamed = [f"{old} -> {new}" for new, old in moved.items()]
    changed = [r for r in b if r in a and a[r] != b[r]]
    kinds = {"renamed": renamed, "added": added, "removed": removed, "changed": changed}
    parts = [
        f"{len(names)} {word} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for word, names in kinds.items()
        if names
    ]
    return _count(a), f"{_count(b)}: {', '.join(parts)}"


def _moved(removed: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    """Path now -> path before, of files with the same content; equal files in their order."""
    at: dict[str, list[str]] = {}
    for rel, digest in removed.items():
        at.setdefault(digest, []).append(rel)
    return {rel: at[digest].pop(0) for rel, digest in added.items() if at.get(digest)}


def _count(files: Mapping[str, str]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files)} files"
