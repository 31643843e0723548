"""Runner overhead: the same operators over the same parts, by the runner and in a plain loop, in one process.

    python benchmarks/bench_runner.py [--megabytes 48] [--repeat 5] [--json FILE]

The plain loop reads the same committed parts, calls the same opened operators on the same batches and writes the
same columns as Arrow files: what a script without receipts, digests, masks or resume would do. Both run in this
process, one after the other, several times; the ratio of medians is the figure. Memory is the peak of a fresh
process at 1x and 4x of the input with the same part size.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

RECIPE = """
stages:
  docs: {{use: jsonl, files: "{files}"}}
  sig: {{use: signals, inputs: docs}}
  lang: {{use: language, inputs: docs}}
  tok: {{use: count_tokens, inputs: docs}}
  clean: {{use: filter, inputs: [sig, lang], preset: gopher_quality}}
"""
MAPS = ("sig", "lang", "tok", "clean")


def corpus(folder: Path, megabytes: int) -> Path:
    """JSONL of the standard library's sources, repeated with a mark until it is large enough."""
    found = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [path.read_text("utf-8", "ignore") for path in found]
    size, number = 0, 0
    with (folder / "docs.jsonl").open("w") as sink:
        while size < megabytes * 1_000_000:
            text = f"# copy {number}\n" + texts[number % len(texts)]
            size += len(text)
            number += 1
            sink.write(json.dumps({"text": text}) + "\n")
    return folder / "docs.jsonl"


def runner_seconds(root: Path, files: Path, part_bytes: int) -> tuple[float, object]:
    from winnow.core.store.locations import open_store
    from winnow.dags.driver.runner import Runner, RunSettings
    from winnow.dags.recipe.plan import make_plan
    from winnow.dags.recipe.yaml_recipe import parse_recipe
    from winnow.dags.shapes.stage_run import Options

    recipe = parse_recipe(RECIPE.format(files=files), name="bench", folder=Path.cwd())
    store = open_store(root)
    plan = make_plan(recipe, store)
    settings = RunSettings(name="bench", engine="local", workers=0, options=Options(part_bytes=part_bytes))
    runner = Runner(store, settings)
    runner.run(plan, plan.until("docs"))
    for node in plan.nodes:
        if node.name in MAPS:
            shutil.rmtree(store.local_copy(node.folder), ignore_errors=True)
    begun = time.perf_counter()
    Runner(store, settings).run(plan, plan.nodes)
    return time.perf_counter() - begun, plan


def plain_seconds(root: Path, plan, out: Path) -> float:
    """The loop: read each part once, every operator over its batches, columns to files."""
    import pyarrow as pa

    from winnow.core.operators import Context, MapArrow
    from winnow.core.store.locations import open_store
    from winnow.core.store.manifest import StageDir
    from winnow.core.store.parts import frame_of, read_columns
    from winnow.core.store.schema import conform, write_ipc

    store = open_store(root)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    opened = {n: plan.node(n).operator.open(Context(seed=0, work=out)) for n in MAPS}
    begun = time.perf_counter()
    for unit, receipt in StageDir(store, plan.node("docs").folder).manifest().named("part").items():
        table = read_columns(store, {"doc_id": (receipt, "doc_id"), "text": (receipt, "text")})
        columns = {}
        for name in MAPS:
            operator = plan.node(name).operator
            if name == "clean":
                table_in = pa.table({c: columns[c] for c in operator.needs()})
            else:
                table_in = table.select(["text"])
            pieces = []
            for start in range(0, table_in.num_rows, 1024):
                batch = table_in.slice(start, 1024)
                if isinstance(operator, MapArrow):
                    arrays = [c.chunk(0) if c.num_chunks == 1 else c.combine_chunks() for c in batch.columns]
                    answer = opened[name](pa.RecordBatch.from_arrays(arrays, names=batch.column_names))
                else:
                    answer = opened[name](frame_of(batch))
                pieces.append(conform(answer, operator.outputs(), rows=batch.num_rows))
            result = pa.concat_tables(pieces).combine_chunks()
            columns |= {c: result.column(c) for c in result.column_names}
            with (out / f"{name}-{unit}.arrow").open("wb") as sink:
                write_ipc(sink, result, compress=False)
    return time.perf_counter() - begun


def peak_mb(files: Path, part_bytes: int) -> float:
    """Peak resident memory of a fresh process that runs the recipe in process."""
    with tempfile.TemporaryDirectory() as root:
        code = f"import sys; sys.argv = ['x', '--child', {str(files)!r}, {root!r}, '{part_bytes}']; import runpy; runpy.run_path({__file__!r}, run_name='__main__')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=48)
    parser.add_argument("--part-megabytes", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=3)
    args = parser.parse_args()
    if args.child:
        runner_seconds(Path(args.child[1]), Path(args.child[0]), int(args.child[2]))
        status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent before exec
        print(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024)
        return
    part_bytes = args.part_megabytes << 20
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = corpus(folder, args.megabytes)
        ours, plain = [], []
        _, plan = runner_seconds(folder / "warm", files, part_bytes)  # compiles kernels
        for number in range(args.repeat):
            seconds, plan = runner_seconds(folder / f"root{number}", files, part_bytes)
            ours.append(seconds)
            plain.append(plain_seconds(folder / f"root{number}", plan, folder / "plain"))
        (folder / "big").mkdir()
        big = corpus(folder / "big", 4 * args.megabytes)
        memory = {"1x": peak_mb(files, part_bytes), "4x": peak_mb(big, part_bytes)}
    result = {
        "megabytes": args.megabytes, "part_bytes": part_bytes, "runner_s": ours, "plain_loop_s": plain,
        "overhead": statistics.median(ours) / statistics.median(plain) - 1, "peak_mb": memory,
    }  # fmt: skip
    print(json.dumps(result, indent=2))
    if args.json:
        args.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
