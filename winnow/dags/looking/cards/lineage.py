"""OpenLineage: one COMPLETE event per stage that a set depends on, with its input and output data sets.

A record knows when a run began and ended, not when each of its stages did (most are often reused): every event has the
run's time. Ids of runs follow from fingerprints, so that equal runs have equal events.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from winnow.dags.looking.cards.facts import Facts, Reader, StageFact

NAME = "openlineage.jsonl"
NAMESPACE = "winnow"
_EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACET = "https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}"


def lineage(facts: Facts) -> bytes:
    """JSON Lines, in the order of the data."""
    readers = {one.name: one for one in facts.readers}
    digests = {one.name: one for one in facts.stages}
    events = [_event(facts, one, digests, readers.get(one.name)) for one in facts.stages]
    return b"".join(orjson.dumps(event) + b"\n" for event in events)


def _event(facts: Facts, stage: StageFact, stages: Mapping[str, StageFact], reader: Reader | None) -> dict[str, Any]:
    inputs = [_dataset(facts, stages[name]) for name in dict.fromkeys(stage.inputs) if name in stages]
    files = [_file(facts, name, digest) for name, digest in (reader.files if reader else ())]
    output = _dataset(facts, stage)
    if stage.documents is not None:
        output["outputFacets"] = {"outputStatistics": {
            **_facet(facts, "OutputStatisticsOutputDatasetFacet", "1-0-2"), "rowCount": stage.documents}}  # fmt: skip
    return {
        "eventType": "COMPLETE", "eventTime": facts.ended, "producer": _producer(facts), "schemaURL": _EVENT,
        "run": {"runId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"winnow:{facts.ended}:{stage.fingerprint}"))},
        "job": {"namespace": NAMESPACE, "name": f"{facts.recipe or facts.run}.{stage.name}"},
        "inputs": [*files, *inputs], "outputs": [output],
    }  # fmt: skip


def _dataset(facts: Facts, stage: StageFact) -> dict[str, Any]:
    """What a stage committed; its version is its content digest."""
    return {"namespace": NAMESPACE, "name": f"{stage.operator}-{stage.fingerprint}",
            "facets": _version(facts, stage.digest)}  # fmt: skip


def _file(facts: Facts, name: str, digest: str) -> dict[str, Any]:
    """An input file, by its name below the reader's folder."""
    return {"namespace": "file", "name": name, "facets": _version(facts, digest)}


def _version(facts: Facts, digest: str) -> dict[str, Any]:
    return {"version": {**_facet(facts, "DatasetVersionDatasetFacet", "1-0-1"), "datasetVersion": digest}}


def _facet(facts: Facts, name: str, version: str) -> dict[str, str]:
    return {"_producer": _producer(facts), "_schemaURL": _FACET.format(version=version, name=name)}


def _producer(facts: Facts) -> str:
    return f"urn:winnow:{facts.versions.get('winnow', 'unknown')}"
