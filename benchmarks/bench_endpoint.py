"""What asking costs beside the model: CPU of a question that is asked, of one that is kept, and of `faithful` per MB.

`python benchmarks/bench_endpoint.py [--questions 2000]` starts a server of its own that answers at once, keeps answers in a
temporary folder, and takes the least of three rounds; CPU seconds are those of this process, user and system.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics

import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from endpoint_server import endpoint

from winnow.core.endpoint.asking import Asker
from winnow.core.operators import Context
from winnow.core.store.posix_store import PosixStore
from winnow.core.store.small_records import StoreRecords
from winnow.pipeline.rewrite.faithful import Faithful
from winnow.pipeline.rewrite.rewrite import RewriteTexts


def asked(number: int, folder: Path) -> tuple[float, float, float]:
    """(CPU milliseconds of a question that is asked, of one that is kept, questions asked per second)."""
    with endpoint(folder) as server:
        records = StoreRecords(PosixStore(folder / "root"))
        ctx = Context(seed=7, work=folder, records=records, counts={})
        one = Asker.opened(RewriteTexts(endpoint=server.url, model="m", concurrency=8), ctx)
        questions = [one.question(f"<text>{n} {'word ' * 200}</text>") for n in range(number)]
        out = []
        for _ in range(2):
            cpu, wall = time.process_time(), time.perf_counter()
            one.ask(questions)
            out += [(time.process_time() - cpu) / number * 1e3, number / (time.perf_counter() - wall)]
    return out[0], out[2], out[1]


def faithful() -> float:
    """MB of both texts per CPU second."""
    texts = [text for _, text in sorted(topics.items()) if len(text) > 1000]
    rows = pl.DataFrame({"text": texts, "rewritten": [text.replace("the ", "a ") for text in texts]})
    answer = Faithful().open(Context(seed=7, work=Path()))
    size = sum(map(len, texts)) * 2 / 1e6
    cpu = time.process_time()
    answer(rows)
    return size / (time.process_time() - cpu)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--questions", type=int, default=2000)
    number = options.parse_args().questions
    rounds = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(asked(number, Path(folder)))
    ask, kept, rate = min(r[0] for r in rounds), min(r[1] for r in rounds), max(r[2] for r in rounds)
    print(f"asked: {ask:.2f} ms CPU per question, {rate:,.0f} questions/s at a server that answers at once")
    print(f"kept:  {kept:.3f} ms CPU per question")
    print(f"faithful: {max(faithful() for _ in range(3)):.1f} MB of both texts per CPU second")


if __name__ == "__main__":
    main()
