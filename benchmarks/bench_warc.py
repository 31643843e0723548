"""Speed of the `warc` reader beside warcio and a bare FastWARC loop on the same archive, as JSON on stdout.

    python benchmarks/bench_warc.py PAGES [--megabytes N] [--repeats N]

PAGES is a folder with HTML pages (.html or .html.gz), which are written again and again into one `.warc.gz`, a member
each. Megabytes are those of the pages; seconds are CPU seconds of one thread, the best of the repeats, in turns. Each way
opens the file and has every payload in memory: warcio and FastWARC as bytes, winnow as an Arrow column of text with 14
columns beside it, after a look at the encoding and with every length and checksum held against the bytes.
`documents` and `bytes` must agree, or nothing is compared.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from winnow.core.operators import FileSlice
from winnow.pipeline.read.warc import Warc


def pages_of(folder: Path) -> list[bytes]:
    """The pages that are UTF-8: their payload is as long as their text."""
    found = []
    for path in sorted(folder.rglob("*.html*")):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        try:
            data.decode()
        except UnicodeDecodeError:
            continue
        found.append(data.removeprefix(b"\xef\xbb\xbf"))
    return [page for page in found if page]


def write(path: Path, pages: list[bytes], megabytes: float) -> int:
    """Write the archive; returns how many pages it holds."""
    size = number = 0
    with path.open("wb") as sink:
        while size < megabytes * 1e6:
            body = pages[number % len(pages)]
            block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + body
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number:032x}>\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
                f"WARC-Target-URI: http://a.org/{number}\r\nContent-Type: application/http; msgtype=response\r\n"
                f"Content-Length: {len(block)}\r\n\r\n"
            )
            sink.write(gzip.compress(head.encode() + block + b"\r\n\r\n", compresslevel=6))
            size, number = size + len(body), number + 1
    return number


def by_winnow(path: Path) -> tuple[int, int]:
    piece = FileSlice(path=str(path), rel=path.name, digest="", size=path.stat().st_size)
    rows = size = 0
    for table in Warc(files=("x",)).read([piece], lambda told: None):
        text = table.column("text").chunk(0)
        rows, size = rows + len(text), size + len(text.buffers()[2])
    return rows, size


def by_fastwarc(path: Path) -> tuple[int, int]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    rows = size = 0
    with path.open("rb") as file:
        for record in ArchiveIterator(file, record_types=WarcRecordType.response, auto_decode="all"):
            rows, size = rows + 1, size + len(record.reader.read())
    return rows, size


def by_warcio(path: Path) -> tuple[int, int]:
    from warcio.archiveiterator import ArchiveIterator

    rows = size = 0
    with path.open("rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type == "response":
                rows, size = rows + 1, size + len(record.content_stream().read())
    return rows, size


WAYS = {"winnow warc": by_winnow, "FastWARC": by_fastwarc, "warcio": by_warcio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", type=Path)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pages.warc.gz"
        written = write(path, pages_of(args.pages), args.megabytes)
        seconds: dict[str, list[float]] = {name: [] for name in WAYS}
        found = {}
        for _ in range(args.repeats):
            for name, read in WAYS.items():
                start = time.process_time()
                found[name] = read(path)
                seconds[name].append(time.process_time() - start)
        packed = path.stat().st_size
    assert len(set(found.values())) == 1, found
    assert found["winnow warc"][0] == written, found
    size = found["winnow warc"][1]
    print(json.dumps({
        "documents": written, "bytes": size, "archive_bytes": packed, "load": os.getloadavg()[0],
        "python": platform.python_version(), "fastwarc": version("fastwarc"), "warcio": version("warcio"),
        "mb_per_cpu_s": {name: round(size / 1e6 / min(times), 1) for name, times in seconds.items()},
    }, indent=1))  # fmt: skip


if __name__ == "__main__":
    main()
