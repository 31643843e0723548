"""`winnow ablate`: the recipe that compares sets of documents which already lie on disk, from winnow or elsewhere.

Arms of an ablation select from one row space, so all files are read into one (a reader per format; `concat` where
there are several), what repeats the target is taken out of it for all sets alike, and each set is an arm: a `random`
draw of equal size from the documents whose `origin` lies in its files, trained on for equal tokens. Every seed draws
its own subset. A file may belong to several sets; it is read once.
"""

from __future__ import annotations

import bisect
import dataclasses
import glob
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators.budget import Budget
from winnow.core.store.packing import in_words, unpacked
from winnow.dags.recipe.found_files import find_files, matching
from winnow.dags.recipe.registry import reader_of, reader_suffixes
from winnow.dags.recipe.yaml_recipe import Recipe, StageSpec, is_stage_name
from winnow.dags.recipe.yaml_writer import yaml_of

MAX_CHAR = chr(0x10FFFF)
LEFT_OUT = "index.json"  # beside the shards that `write` makes
TEXT = "text"
DRAWN = 1.5  # drawn per token of training: the draw counts bytes / 4, and the models' tokenizer may need fewer
_TAKEN = ("baseline", "aa")  # labels of an ablation's own


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files of one reader: the globs that a recipe names and the absolute paths that they mean."""

    reader: str
    patterns: tuple[str, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Files:
    """Files that go by one name, and the field that holds their text."""

    name: str
    sources: tuple[Source, ...]
    text_field: str

    @property
    def paths(self) -> list[str]:
        """Absolute paths, sorted."""
        return sorted({p for s in self.sources for p in s.paths})


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a person asks for: sets, targets, the baseline, seeds, training tokens per run (None: the default)."""

    sets: tuple[Files, ...]
    targets: tuple[Files, ...]
    baseline: str
    seeds: int | None
    tokens: int | None
    seed: int = 0


def asked(
    words: Sequence[str], evals: Sequence[str], *, baseline: str = "", seeds: int | None = None,
    tokens: str = "", text_fields: Sequence[str] = (), seed: int = 0,
) -> Comparison:  # fmt: skip
    """A comparison from the words of a command line: `NAME=FILES...`, `[NAME=]FILE`, `[NAME=]FIELD`.

    Raises: ConfigError where a set has no name or no files, there are fewer than two, or a number cannot be.
    """
    fields = _by_name(text_fields)
    sets = _named_files(_gathered(words), fields, where="SETS")
    targets = _named_files([(_label(e), [e.partition("=")[2] or e]) for e in evals], fields, where="--eval")
    names = [s.name for s in sets]
    if len(names) < 2:
        hint = "winnow ablate web=web/*.parquet books=books/*.jsonl --eval held_out.jsonl"
        raise ConfigError(f"{len(names)} sets, and two are compared", where="SETS", hint=hint)
    if baseline and baseline not in names:
        raise ConfigError(f"no set is called {baseline!r}", where="--baseline", hint=did_you_mean(baseline, names))
    if not targets:
        raise ConfigError("there is nothing to evaluate on", where="--eval", hint="--eval FILE with held-out text")
    clash = [t.name for t in targets if t.name in names]
    if clash:
        raise ConfigError(f"{clash[0]!r} names a set and a target", where="--eval", hint="--eval OTHER=FILE")
    unknown = [n for n in fields if n and n not in (*names, *(t.name for t in targets))]
    if unknown:
        raise ConfigError(f"no set or target is called {unknown[0]!r}", where="--text-field")
    amount = None
    if tokens:
        amount = int(Budget.parse(tokens if "token" in tokens else f"{tokens} tokens").amount)
    return Comparison(
        sets=tuple(sets), targets=tuple(targets), baseline=baseline or names[0], seeds=seeds, tokens=amount, seed=seed
    )


