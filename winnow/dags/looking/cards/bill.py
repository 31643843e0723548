"""CycloneDX 1.6: a bill of materials with the set as a data component, its files and what it was made of."""

from __future__ import annotations

import uuid
from typing import Any

import orjson

from winnow.dags.looking.cards.facts import Facts
from winnow.dags.looking.cards.told import licence_address
from winnow.dags.looking.cards.words import described, licence_names, preprocessing

NAME = "cyclonedx.json"


def bill(facts: Facts) -> bytes:
    """The bill as JSON. Equal facts give equal bytes: its serial number follows from the content digest."""
    tool = {"type": "application", "name": "winnow", "version": facts.versions.get("winnow", "unknown")}
    sources = [
        {"type": "data", "bom-ref": f"reader:{one.name}", "name": one.source or one.name, "data": [
            {"type": "dataset", "name": one.name, "description": (
                f"{one.documents:,} documents, {one.bytes:,} bytes of text, {len(one.files):,} files")}]}
        for one in facts.readers
    ]  # fmt: skip
    body = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'winnow:{facts.shards.digest}:{facts.ended}')}",
        "version": 1, "metadata": {"timestamp": facts.ended, "tools": {"components": [tool]}},
        "components": [_set(facts), *sources],
        "dependencies": [{"ref": "set", "dependsOn": [one["bom-ref"] for one in sources]}],
    }  # fmt: skip
    return orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n"


def _set(facts: Facts) -> dict[str, Any]:
    """The set, its files below it."""
    masked = [f"personal data masked by {one.stage}: {', '.join(one.found)}" for one in facts.masked]
    files = [{"type": "file", "name": one.path, "hashes": [{"alg": "SHA-256", "content": one.sha256}]}
             for one in facts.shards.files]  # fmt: skip
    properties = {
        "winnow:run": facts.run, "winnow:stage": facts.stage, "winnow:recipe:sha256": facts.recipe_sha256,
        "winnow:fingerprint": facts.fingerprint, "winnow:content_digest": facts.shards.digest,
    } | {f"winnow:step:{number}": step for number, step in enumerate(preprocessing(facts), start=1)}  # fmt: skip
    data = {"type": "dataset", "name": facts.title, "description": described(facts), "contents": {
        "properties": [{"name": "documents", "value": str(facts.documents)},
                       {"name": "bytes of text", "value": str(facts.text_bytes)}]}}  # fmt: skip
    out: dict[str, Any] = {"type": "data", "bom-ref": "set", "name": facts.title}
    out |= {"version": facts.told.version} if facts.told.version else {}
    licences = [_licence(name) for name in licence_names(facts)]
    out |= {"licenses": licences} if licences else {}
    out |= {"data": [data | ({"sensitiveData": masked} if masked else {})], "components": files}
    return out | {"properties": [{"name": name, "value": value} for name, value in properties.items()]}


def _licence(name: str) -> dict[str, Any]:
    """By its name; its address where it is one or SPDX has a page."""
    address = licence_address(name)
    return {"license": {"name": name} | ({"url": address} if address else {})}
