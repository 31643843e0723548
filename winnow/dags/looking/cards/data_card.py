"""The data card: `README.md` as the Hugging Face hub and `datasets` read it, with the whole way of the documents."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from winnow.core.terminal import counted
from winnow.dags.looking.cards.facts import Facts, Funnel
from winnow.dags.looking.cards.machine_paths import HIDDEN
from winnow.dags.looking.cards.markdown_text import block, code, front_matter, plain, table
from winnow.dags.looking.cards.told import hub_licence, licence_address
from winnow.dags.looking.cards.words import NO_TOKENS, UNKNOWN, described, licence_names, share, tokens
from winnow.dags.looking.cards.written_rows import Part
from winnow.dags.looking.report.effects import Effect

NAME = "README.md"
SHOWN = 20  # rows of a table of values
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")  # documents
_CODE = re.compile(r"[a-z]{2,3}\Z")


def data_card(facts: Facts) -> bytes:
    """The file. Equal facts give equal bytes."""
    parts = (
        front_matter(_head(facts)), ["", f"# {plain(facts.title)}", "", plain(described(facts))], _made_of(facts),
        _licence(facts), _languages(facts), _domains(facts), _funnels(facts), _dedup(facts), _decontamination(facts),
        _personal_data(facts), _effects(facts), _reproduce(facts), _remarks(facts), _unknown(facts),
    )  # fmt: skip
    return "\n".join([line for part in parts for line in part]).rstrip().encode("utf-8", "replace") + b"\n"


def _head(facts: Facts) -> dict[str, object]:
    words = [hub_licence(name) for name in licence_names(facts)]
    unsaid = not facts.told.licences and any(one.name is None for one in facts.written.groups["licence"] or ())
    words = list(dict.fromkeys([*words, *(["unknown"] if unsaid or not words else [])]))
    head: dict[str, object] = {"pretty_name": facts.title, "license": words[0] if len(words) == 1 else words}
    if words == ["other"]:
        first = licence_names(facts)[0]
        head["license_name"] = re.sub(r"[^a-z0-9.-]+", "-", first.lower()).strip("-")
        head |= {"license_link": first} if licence_address(first) == first else {}
    codes = [str(one.name).partition("_")[0] for one in facts.written.groups["language"] or () if one.name]
    if known := list(dict.fromkeys(one for one in codes if _CODE.match(one))):
        head["language"] = known
    files = [{"split": "train", "path": facts.shards.pattern}]
    return head | {
        "size_categories": [size_category(facts.documents)], "task_categories": ["text-generation"],
        "tags": ["winnow", "croissant"], "configs": [{"config_name": "default", "data_files": files}],
    }  # fmt: skip


def size_category(documents: int) -> str:
    """The hub's word for a number of documents: `n<1K`, `1K<n<10K`, ..., `n>1T`."""
    at = sum(documents >= 10 ** (3 + step) for step in range(len(_SIZES)))
    if at == 0:
        return f"n<{_SIZES[0]}"
    return f"n>{_SIZES[-1]}" if at == len(_SIZES) else f"{_SIZES[at - 1]}<n<{_SIZES[at]}"


def _values(parts: list[Part], what: str, facts: Facts, nothing: str) -> Iterator[str]:
    """A table of the largest values and what they make; the others in one row."""

    def cells(name: str, some: list[Part]) -> list[str]:
        size = sum(one.bytes for one in some)
        known = [one.tokens for one in some if one.tokens is not None]
        told = f"{sum(known):,}" if len(known) == len(some) else UNKNOWN
        return [name, f"{sum(o.documents for o in some):,}", f"{size:,}", told, share(size, facts.written.bytes)]

    rows = [cells(code(one.name) if one.name is not None else nothing, [one]) for one in parts[:SHOWN]]
    if left := parts[SHOWN:]:
        rows.append(cells(f"{len(left):,} others", left))
    by = f" ({facts.written.tokens_by})" if facts.written.tokens_by else ""
    yield from table([what, "documents", "bytes of text", f"tokens{by}", "share of bytes"], rows, numbers=4)


def _made_of(facts: Facts) -> Iterator[str]:
    yield from ("", "## What it is made of", "")
    told = NO_TOKENS if facts.written.tokens is None else tokens(facts)
    yield from table(["", ""], [
        ["documents", f"{facts.documents:,}"], ["bytes of text", f"{facts.text_bytes:,}"], ["tokens", plain(told)],
        ["files", f"{len(facts.shards.files):,} ({plain(facts.shards.format)}, {facts.shards.size:,} bytes)"],
        ["columns", ", ".join(f"{code(name)} {plain(kind)}" for name, kind in facts.shards.columns.items())],
    ])  # fmt: skip
    yield from ("", "Sources of these documents:", "")
    yield from _values(facts.written.sources, "source", facts, "(none)")
    yield from ("", "What was read for it:", "")
    rows = [[code(one.name), plain(one.source or UNKNOWN), code(one.operator), f"{len(one.files):,}",
             f"{one.documents:,}", f"{one.bytes:,}", f"{one.bad:,}"] for one in facts.readers]  # fmt: skip
    titles = ["reader", "source", "operator", "files", "documents", "bytes of text", "records put aside"]
    yield from table(titles, rows, numbers=4)


