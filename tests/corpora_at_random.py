"""Small corpora at random: documents of every ugly kind, in files of every form, cut and named anyhow."""

from __future__ import annotations

import io
import json
import lzma
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from support import WORDS, put_file

FIELDS = {"url": "string", "topic": "string", "date": "string", "score": "float64", "num": "int64", "flag": "bool"}
PARQUET = {"string": pa.large_string(), "float64": pa.float64(), "int64": pa.int64(), "bool": pa.bool_()}
SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
ARRAYS = (".json", ".json.zst")  # and of others
OF_COLUMNS = (".csv", ".csv.xz", ".arrow")  # what files of some corpora end in instead
SCRIPTS = (
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643", "e\u0301a\u0308o\u0335\u0336\u0337",
    "\U0001f600\U0001f468\u200d\U0001f469 \U00010348\U0010ffff", "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "\x01\x02\x07\x08\x0b\x0c\x1b[31m\x1f\x7f\u009f", "\u2028\u2029\u0085\u00a0\u3000", "\ufeff\ufffe\uffff\ufffd", "\u0130\u00df\ufb03\u03a3",
    "<b>markup</b> & {curly} lorem ipsum javascript", "- a\n- b\n\u2022 c...", "https://e.org/a?b=c 127.0.0.1 3.14", "NaN inf -0.0 1e308",
)  # fmt: skip


@dataclass
class Corpus:
    """One reader's documents and how they lie in files."""

    name: str
    docs: list[dict[str, Any]]
    fields: dict[str, str]
    cuts: list[int]  # where files begin
    suffixes: list[str]  # of each file
    stem: str = "f"
    bad_lines: list[bytes] = field(default_factory=list)

    @property
    def reader(self) -> str:
        """The reader's name."""
        known = {".parquet": "parquet", ".txt": "text_files", ".csv": "csv", ".csv.xz": "csv", ".arrow": "arrow"}
        known |= dict.fromkeys(ARRAYS, "json_array")
        return known.get(self.suffixes[0], "jsonl")

    @property
    def records(self) -> int:
        """How many records the files hold, bad ones too."""
        return len(self.docs) + len(self.bad_lines)

    def put(self, folder: Path) -> None:
        """The files, below a folder of the reader's name."""
        ends = [*self.cuts[1:], len(self.docs)]
        bad = list(self.bad_lines)
        for i, (start, stop, suffix) in enumerate(zip(self.cuts, ends, self.suffixes, strict=True)):
            self._put_file(folder / self.name / f"{self.stem}{i:03d}{suffix}", self.docs[start:stop], bad)
            bad = []

    def _put_file(self, path: Path, docs: Sequence[dict[str, Any]], bad: Sequence[bytes]) -> None:
        if path.name.endswith((".parquet", *OF_COLUMNS)):
            path.parent.mkdir(parents=True, exist_ok=True)
            columns = {"text": pa.large_string(), "uid": pa.large_string()} | {
                n: PARQUET[k] for n, k in self.fields.items()
            }
            table = pa.table({n: pa.array([d.get(n) for d in docs], k) for n, k in columns.items()})
            rows = max(1, len(docs) // (1 + len(self.name) % 3))
            if path.suffix == ".parquet":
                pq.write_table(table, path, row_group_size=rows)
            elif path.suffix == ".arrow":
                new = pa.ipc.new_stream if len(docs) % 2 else pa.ipc.new_file
                with new(path, table.schema) as writer:
                    writer.write_table(table, max_chunksize=rows)
            else:
                raw = pl.from_arrow(table).write_csv().encode()
                path.write_bytes(lzma.compress(raw, preset=0) if path.suffix == ".xz" else raw)
        elif path.name.endswith(ARRAYS):
            put_file(path, json.dumps(docs, indent=len(docs) % 3 or None).encode())
        elif path.suffix == ".txt":
            for i, doc in enumerate(docs):
                put_file(path.with_name(f"{path.stem}_{i:04d}.txt"), doc["text"].encode())
        else:
            out = io.BytesIO()
            for doc in docs:
                out.write(json.dumps(doc, ensure_ascii=len(str(doc.get("text"))) % 3 == 0).encode() + b"\n")
            out.write(b"".join(line + b"\n" for line in bad))
            data = out.getvalue()
            put_file(path, data[:-1] if len(data) % 2 else data)


def text(r: random.Random, *, huge: bool) -> str:
    """One text: mostly prose, sometimes ugly, rarely long."""
    kind = r.random()
    if kind < 0.06:
        return r.choice(["", " ", "\n", "short", "a", "\n\n\n", "x" * 300, "?!...,;:-_#" * 9])
    if kind < 0.08 and huge:
        return r.choice(["word " * r.randrange(2000, 20000), "\n".join(["same line"] * 900), "abcdefghij" * 2000])
    lines = [" ".join(r.choices(WORDS, k=r.randrange(1, 30))) for _ in range(r.randrange(1, 7))]
    if kind < 0.3:
        lines.insert(r.randrange(len(lines)), r.choice(SCRIPTS) * r.randrange(1, 4))
    ends = r.choice([".", ".", "!", "...", "", ",", "\r"])
    return "\n".join(f"{line.capitalize()}{ends}" for line in lines)


def _value(r: random.Random, name: str, number: int) -> Any:
    if r.random() < 0.1:
        return None
    host = f"http://{r.choice(['a.org', 'www.B.com:80', 'x.y.co.uk', 'k', ''])}/{number % 7}"
    return {
        "url": host if r.random() < 0.9 else r.choice(["", "no url", "http://[", "//e.org"]),
        "topic": r.choice(["news", "code", "web", "", "a b|c", "\u65b0\u95fb", "other"]),
        "date": f"{r.randrange(1990, 2026)}-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}" if r.random() < 0.8
        else r.choice(["2020", "", "soon", "2020-13-01", "0001-01-01", "2021-05-05T10:00:00Z"]),
        "score": r.choice([r.random(), r.gauss(0, 1), float(r.randrange(3)), 0.0, -0.0, 1e300, -1e300, 5e-324]),
        "num": r.choice([r.randrange(10), r.randrange(-5, 5), 2**62, -(2**62), 0]),
        "flag": r.random() < 0.5,
    }[name]  # fmt: skip


def documents(r: random.Random, n: int, fields: dict[str, str], prefix: str, *, whole: bool) -> list[dict[str, Any]]:
    """n records; one in seven an exact and one in seven a near copy (`whole`: of all fields)."""
    out: list[dict[str, Any]] = []
    huge = r.random() < 0.2
    first: dict[Any, dict[str, Any]] = {}
    for i in range(n):
        doc: dict[str, Any] = {"text": text(r, huge=huge), "uid": f"{prefix}{i}"}
        doc |= {name: _value(r, name, i) for name in fields if r.random() < 0.97}
        if out and r.random() < 0.15:
            other = r.choice(out)
            doc |= {"text": other["text"]}
        elif out and r.random() < 0.15:
            words = str(r.choice(out)["text"] or "").split(" ")
            words[r.randrange(len(words))] = "changed"
            doc["text"] = " ".join(words)
        if whole:
            doc = first.setdefault(doc["text"], doc) | {"uid": doc["uid"]}
        out.append(doc)
    return out


def corpus(r: random.Random, name: str, *, whole: bool, most: int = 70) -> Corpus:
    """A reader's files; `whole`: nothing in it depends on the order of the documents."""
    n = r.choice([1, 2, 3]) if r.random() < 0.04 else r.randrange(8, most)
    kind = r.choice(["jsonl", "jsonl", "parquet", "text_files"])
    fields = {} if kind == "text_files" else {f: k for f, k in FIELDS.items() if r.random() < 0.5}
    docs = documents(r, n, fields, name, whole=whole)
    found = Corpus(name, docs, fields, [0], [".txt"])
    if kind == "text_files":
        return found
    recut(r, found, kind)
    if kind == "jsonl" and r.random() < 0.15 and not whole:
        found.bad_lines = r.sample(
            [b"{oops", b"[1]", b'{"text": null}', b'{"text": 5}', b'{"text": "\xff"}', b'{"body": "a"}'], 2
        )
    if r.random() < 0.1 and not whole:
        docs[0]["text"] = None
    if found.reader == "jsonl" and not found.bad_lines and n % 3 == 0:
        found.suffixes = [".arrow"] * len(found.cuts) if n % 2 else [OF_COLUMNS[i % 2] for i in range(len(found.cuts))]
    elif found.reader == "jsonl" and not found.bad_lines and n % 6 == 1:
        found.suffixes = [ARRAYS[i % 2] for i in range(len(found.cuts))]
    return found


def recut(r: random.Random, found: Corpus, kind: str) -> None:
    """Other files for the same documents in the same order."""
    n = len(found.docs)
    inner = sorted(r.sample(range(1, n), min(r.randrange(4), n - 1))) if n > 1 else []
    found.cuts = [0, *inner]
    suffixes = [s for s in SUFFIXES if (s == ".parquet") == (kind == "parquet")]
    found.suffixes = [r.choice(suffixes) for _ in found.cuts]


def resplit(r: random.Random, found: Corpus) -> Corpus:
    """The same documents in another order, under other names, in other files."""
    docs = list(found.docs)
    r.shuffle(docs)
    out = Corpus(found.name, docs, found.fields, [0], [".jsonl"], stem="other_")
    recut(r, out, "parquet" if found.reader == "parquet" else "jsonl")
    if found.reader in ("csv", "arrow", "json_array"):  # the same reader has to read them
        out.suffixes = [found.suffixes[i % len(found.suffixes)] for i in range(len(out.cuts))]
    return out