def comparison_recipe(wanted: Comparison, *, name: str = "ablate") -> Recipe:
    """The recipe that a person would write for it; `.text` is its YAML. Raises ConfigError for files of no reader."""
    base = os.path.commonpath([str(Path(p).parent) for s in wanted.sets for p in s.paths])
    taken = [*(s.name for s in wanted.sets), *(t.name for t in wanted.targets)]
    docs, safe, effect = (_free(n, taken) for n in ("docs", "safe", "effect"))
    stages = [_target(t) for t in wanted.targets]
    questions = {s.name for s in stages if s.use == "target_file"}
    stages += _readers(wanted.sets, base, docs, taken)
    kept: list[str] = []
    for target in wanted.targets:
        if target.name not in questions:
            where = f"kept_{kept[-1]}" if kept else None
            kept.append(safe if not kept else _free(f"{safe}_{target.name}", taken))
            stages.append(StageSpec(name=kept[-1], use="decontaminate", inputs=(docs,), where=where,
                                    config={"against": target.name}))  # fmt: skip
    tokens = _default("tokens") if wanted.tokens is None else wanted.tokens
    for each in wanted.sets:
        stages.append(StageSpec(
            name=each.name, use="random", inputs=tuple(dict.fromkeys([docs, *kept[-1:]])),
            where=_origins(each, wanted.sets, base), config={"budget": f"{round(tokens * DRAWN)} tokens"},
        ))  # fmt: skip
    arms = {s.name: s.name for s in wanted.sets if s.name != wanted.baseline}
    config: dict[str, Any] = {"arms": arms, "baseline": wanted.baseline,
                              "eval": {t.name: t.name for t in wanted.targets},
                              "seeds": _default("seeds") if wanted.seeds is None else wanted.seeds,
                              "tokens": tokens}  # fmt: skip
    stages.append(StageSpec(name=effect, use="ablation", config=config))
    recipe = Recipe(name=name, folder=Path.cwd(), stages=tuple(stages), seed=wanted.seed)
    return dataclasses.replace(recipe, text=yaml_of(recipe))