def _licence(facts: Facts) -> Iterator[str]:
    yield from ("", "## Licences", "")
    if facts.told.licences:
        yield f"Of the set as a whole: {', '.join(plain(name) for name in facts.told.licences)}."
        yield ""
    parts = facts.written.groups["licence"]
    if parts is None:
        yield "No column says the licence of a document: the licences of the documents are unknown."
        return
    yield f"Of the documents, by {code(facts.written.columns['licence'])}:"
    yield ""
    yield from _values(parts, "licence", facts, "none is stated")


def _languages(facts: Facts) -> Iterator[str]:
    yield from ("", "## Languages", "")
    parts = facts.written.groups["language"]
    if parts is None:
        yield "Unknown: no stage of the run found languages."
        return
    yield f"By {code(facts.written.columns['language'])}:"
    yield ""
    yield from _values(parts, "language", facts, "none was found")


def _domains(facts: Facts) -> Iterator[str]:
    parts = facts.written.groups["domain"]
    if parts is None:
        return
    named = sum(one.name is not None for one in parts)
    yield from ("", "## Domains", "", f"{counted(named, 'domain')} by {code(facts.written.columns['domain'])}:", "")
    yield from _values(parts, "domain", facts, "no address")


def _funnels(facts: Facts) -> Iterator[str]:
    yield from ("", "## What was dropped, and why", "")
    if not facts.funnels:
        yield "Nothing was dropped: no stage decides before this set was written."
    for funnel in facts.funnels:
        yield from _funnel(funnel)


def _funnel(funnel: Funnel) -> Iterator[str]:
    """One row space: the decisions, their clauses, and what every source lost."""
    amounts = {one.stage: one for one in funnel.amounts}
    rows = []
    for step in funnel.steps:
        size = amounts[step.name].kept_bytes
        kept_bytes = UNKNOWN if size is None else f"{size:,}"
        rows.append([code(step.name), code(step.operator), f"{step.asked:,}", f"{step.dropped:,}", f"{step.kept:,}",
                     share(step.kept, step.asked), kept_bytes])  # fmt: skip
        for clause in step.clauses:
            null = f", {clause.null:,} without a value" if clause.null else ""
            why = f"{code(clause.rule)}: {clause.refuses:,} refused, {clause.alone:,} by it alone{null}"
            rows.append([f"- {plain(clause.name)}", why, "", f"{clause.refuses:,}", "", "", ""])
    yield f"{counted(funnel.documents, 'document')} of {code(funnel.space)}; several clauses may refuse the same one:"
    yield ""
    titles = ["stage", "operator or rule", "documents asked", "dropped", "kept", "share", "bytes kept"]
    yield from table(titles, rows, numbers=5)
    names = [step.name for step in funnel.steps]
    told = [
        [code(line.name or "(none)"), f"{line.rows:,}", *(f"{c.asked - c.kept:,} of {c.asked:,}" for c in line.cells)]
        for line in funnel.sources.lines
    ]  # fmt: skip
    yield from ("", f"Dropped of every source ({plain(funnel.sources.by)}):", "")
    yield from table(["source", "documents", *map(code, names)], told, numbers=1 + len(names))
    if (left := funnel.sources.num_sources - len(funnel.sources.lines)) > 0:
        yield from ("", f"{counted(left, 'smaller source')} are not shown.")
    yield ""


def _dedup(facts: Facts) -> Iterator[str]:
    yield from ("## Duplicates", "")
    if not facts.duplicates:
        yield "No stage looked for duplicates."
        return
    rows = [
        [code(one.stage), code(one.operator), UNKNOWN if one.threshold is None else f"{one.threshold:g}",
         f"{one.removed:,}", f"{one.clusters:,}", f"{one.chained:,}",
         ", ".join(f"{number:,} of {size}" for size, number in one.sizes if number) or "-"]
        for one in facts.duplicates
    ]  # fmt: skip
    titles = ["stage", "operator", "similarity from", "removed", "clusters", "removed by a chain alone",
              "clusters by documents in them"]  # fmt: skip
    rows = [[c if c != UNKNOWN else "-" for c in row] for row in rows]
    yield from table(titles, rows)


