"""Write `expected.json` anew: what every peer says of every text, by running the peers.

    python tests/conformance/refresh.py [--python PEER=PYTHON ...]

Each peer runs in its own environment (made below benchmarks/out/envs, by pip, on the first run; about 400 MB) in its
pinned version. Numbers are rounded to six decimals, zeros are left out. NeMo's top n-gram of tied ones is the first in
the order of a Python set, which changes with the hash seed: it is run under several, and a number that changes is a
list of all that were seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from texts import texts

HERE = Path(__file__).parent
ENVS = HERE.parents[1] / "benchmarks" / "out" / "envs"
# (packages without what they depend on, packages with it); the filters need little of what their packages ask for
REQUIREMENTS: dict[str, tuple[list[str], list[str]]] = {
    "datatrove": ([], ["datatrove==0.10.1", "spacy", "nltk", "regex"]),
    "nemo": (["nemo-curator==1.4.0"], ["regex", "loguru"]),
    "dolma": (["dolma==1.2.1"], ["msgspec", "smart-open", "tqdm", "omegaconf", "necessary"]),
    "dclm": (["uniseg==0.10.1"], []),
}
SEEDS = {"nemo": (0, 1, 2, 3, 4, 5, 6, 7)}


def python_of(peer: str) -> str:
    """The interpreter of the peer's environment, made if it is not there."""
    home = ENVS / f"conformance_{peer}"
    python = home / "bin" / "python"
    if python.exists():
        return str(python)
    alone, whole = REQUIREMENTS[peer]
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    for what in (["--no-deps", *alone] if alone else [], whole):
        if what:
            subprocess.run([str(python), "-m", "pip", "install", "-q", *what], check=True)
    return str(python)


def run(peer: str, python: str, seed: int) -> dict[str, Any]:
    """What `peers.py` says of all texts."""
    env = os.environ | {"PYTHONHASHSEED": str(seed)}
    given = json.dumps(list(texts().values()))
    command = [python, str(HERE / "peers.py"), peer]
    done = subprocess.run(command, input=given, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{peer} does not run:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def short(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def merged(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One text's numbers under several hash seeds: a list where they differ; zeros and empty reasons left out."""
    found = {}
    for name in rows[0]:
        if name == "verdict":
            continue
        values = sorted({short(row[name]) for row in rows})
        if values != [0]:
            found[name] = values[0] if len(values) == 1 else values
    refused = {name: reason for name, reason in rows[0].get("verdict", {}).items() if reason}
    return found | ({"verdict": refused} if refused else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PYTHON")
    given = dict(item.split("=", 1) for item in parser.parse_args().python)
    names = list(texts())
    digest = hashlib.sha256(json.dumps(texts()).encode()).hexdigest()
    expected: dict[str, Any] = {"texts": digest, "peers": {}}
    for peer in REQUIREMENTS:
        python = given.get(peer) or python_of(peer)
        runs = [run(peer, python, seed) for seed in SEEDS.get(peer, (0,))]
        numbers = {name: merged([one["rows"][at] for one in runs]) for at, name in enumerate(names)}
        expected["peers"][peer] = {"versions": runs[0]["versions"], "numbers": numbers}
        print(f"{peer}: {runs[0]['versions']}, {len(numbers)} texts")
    (HERE / "expected.json").write_text(laid_out(expected), encoding="utf-8")


def laid_out(expected: dict[str, Any]) -> str:
    """The file, one text a line."""
    peers = []
    for peer, found in expected["peers"].items():
        rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in found["numbers"].items())
        peers.append(f'"{peer}": {{"versions": {json.dumps(found["versions"])}, "numbers": {{\n{rows}\n}}}}')
    return f'{{"texts": "{expected["texts"]}", "peers": {{\n' + ",\n".join(peers) + "\n}}\n"


if __name__ == "__main__":
    main()