def _gathered(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """(name, patterns) of every set; a word without a name belongs to the set before it."""
    out: dict[str, list[str]] = {}
    last = ""
    for word in words:
        name, equals, rest = word.partition("=")
        if equals and is_stage_name(name):
            last = name
            out.setdefault(last, []).append(rest)
        elif last:
            out[last].append(word)
        else:
            raise ConfigError(f"{word!r} has no name", where="SETS", hint=f"write NAME={word}")
    return list(out.items())


def _named_files(pairs: Iterable[tuple[str, list[str]]], fields: Mapping[str, str], *, where: str) -> list[Files]:
    out: list[Files] = []
    for name, patterns in pairs:
        if name in _TAKEN or name in [f.name for f in out]:
            raise ConfigError(f"{name!r} is not free", where=where, hint="choose another name: NAME=FILES")
        sources = [source for pattern in patterns for source in _sources(pattern, f"{where} {name}")]
        out.append(Files(name=name, sources=tuple(sources), text_field=fields.get(name, fields.get("", TEXT))))
    return out


def _sources(word: str, where: str) -> list[Source]:
    """What a word names: a file, a glob, or a folder: there the files of the first reader that takes any."""
    if Path(word).is_dir():
        for reader, suffixes in reader_suffixes().items():
            globs = [f"{glob.escape(os.path.normpath(word))}/**/*{suffix}" for suffix in suffixes]
            met = {g: matching(g) for g in globs}
            paths = sorted({p for hits in met.values() for p in hits if Path(p).name != LEFT_OUT})
            least = [g for g in globs if met[g] and not any(Path(p).name == LEFT_OUT for p in met[g])]
            if paths and set(paths) == {p for g in least for p in met[g]}:
                return [Source(reader=reader, patterns=tuple(least), paths=tuple(paths))]
            if paths:
                return [Source(reader=reader, patterns=tuple(map(_escaped, paths)), paths=tuple(paths))]
        raise ConfigError(f"{word} holds no file that a reader takes", where=where, hint=_known_suffixes())
    paths = [
        f.path for f in find_files([word], base="", folder=Path.cwd(), where=where) if Path(f.path).name != LEFT_OUT
    ]
    readers = {_reader(path) for path in paths}
    if len(readers) == 1 and not word.endswith("*"):
        return [Source(reader=readers.pop(), patterns=(word,), paths=tuple(paths))]
    return [Source(reader=_reader(path), patterns=(_escaped(path),), paths=(path,)) for path in paths]


def _reader(path: str) -> str:
    """The reader that a file's suffix names. Raises ConfigError for others."""
    name = reader_of(path)
    if not name:
        raise ConfigError(f"no reader is known for {path}", hint=_known_suffixes())
    return name


def _known_suffixes() -> str:
    return f"files may end in {in_words(s for suffixes in reader_suffixes().values() for s in suffixes)}"


def _by_name(words: Sequence[str]) -> dict[str, str]:
    """`FIELD` for all, as '', and `NAME=FIELD` for one."""
    pairs = [w.partition("=") for w in words]
    return {(name if equals else ""): (rest if equals else name) for name, equals, rest in pairs}


def _label(word: str) -> str:
    """The name of a target: as given, or after its file."""
    name, equals, _ = word.partition("=")
    if equals and is_stage_name(name):
        return name
    stem = re.sub(r"[^A-Za-z0-9]+", "_", Path(word).name.partition(".")[0]).strip("_") or "target"
    return stem if is_stage_name(stem) else f"eval_{stem}"


def _free(name: str, taken: list[str]) -> str:
    while name in taken:
        name = f"all_{name}"
    taken.append(name)
    return name


def _readers(sets: Sequence[Files], base: str, docs: str, taken: list[str]) -> list[StageSpec]:
    """One reader per format and text field, and `concat` where there are several."""
    groups: dict[tuple[str, str], dict[str, None]] = {}
    owner: dict[str, str] = {}
    for each in sets:
        for source in each.sources:
            field = "" if source.reader == "text_files" else each.text_field
            groups.setdefault((source.reader, field), {}).update(dict.fromkeys(source.patterns))
            for path in source.paths:
                if owner.setdefault(path, field) != field:
                    raise ConfigError(f"two text fields are named for {path}", where="--text-field", hint="name one")
    out: list[StageSpec] = []
    for (reader, field), patterns in groups.items():
        name = docs if len(groups) == 1 else _free(f"{docs}_{len(out) + 1}", taken)
        config: dict[str, Any] = {"files": list(patterns), "base": _from_here(base)}
        config |= {"text_field": field} if field not in ("", TEXT) else {}
        config |= {"source": name} if len(groups) > 1 else {}
        out.append(StageSpec(name=name, use=reader, config=config))
    united = StageSpec(name=docs, use="concat", inputs=tuple(s.name for s in out))
    return [*out, *([united] if len(out) > 1 else [])]


def _target(target: Files) -> StageSpec:
    """The reader of a target: of documents where its first record has the text field, else of questions."""
    readers = {source.reader for source in target.sources}
    if len(readers) > 1:
        raise ConfigError(
            f"target {target.name!r} has files of several formats", where="--eval", hint="name one format"
        )
    reader = readers.pop()
    files: dict[str, Any] = {"files": [p for source in target.sources for p in source.patterns]}
    if reader == "jsonl" and target.text_field.partition(".")[0] not in _first_record(target.paths[0]):
        return StageSpec(name=target.name, use="target_file", config=files)
    named = {"text_field": target.text_field} if reader != "text_files" and target.text_field != TEXT else {}
    return StageSpec(name=target.name, use=reader, config=files | named)


def _first_record(path: str) -> dict[str, Any]:
    """The first JSON object of a file; empty where there is none."""
    with Path(path).open("rb") as raw:
        head = unpacked(raw, path).read(1 << 20).lstrip(b"\xef\xbb\xbf \r\n\t").split(b"\n", 1)[0]
    try:
        record = orjson.loads(head)
    except orjson.JSONDecodeError:
        return {}
    return record if isinstance(record, dict) else {}


def _origins(one: Files, sets: Sequence[Files], base: str) -> str:
    """SQL that is true for the documents of a set's files, by the shortest list of beginnings of their paths."""
    rels = {p: os.path.relpath(p, base).replace(os.sep, "/") for s in sets for p in s.paths}
    everything = sorted(rels.values())
    mine = {rels[p] for p in one.paths}
    if len(mine) == len(everything):
        return "origin IS NOT NULL"  # every file is this set's
    others = [0, *itertools.accumulate(int(rel not in mine) for rel in everything)]  # before each file
    tests: dict[str, None] = {}
    for rel in sorted(mine):
        for size in range(1, len(rel) + 1):
            first = bisect.bisect_left(everything, rel[:size])
            last = bisect.bisect_left(everything, rel[:size] + MAX_CHAR)
            if others[first] == others[last]:
                tests[_beginning(everything[first:last], size)] = None
                break
        else:  # the path begins another one's
            tests[_beginning([rel], len(rel))] = None
    return " OR ".join(tests)


def _beginning(rels: Sequence[str], least: int) -> str:
    """The test for some files by what their paths have in common: up to a folder, where that is long enough."""
    common = os.path.commonprefix(rels)  # noqa: RUF071 (characters are meant)
    folder = common[: common.rfind("/") + 1]
    quoted = common.replace("'", "''")
    if len(rels) > 1 or len(folder) >= least:
        chosen = folder if len(folder) >= least else common
        return "starts_with(origin, '{}')".format(chosen.replace("'", "''"))
    if _reader(common) == "text_files":
        return f"origin = '{quoted}'"
    return f"starts_with(origin, '{quoted}#')"


def _escaped(path: str) -> str:
    """A glob that means this path alone, from the working directory where it lies below."""
    return glob.escape(_from_here(path))


def _from_here(path: str) -> str:
    here = str(Path.cwd())
    return "." if path == here else path.removeprefix(here + os.sep)


def _default(field: str) -> int:
    from winnow.trainers.ablation.ablation import Ablation

    return int(next(f.default for f in dataclasses.fields(Ablation) if f.name == field))  # type: ignore[arg-type]
