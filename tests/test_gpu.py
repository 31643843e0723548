"""What must hold on an accelerator, and the command that measures one: `benchmarks/gpu_check`."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.gpu_check import budget, cuda_checks, speed, table, token_pool, verdict  # noqa: E402
from benchmarks.gpu_check.budget import LATE, Notes, Section, Setting, limits, run_all  # noqa: E402
from benchmarks.gpu_check.check import MINUTES, NEEDED, SECTIONS, failures  # noqa: E402

pytestmark = pytest.mark.train
ROOT = Path(__file__).resolve().parents[1]
SMALL = Setting(device="cpu", small=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("check", cuda_checks.CHECKS, ids=lambda check: check.__name__)
def test_on_a_gpu(check):
    check("cuda")


@pytest.mark.parametrize(
    "check",
    [cuda_checks.documents_do_not_see_each_other, cuda_checks.losses_per_token_are_those_of_cross_entropy, cuda_checks.equal_scores],
    ids=lambda check: check.__name__,
)  # fmt: skip
def test_the_checks_hold_on_a_cpu(check):
    check("cpu")


def test_a_check_sees_other_losses_and_one_that_fails_stops_no_other(tmp_path, monkeypatch):
    def off(device):
        return cuda_checks.within("difference", [1.0, 2.0], [1.0, 2.0 + 2e-3], cuda_checks.BOUND)

    def fine(device):
        return cuda_checks.within("difference", [1.0], [1.0 + 1e-4], cuda_checks.BOUND)

    monkeypatch.setattr(cuda_checks, "CHECKS", (off, fine))
    notes = Notes(tmp_path / "notes.json")
    cuda_checks.measure(notes, SMALL)
    found = json.loads((tmp_path / "notes.json").read_text())
    assert (found["passed"], found["checks"], found["fine"]["result"]) == (1, 2, "passed")
    assert found["off"]["result"] == "failed"
    assert "2.00e-03 is above 0.001" in found["off"]["why"]
    assert failures({"checks": {"status": "measured", **found}}) == [
        "checks: off failed: AssertionError: difference: 2.00e-03 is above 0.001"
    ]


def test_the_shares_of_all_sections_fit_the_minutes_and_what_is_saved_goes_to_later_ones():
    assert sum(section.seconds for section in SECTIONS) <= 60 * MINUTES < 540
    three = [Section(name=n, seconds=s, measure="m:f", promises=()) for n, s in (("a", 10), ("b", 20), ("c", 30))]
    assert limits(three, [], 100) == 10
    assert limits(three, [4], 96) == 26  # its own 20 and the 6 that `a` left over
    assert limits(three, [4, 26], 70) == 30
    assert limits(three, [10, 25], 65) == 25  # `b` was late by 5
    assert limits(three, [4], 7) == 7  # the clock allows no more
    assert [s.seconds for s in budget.shortened(three, 30)] == [5, 10, 15]
    assert budget.shortened(three, 61) == three


def test_a_section_that_is_late_keeps_what_it_noted_and_a_later_one_is_not_begun(tmp_path, monkeypatch):
    (tmp_path / "slow_section.py").write_text(
        textwrap.dedent("""
        import time

        def measure(notes, setting):
            notes.note("early", 1)
            time.sleep(60)
            notes.note("late", 2)
    """)
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(budget, "LEAST", 1.0)
    slow = Section(name="slow", seconds=5.0, measure="slow_section:measure", promises=("early", "late"))
    never = dataclasses.replace(slow, name="never", seconds=0.5)
    begun = time.monotonic()
    found = run_all([slow, never], SMALL, tmp_path, seconds=5.5)
    assert time.monotonic() - begun < 12
    assert {**found["slow"], "seconds": 0} == {"status": LATE, "early": 1, "late": LATE, "seconds": 0}
    assert found["never"] == {"status": LATE, "early": LATE, "late": LATE, "seconds": 0.0}


def test_a_section_that_breaks_says_its_last_line(tmp_path, monkeypatch):
    (tmp_path / "idle_section.py").write_text("def measure(notes, setting):\n    pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    broken = Section(name="broken", seconds=60, measure="benchmarks.gpu_check.budget:absent", promises=("figure",))
    found = run_all([broken], SMALL, tmp_path, seconds=60)["broken"]
    assert found["status"].startswith("failed: AttributeError: ")
    assert found["figure"] == found["status"]
    empty = dataclasses.replace(broken, measure="idle_section:measure")
    assert run_all([empty], SMALL, tmp_path, seconds=60)["broken"]["status"] == "failed: ended without figure"


def test_a_pool_in_tokens_is_read_as_it_was_written(tmp_path):
    pool = token_pool.two_kinds()
    token_pool.save(pool, tmp_path)
    again = token_pool.load(tmp_path)
    chosen = again.selected("plain_1")
    rows = pool.selections["plain_1"]
    assert (np.diff(chosen.offsets) == 60).all()
    assert chosen.doc_id.to_list() == [pool.documents.doc_id[int(r)] for r in rows]
    assert (chosen.tokens.reshape(-1, 60) == pool.documents.tokens.reshape(-1, 60)[rows]).all()
    assert (again.vocab, again.told, list(again.targets)) == (pool.vocab, pool.told, ["like"])
    assert (again.targets["like"].ids == pool.targets["like"].ids).all()
    data = token_pool.batches(chosen, context=64, rows=4, tokens=1000, end=pool.vocab - 1, seed=0)
    assert (data.num_tokens, data.num_steps) == (1000, 5)


def test_utilisation_is_operations_over_the_peak_of_the_device(monkeypatch):
    assert speed.utilisation(speed.SMALL, 1e6) is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    weights = speed.SMALL.parameters()[0] - 300 * 32
    by_hand = 1e6 * (6 * weights + 6 * 2 * 32 * 64) / 989e12
    assert speed.utilisation(speed.SMALL, 1e6) == pytest.approx(by_hand)


RESULT = {
    "date": "2027-01-31", "device": "NVIDIA H200", "cuda": "13.0", "python": "3.12.3", "versions": {"torch": "2.11.0"},
    "minutes": 8.4, "commit": "abc1234", "small": False,
    "sections": {
        "checks": {"status": "measured", "passed": 9, "checks": 11, "a_resumed_run": {"result": "skipped"}, "equal_losses_adamw": {"result": "passed", "difference": 2e-5, "bound": 1e-3},
                   "equal_scores": {"result": "failed", "why": "off"}},
        "compile": {"status": "measured", "plain_tokens_per_s": 1234567, "compiled_tokens_per_s": 2345678, "compile_s": 31.4},
        "screen": {"status": "measured", "arm_seeds_per_hour": 321.4},
        "utilisation": {"status": LATE, "124M": {"mfu": 0.412, "tokens_per_s": 500000, "rows": 32}, "350M": LATE,
                        "published": speed.PUBLISHED},
        "utilisation_packed": {"status": LATE, "124M": LATE, "350M": LATE},
        "verdict": {"status": "measured", "tokens": 5000000, "scores": {
            "best": {"astronomy": [1.9, 1.95, 1.92]}, "plain": {"astronomy": [2.3, 2.33, 2.31]}}},
    },
}  # fmt: skip


def test_a_result_fills_the_table_of_the_page_and_a_small_one_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures: gpu-check -->\nold\n<!-- end of figures -->\nafter\n")
    told = table.fill(RESULT, page)
    text = page.read_text()
    assert "figures of 2027-01-31, NVIDIA H200" in told
    assert text.startswith(
        "before\n<!-- figures: gpu-check -->\n2027-01-31, NVIDIA H200, CUDA 13.0, Python 3.12.3, torch 2.11.0; 8.4 min"
    )
    assert text.endswith("\n<!-- end of figures -->\nafter\n")
    for row in (
        "| CUDA checks | 9 of 11 pass; failed: equal_scores; skipped: a_resumed_run |",
        "| largest difference of losses to the CPU, float32, nats | 2.0e-05 (bound 0.001) |",
        "| `torch.compile` at 30M: tokens per second without, with | 1,234,567, 2,345,678 |",
        "| arm-seeds of 30M x 10M tokens per GPU hour (aim: 100) | 321 |",
        "| share of the bfloat16 peak at 124M, text running on | 41%, 500,000 tokens per second, 32 rows |",
        "| share of the bfloat16 peak at 350M, text running on | not measured: out of time |",
        "on astronomy | -0.390 (-0.415 .. -0.365) better, for this selection; 5,000,000 tokens, 3 seeds |",
    ):
        assert row in text
    assert "old" not in text
    with pytest.raises(SystemExit, match="a small run on cpu"):
        table.fill(RESULT | {"small": True, "device": "cpu"}, page)
    assert table.MARKS.search((ROOT / "docs/benchmarks.md").read_text())


def test_the_check_needs_no_other_library(tmp_path):
    """In a process that can import those five (and what they bring along) and nothing else of ours."""
    script = f"""
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {("orjson", "xxhash", "zstandard", "scipy", "tokenizers", "safetensors", "ruamel", "typer", "rich", "psutil", "pytest")}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Missing())
        from pathlib import Path
        from benchmarks.gpu_check import cuda_checks, verdict
        from benchmarks.gpu_check.budget import Notes, Setting
        assert cuda_checks.equal_losses_documents_apart("cpu")["difference"] == 0
        assert "missing" in cuda_checks.a_resumed_run_has_the_same_losses("cpu")["skipped"]
        notes = Notes(Path({str(tmp_path / "notes.json")!r}))
        verdict.measure(notes, Setting(device="cpu", small=True))
        assert notes.figures["verdict"] == {{"later": "scipy is missing here: `--fill` decides"}}, notes.figures["verdict"]
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    scores = json.loads((tmp_path / "notes.json").read_text())["scores"]
    assert len(scores["best"]["like"]) == 3
    found = verdict.decided(scores)["like"]
    assert (found["verdict"], found["n"]) == ("better", 3)


@pytest.mark.slow
def test_the_whole_command_runs_small_on_a_cpu_and_says_so(tmp_path):
    out = tmp_path / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu_check.check", "--small", "--minutes", "8", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the same path with small models; none of its figures says anything of a GPU" in done.stdout
    report = json.loads(out.read_text())
    assert report["small"]
    assert report["minutes"] < 8.2
    assert set(report["versions"]) == set(NEEDED)
    assert list(report["sections"]) == [section.name for section in SECTIONS]
    for section in SECTIONS:
        assert set(section.promises) <= set(report["sections"][section.name])
    assert report["sections"]["checks"]["passed"] == len(cuda_checks.CHECKS)
    assert report["sections"]["verdict"]["verdict"]["like"]["verdict"] == "better"
