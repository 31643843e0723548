"""Dolma: its Gopher and C4 taggers, called one document after the other. They give attributes and decide nothing."""

from __future__ import annotations

import argparse
from typing import Any

import common


def filters(given: argparse.Namespace, settings: dict[str, Any], report: common.Report) -> None:
    from dolma.core.data_types import Document
    from dolma.core.registry import TaggerRegistry
    from dolma.core.utils import import_modules

    import_modules(["dolma.taggers.gopher", "dolma.taggers.c4"])
    with report.phase("read"):
        _, texts = common.documents(given.input)
    taggers = {name: TaggerRegistry.get(name)() for name in ("gopher_v2", "c4_v2")}

    def judge(names: list[str], text: str) -> bool:
        document = Document(source="", id="", text=text)
        found = [taggers[name].predict(document).spans for name in names]
        return all(found)

    some = [Document(source="", id="", text=text) for text in texts[:20]]
    spans = {name: len({s.type for d in some for s in tagger.predict(d).spans}) for name, tagger in taggers.items()}
    both = list(taggers)
    common.verdicts(report, "all", lambda t: judge(both, t), texts, f"{sum(spans.values())} attributes", decides=False)
    for name in both:
        counted = f"{spans[name]} attributes"
        common.verdicts(report, name, lambda t, name=name: judge([name], t), texts, counted, decides=False)


if __name__ == "__main__":
    common.main(["dolma", "numpy"], {"filters": filters})
