"""Language identifiers whose model ships in their wheel, side by side: accuracy by text length, and MB/s.

    POLARS_MAX_THREADS=1 python benchmarks/bench_language.py --packs DIR --json language.json

Texts: lid_lingua (75 languages: single words, word pairs, sentences; documents of about 300 and 1,500
characters are its sentences in file order, joined), lid_langdata (shuffled web words), lid_whatlang (one
sentence per language), and the standard library's .py files, which stand as English. A label a library cannot
give is an error in `all` and is left out of `common`, which holds the languages that every candidate knows.
Regional codes are folded (nb, nn -> no; cmn, yue, wuu -> zh; ...). One thread, one text at a time through
each library's own interface; seconds are CPU seconds of the process. `winnow` reads long texts in looks (the
default), `winnow_spread` reads 3,000 characters of every text. eldc (another environment will do) is measured where it
can be imported. `--confusions` lists the pairs of languages that `winnow` confounds, with their shares.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import sysconfig
import tarfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import polars as pl

FOLD = {
    "nb": "no", "nn": "no", "cmn": "zh", "yue": "zh", "wuu": "zh", "arz": "ar", "ary": "ar", "uzs": "uz",
    "sdh": "ku", "gom": "mr", "eng_Latn": "en", "sh": "sr",
}  # fmt: skip
Predict = Callable[[list[str]], list[str]]
Texts = list[tuple[str, str]]  # (language, text)


def winnow_language(model_file: str | None = None, max_chars: int = 3000, sample: str = "staged") -> Predict:
    from winnow.core.operators import Context
    from winnow.pipeline.measure.language import Language

    files = (model_file,) if model_file else ()
    columns = Language(model_file=files, max_chars=max_chars, sample=sample).open(Context(seed=0, work=Path()))
    return lambda texts: columns(pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}))["language"].to_list()


def eldc() -> Predict:
    import eldc as library

    library.init()
    return lambda texts: [library.detect(text) for text in texts]


def py3langid() -> Predict:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return lambda texts: [model.classify(text)[0] for text in texts]


def resiliparse() -> Predict:
    from resiliparse.parse.lang import detect_fast

    return lambda texts: [detect_fast(text)[0] for text in texts]


def lingua(*, low: bool) -> Predict:
    from lingua import LanguageDetectorBuilder

    builder = LanguageDetectorBuilder.from_all_languages().with_preloaded_language_models()
    detector = (builder.with_low_accuracy_mode() if low else builder).build()

    def predict(texts: list[str]) -> list[str]:
        found = [detector.detect_language_of(text) for text in texts]
        return [language.iso_code_639_1.name.lower() if language else "und" for language in found]

    return predict


def known_codes(name: str) -> set[str] | None:
    if name in {"winnow", "winnow_spread", "py3langid"}:
        from winnow.pipeline.measure.language_tables import language_tables

        return set(language_tables().codes)
    if name == "resiliparse":
        from resiliparse.parse.lang import supported_langs

        return set(supported_langs())
    if name == "eldc":
        import eldc as library

        return set(library.LANGUAGES)
    if name.startswith("lingua"):
        from lingua import Language

        return {language.iso_code_639_1.name.lower() for language in Language.all()}
    return None


def packed(archive: Path, wanted: Callable[[str], bool]) -> Iterable[tuple[str, str]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and wanted(member.name):
                held = tar.extractfile(member)
                assert held is not None
                yield member.name, held.read().decode("utf-8", "replace")


def documents(lines: list[str], chars: int, most: int) -> list[str]:
    found, current, size = [], [], 0
    for line in lines:
        current.append(line)
        size += len(line) + 1
        if size >= chars:
            found.append("\n".join(current))
            current, size = [], 0
    return found[:most]


def lingua_texts(packs: Path, most: int) -> dict[str, Texts]:
    out: dict[str, Texts] = defaultdict(list)
    for name, text in packed(packs / "lid_lingua.tar.xz", lambda n: "language-testdata/" in n and n.endswith(".txt")):
        kind, language = Path(name).parent.name, Path(name).stem
        lines = [line for line in text.splitlines() if line.strip()]
        out[kind] += [(language, line) for line in lines[:most]]
        if kind == "sentences":
            out["documents_300"] += [(language, doc) for doc in documents(lines, 300, most // 3)]
            out["documents_6000"] += [(language, doc) for doc in documents(lines, 6000, most // 8)]
            out["documents_1500"] += [(language, doc) for doc in documents(lines, 1500, most // 3)]
    return out


def two_letters(code: str) -> str | None:
    from winnow.pipeline.measure.language_codes import short_code

    found = {"chi_sim": "zh", "chi_tra": "zh"}.get(code, short_code(code))
    return found if len(found) == 2 else None


def other_texts(packs: Path) -> dict[str, Texts]:
    out: dict[str, Texts] = {"langdata_lines": [], "whatlang": []}
    for name, text in packed(packs / "lid_langdata.tar.xz", lambda n: n.endswith(".training_text")):
        code = two_letters(Path(name).stem)
        out["langdata_lines"] += [(code, line) for line in text.splitlines()[:40] if code and len(line) > 20]
    for _, text in packed(packs / "lid_whatlang.tar.xz", lambda n: n.endswith("tests/examples.json")):
        out["whatlang"] += [(two, line) for code, line in json.loads(text).items() if (two := two_letters(code))]
    return out


def python_files(most: int) -> Texts:
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [f for f in root.rglob("*.py") if not {"site-packages", "test", "tests", "idle_test"} & set(f.parts)]
    files = [f for f in files if 512 <= f.stat().st_size <= 32_768 and f.parent.name != "pydoc_data"]
    files.sort(key=lambda f: hashlib.blake2b(str(f.relative_to(root)).encode()).digest())
    return [("en", f.read_text("utf-8", "replace")) for f in files[:most]]


def fold(code: str) -> str:
    return FOLD.get(code, code)


def measure(predict: Predict, texts: Texts, common: set[str]) -> dict[str, object]:
    bodies = [text for _, text in texts]
    predict(bodies)
    start = time.process_time()
    found = predict(bodies)
    seconds = time.process_time() - start
    right = [(fold(language), fold(label) == fold(language)) for (language, _), label in zip(texts, found, strict=True)]
    shared = [good for language, good in right if language in common]
    each: dict[str, list[bool]] = defaultdict(list)
    for language, good in right:
        each[language].append(good)
    by_language = {language: sum(goods) / len(goods) for language, goods in sorted(each.items())}
    confounded = Counter(
        (fold(language), fold(label))
        for (language, _), label in zip(texts, found, strict=True)
        if fold(label) != fold(language)
    )
    wrong = Counter(label for (language, _), label in zip(texts, found, strict=True) if fold(label) != fold(language))
    return {
        "texts": len(texts),
        "languages": len({language for language, _ in right}),
        "accuracy_all": sum(good for _, good in right) / len(right),
        "accuracy_common": sum(shared) / len(shared) if shared else None,
        "mb_per_s": sum(len(body.encode()) for body in bodies) / 1e6 / seconds,
        "texts_per_s": len(texts) / seconds,
        "accuracy_macro": sum(by_language.values()) / len(by_language),
        "accuracy_by_language": by_language,
        "confounded": {f"{a} as {b}": n / len(each[a]) for (a, b), n in confounded.most_common(20)},
        "most_frequent_wrong_labels": dict(wrong.most_common(5)),
    }


def run(packs: Path, *, most: int, fasttext_model: str | None, only: set[str]) -> dict[str, object]:
    makers: dict[str, Callable[[], Predict]] = {
        "winnow": winnow_language,
        "winnow_spread": lambda: winnow_language(sample="spread"),
        "py3langid": py3langid,
        "resiliparse": resiliparse,
        "lingua_low": lambda: lingua(low=True),
        "lingua_high": lambda: lingua(low=False),
    }
    if fasttext_model:
        makers["winnow_fasttext_file"] = lambda: winnow_language(fasttext_model)
    if find_spec("eldc"):
        makers["eldc"] = eldc
    sets = {**lingua_texts(packs, most), **other_texts(packs), "python_files_as_en": python_files(300)}
    makers = {name: make for name, make in makers.items() if not only or name in only}
    known = [{fold(code) for code in codes} for name in makers if (codes := known_codes(name))]
    common = set.intersection(*known)
    results: dict[str, object] = {}
    for name, make in makers.items():
        start = time.perf_counter()
        predict = make()
        opened = time.perf_counter() - start
        buckets = {bucket: measure(predict, texts, common) for bucket, texts in sets.items()}
        results[name] = {"open_s": opened, "buckets": buckets}
    libraries = ("py3langid", "resiliparse", "lingua-language-detector", "eldc", "fasttext-numpy2", "numba", "polars")
    return {
        "benchmark": "language",
        "machine": {"cpu": platform.processor() or platform.machine(), "python": platform.python_version()},
        "versions": {name: installed(name) for name in libraries},
        "common_languages": sorted(common),
        "results": results,
    }


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def table(report: dict) -> str:
    lines = []
    for name, entry in report["results"].items():
        for bucket, row in entry["buckets"].items():
            shared = "" if row["accuracy_common"] is None else f"{row['accuracy_common']:.3f}"
            lines.append(
                f"{name:21s} {bucket:19s} n={row['texts']:5d} all={row['accuracy_all']:.3f} common={shared}"
                f" macro={row['accuracy_macro']:.3f} {row['mb_per_s']:8.2f} MB/s {row['texts_per_s']:9.0f}/s"
            )
    return "\n".join(lines)


def confusions(report: dict) -> str:
    lines = []
    for bucket, row in report["results"]["winnow"]["buckets"].items():
        pairs = ", ".join(f"{pair} {share:.1%}" for pair, share in list(row["confounded"].items())[:10])
        lines.append(f"{bucket}: {pairs}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--packs", type=Path, default=Path(__file__).resolve().parents[2] / "shared/data/packs")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--most", type=int, default=100, help="texts per language and bucket")
    parser.add_argument("--fasttext-model", help="also measure this fastText classifier")
    parser.add_argument("--only", default="", help="names of candidates, by commas")
    parser.add_argument("--confusions", action="store_true", help="also print what winnow confounds")
    given = parser.parse_args()
    if not (given.packs / "lid_lingua.tar.xz").exists():
        print(f"skipped: no language packs under {given.packs}")
        return 0
    only = set(filter(None, given.only.split(",")))
    report = run(given.packs, most=given.most, fasttext_model=given.fasttext_model, only=only)
    print(table(report))
    if given.confusions and "winnow" in report["results"]:
        print(confusions(report))
    if given.json:
        given.json.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
