"""Speed of the editors beside the same rules in plain Python, and beside datatrove, as JSON and a Markdown table.

    python benchmarks/bench_edit.py [--megabytes N] [--repeats N] [--datatrove PYTHON] [--json FILE]

CPU seconds of one thread, best of the repeats, on the same texts: the standard library's sources, with furniture and personal data planted at known places (`--seed`). The plain Python of a row is the
reference that the tests compare with (`tests/edit_reference.py`), or three regular expressions for personal data.
`--datatrove` is a Python that has datatrove 0.10.1 (`bench_peers.py` makes one under benchmarks/out/envs/datatrove); it
runs `C4QualityFilter` without its count of sentences, and `PIIFormatter`, in a process of its own over the same texts.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from winnow.core.operators import Context
from winnow.core.operators.edit import Edit
from winnow.core.words.hashing import text_hash
from winnow.pipeline.edit.boilerplate_lines import BoilerplateLines
from winnow.pipeline.edit.c4_lines import C4Lines
from winnow.pipeline.edit.citation_marks import CitationMarks
from winnow.pipeline.edit.drop_urls import DropUrls
from winnow.pipeline.edit.mask_pii import MaskPii
from winnow.pipeline.edit.refinedweb_lines import RefinedWebLines
from winnow.pipeline.edit.repair_unicode import RepairUnicode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import edit_reference

BATCH = 1024
PLANTED = (
    "Home | About | Contact\n", "We use cookies to know you better.\n", "Read more...\n", "12 likes\n", "ACCEPT ALL\n",
    "Write to jo.doe@example.org today.\n", "Call +44 20 7946 0958 or (212) 555-0123 for help.\n",
    "The host 8.8.8.8 answers, 10.0.0.1 does not.\n", "It was built in 1874.[3] It is still in use.\n",
    "Pay to GB82 WEST 1234 5698 7654 32 please.\n", "https://example.org/a?b=c\n", "See www.example.org [4, 5] too.\n", "The caf\u00c3\u00a9 is open.\n",
)  # fmt: skip
EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
ADDRESS = re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b")
PHONE = re.compile(r"(?:\+\d{1,3}[ .-]?(?:\(\d+\)[ .-]?)?|\(\d{3}\) ?|\b\d{3}[ .-])\d[\d .-]{6,12}\d")
DATATROVE = """
import json, resource, sys, time
from datatrove.data import Document
from datatrove.pipeline.filters import C4QualityFilter
from datatrove.pipeline.formatters import PIIFormatter
texts = [json.loads(line)["text"] for line in open(sys.argv[1], encoding="utf-8")]
lines = C4QualityFilter(min_num_sentences=-1)
pii = PIIFormatter()
def timed(work):
    best = None
    for _ in range(int(sys.argv[2])):
        documents = [Document(text=text, id=str(n)) for n, text in enumerate(texts)]
        begun = time.process_time()
        for document in documents:
            work(document)
        spent = time.process_time() - begun
        best = spent if best is None else min(best, spent)
    return best
print(json.dumps({"c4_lines": timed(lines.filter), "mask_pii": timed(lambda d: pii.format(d.text))}))
"""


def corpus(megabytes: float, seed: int) -> list[str]:
    """Sources of the standard library with planted lines, at least `megabytes` of UTF-8."""
    draw, out, size = random.Random(seed), [], 0.0
    names = sorted(p for p in Path(random.__file__).parent.rglob("*.py") if "site-packages" not in p.parts)
    draw.shuffle(names)
    for name in names:
        if size >= megabytes * 1e6:
            break
        text = name.read_text(encoding="utf-8", errors="replace")[:20_000]
        pieces = re.split(r"(?<=\n)", text)
        for _ in range(len(pieces) // 12):
            pieces.insert(draw.randrange(len(pieces)), draw.choice(PLANTED))
        out.append("".join(pieces))
        size += len(out[-1].encode())
    return out


def batches(texts: list[str]) -> list[pa.RecordBatch]:
    """The texts as an editor gets them."""
    out = []
    for start in range(0, len(texts), BATCH):
        text = pa.array(texts[start : start + BATCH], pa.large_string())
        columns = {"text": text, "text_hash": text_hash(text), "text_bytes": pc.binary_length(text)}
        out.append(pa.record_batch(columns))
    return out


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """CPU seconds of the fastest repeat."""
    best = float("inf")
    for _ in range(repeats):
        begun = time.process_time()
        work()
        best = min(best, time.process_time() - begun)
    return best


def plain_pii(text: str) -> str:
    """Three regular expressions."""
    return PHONE.sub("<PHONE>", ADDRESS.sub("<IP>", EMAIL.sub("<EMAIL>", text)))


def datatrove(python: str, texts: list[str], repeats: int) -> dict[str, float]:
    """CPU seconds of datatrove's two editors, in its own Python."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        command = [python, "-c", DATATROVE, str(path), str(repeats)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr[-1000:], file=sys.stderr)
        return {}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured(texts: list[str], repeats: int, peer: dict[str, float]) -> list[dict[str, Any]]:
    """One row per editor."""
    rows, given = [], batches(texts)
    size = sum(len(text.encode()) for text in texts) / 1e6
    work: dict[str, tuple[Edit, Callable[[str], Any] | None]] = {
        "c4_lines": (C4Lines(), edit_reference.c4),
        "refinedweb_lines": (RefinedWebLines(), edit_reference.refinedweb),
        "mask_pii": (MaskPii(), plain_pii),
        "boilerplate_lines": (BoilerplateLines(), lambda text: edit_reference.without_furniture(text, 600, False)),
        "citation_marks": (CitationMarks(), edit_reference.without_marks),
        "drop_urls": (DropUrls(), edit_reference.without_lines),
        "repair_unicode": (RepairUnicode(), None),
    }
    for name, (operator, reference) in work.items():
        edit = operator.open(Context(seed=0, work=Path()))
        edit(given[0])  # kernels are loaded, or compiled
        own = seconds(lambda edit=edit: [edit(batch) for batch in given], repeats)
        plain = seconds(lambda f=reference: [f(text) for text in texts], 1) if reference else None
        rows.append({
            "editor": name, "mb_per_s": size / own, "cpu_s": own,
            "plain_python": plain and plain / own, "datatrove": name in peer and peer[name] / own,
        })  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows in Markdown."""
    lines = ["| editor | MB per CPU second | times plain Python | times datatrove 0.10.1 |", "|---|---|---|---|"]
    for row in rows:
        ratios = [f"{row[key]:.0f}" if row[key] else "-" for key in ("plain_python", "datatrove")]
        lines.append(f"| `{row['editor']}` | {row['mb_per_s']:.0f} | {ratios[0]} | {ratios[1]} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--datatrove", default="", help="a Python that has datatrove")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    texts = corpus(options.megabytes, options.seed)
    peer = datatrove(options.datatrove, texts, options.repeats) if options.datatrove else {}
    rows = measured(texts, options.repeats, peer)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))
    print(table(rows))


if __name__ == "__main__":
    main()