def _decontamination(facts: Facts) -> Iterator[str]:
    yield from ("", "## Evaluation data", "")
    if not facts.decontaminated:
        yield "Nothing was looked for: whether evaluation data are in these documents is unknown."
        return
    rows = [[code(one.stage), ", ".join(code(name) for name in one.against) or UNKNOWN, f"{one.asked:,}",
             f"{one.dropped:,}", plain(one.summary)] for one in facts.decontaminated]  # fmt: skip
    yield from table(["stage", "against", "documents asked", "dropped", "items"], rows)


def _personal_data(facts: Facts) -> Iterator[str]:
    yield from ("", "## Personal data", "")
    if not facts.masked:
        yield "Nothing was masked in these texts: whether personal data are in them is unknown."
        return
    rows = [[code(one.stage), f"{one.documents:,}", f"{one.edited:,}",
             ", ".join(f"{number:,} {plain(kind)}" for kind, number in one.found.items())]
            for one in facts.masked]  # fmt: skip
    yield from table(["stage", "documents read", "changed", "masked in all that it read"], rows)
    yield from ("", "What a mask does not look for (names, streets, other numbers) may be left.")


def _effects(facts: Facts) -> Iterator[str]:
    yield from ("", "## Measured effect", "")
    if not facts.effects:
        yield "No comparison was run: what these documents do to a model is unknown."
    for effect in facts.effects:
        yield from _effect(effect)


def _effect(effect: Effect) -> Iterator[str]:
    about = "; ".join(f"{plain(name)}: {plain(value)}" for name, value in effect.facts)
    screening = ". The model is small: screening only, it does not rank data for large ones" if effect.screening else ""
    yield from (f"{code(effect.stage)}: {about}{screening}.", "")
    rows = []
    for target in effect.targets:
        for row in target.rows:
            interval = "no interval" if row.low is None or row.high is None else f"{row.low:+.4f} .. {row.high:+.4f}"
            arm = f"{code(row.arm)} (control)" if row.control else code(row.arm)
            primary = " (primary)" if target.primary else ""
            rows.append([arm, f"{plain(target.name)}{primary}", f"{row.mean:+.4f} {plain(target.unit)}", interval,
                         plain(row.verdict)])  # fmt: skip
    yield from table(["arm", "target", "difference to the baseline", "interval", "verdict"], rows)
    yield from ("", "Negative is better.", *(f"- {plain(note)}" for note in effect.notes), "")


def _reproduce(facts: Facts) -> Iterator[str]:
    yield from ("", "## How to make it again", "")
    name = facts.run.partition("@")[0]
    sets = "".join(f" --set {shlex.quote(f'{key}={value}')}" for key, value in facts.sets.items())
    yield block(f"winnow run recipe.yaml --out {shlex.quote(f'runs/{name}')}{sets}", "bash")
    yield ""
    versions = ", ".join(f"{plain(name)} {plain(version)}" for name, version in facts.versions.items()) or UNKNOWN
    yield from table(["", ""], [
        ["run", f"{plain(facts.run)}, stage {code(facts.stage)}"], ["began", plain(facts.began or UNKNOWN)],
        ["ended", plain(facts.ended or UNKNOWN)], ["versions", versions], ["seed", plain(facts.seed or UNKNOWN)],
        ["SHA-256 of the recipe", code(facts.recipe_sha256)], ["fingerprint of the stage", code(facts.fingerprint)],
        ["content digest", code(facts.shards.digest)],
    ])  # fmt: skip
    if facts.recipe_text:
        yield from ("", "<details><summary>The recipe</summary>", "", block(facts.recipe_text, "yaml"), "")
        yield "</details>"
        if HIDDEN in facts.recipe_text:
            yield from ("", f"Paths of the machine that ran it are shortened to {code(HIDDEN + 'name')}; the digest is")
            yield "that of the recipe as it was run."
    yield from ("", "Stages that it depends on:", "")
    rows = [[code(one.name), f"{code(one.operator)} {plain(one.version)}", code(one.fingerprint), code(one.digest)]
            for one in facts.stages]  # fmt: skip
    yield from table(["stage", "operator, version", "fingerprint", "content digest"], rows)


def _remarks(facts: Facts) -> Iterator[str]:
    if facts.remarks:
        yield from ("", "## Remarks of the run", "")
        yield from (f"- {code(stage)}: {plain(sentence)}" for stage, sentence in facts.remarks)


def _unknown(facts: Facts) -> Iterator[str]:
    missing = facts.told.missing()
    if missing:
        yield from ("", "## What nobody has said", "")
        yield from (f"- {plain(what)} ({code(f'winnow card {option}')})" for option, what in missing.items())
