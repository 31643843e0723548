"""Croissant 1.1 (MLCommons): the shards as they lie, their fields and types, and where they come from in PROV-O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa

from winnow.dags.looking.cards.facts import Facts
from winnow.dags.looking.cards.shards import Shards
from winnow.dags.looking.cards.told import licence_address
from winnow.dags.looking.cards.words import described, preprocessing

NAME = "croissant.json"
CONFORMS = "http://mlcommons.org/croissant/1.1"
RECORDS, FILES = "documents", "shards"
ENCODINGS = {  # shard format -> media type; `mlcroissant` reads records of the first two
    "parquet": "application/x-parquet", "jsonl": "application/jsonlines", "jsonl.zst": "application/zstd",
    "arrow": "application/vnd.apache.arrow.file",
}  # fmt: skip
READABLE = ("parquet", "jsonl")
_CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "arrayShape": "cr:arrayShape", "citeAs": "cr:citeAs",
    "column": "cr:column", "conformsTo": "dct:conformsTo", "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/", "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty", "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract", "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes", "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5",
    "name": {"@container": "@language"}, "parentField": "cr:parentField", "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#", "recordSet": "cr:recordSet", "references": "cr:references",
    "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace", "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}  # fmt: skip
_TYPES: tuple[tuple[pa.DataType, str], ...] = (
    (pa.bool_(), "sc:Boolean"), (pa.string(), "sc:Text"), (pa.large_string(), "sc:Text"), (pa.int8(), "cr:Int8"),
    (pa.int16(), "cr:Int16"), (pa.int32(), "cr:Int32"), (pa.int64(), "cr:Int64"), (pa.uint8(), "cr:UInt8"),
    (pa.uint16(), "cr:UInt16"), (pa.uint32(), "cr:UInt32"), (pa.uint64(), "cr:UInt64"), (pa.float16(), "cr:Float16"),
    (pa.float32(), "cr:Float32"), (pa.float64(), "cr:Float64"), (pa.date32(), "sc:Date"), (pa.date64(), "sc:Date"),
)  # fmt: skip
_ABOUT = {
    "doc_id": "Identity of the document: 32 hex digits.", "text": "The text of the document.",
    "text_hash": "Hash of the text: 32 hex digits.", "text_bytes": "Length of the text in bytes of UTF-8.",
    "origin": "Where the document was read: file, and the place in it.",
}  # fmt: skip


def croissant(facts: Facts) -> bytes:
    """The JSON-LD file. Equal facts give equal bytes."""
    told = facts.told
    body: dict[str, Any] = {
        "@context": _CONTEXT, "@type": "sc:Dataset", "conformsTo": CONFORMS, "name": facts.title,
        "description": described(facts),
    }  # fmt: skip
    licences = list(_licences(facts))
    optional = {
        "license": licences, "url": told.url, "citeAs": told.cite_as, "version": told.version,
        "creator": [{"@type": "sc:Organization", "name": name} for name in told.creators],
        "datePublished": told.published, "dateCreated": facts.ended,
        "inLanguage": [one.name for one in facts.written.groups["language"] or () if one.name],
    }  # fmt: skip
    body |= {name: value for name, value in optional.items() if value}
    body["rai:dataPreprocessingProtocol"] = list(preprocessing(facts))
    body |= _provenance(facts)
    body["distribution"] = list(_distribution(facts.shards))
    body["recordSet"] = [_records(facts.shards)]
    return orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n"


def without_type(shards: Shards) -> dict[str, pa.DataType]:
    """Columns that Croissant has no type for: they are left out of its fields."""
    return {name: kind for name, kind in shards.columns.items() if _field_type(kind) is None}


def _licences(facts: Facts) -> Iterator[Any]:
    """Those that a person told, else those that the documents name, by bytes of text."""
    names = facts.told.licences or [one.name for one in facts.written.groups["licence"] or () if one.name]
    for name in names:
        yield licence_address(name) or {"@type": "sc:CreativeWork", "name": name}


def _distribution(shards: Shards) -> Iterator[dict[str, Any]]:
    """Every file with its digest, and the set of them that records are read from."""
    encoding = ENCODINGS[shards.format]
    for one in shards.files:
        yield {
            "@type": "cr:FileObject", "@id": one.path, "name": one.path.rpartition("/")[2], "contentUrl": one.path,
            "contentSize": f"{one.size} B", "encodingFormat": encoding, "sha256": one.sha256,
        }  # fmt: skip
    yield {"@type": "cr:FileSet", "@id": FILES, "name": FILES, "encodingFormat": encoding, "includes": shards.pattern}


def _records(shards: Shards) -> dict[str, Any]:
    """One record per document."""
    fields = [found for name, kind in shards.columns.items() if (found := _field(name, kind)) is not None]
    return {
        "@type": "cr:RecordSet", "@id": RECORDS, "name": RECORDS, "description": "One record per document.",
        "key": {"@id": f"{RECORDS}/doc_id"}, "field": fields,
    }  # fmt: skip


def _field(name: str, kind: pa.DataType) -> dict[str, Any] | None:
    found = _field_type(kind)
    if found is None:
        return None
    data_type, deep = found
    out: dict[str, Any] = {"@type": "cr:Field", "@id": f"{RECORDS}/{name}", "name": name}
    out |= {"description": _ABOUT[name]} if name in _ABOUT else {}
    out |= {"dataType": data_type}
    out |= {"isArray": True, "arrayShape": ",".join(["-1"] * deep)} if deep else {}
    return out | {"source": {"fileSet": {"@id": FILES}, "extract": {"column": name}}}


def _field_type(kind: pa.DataType) -> tuple[str, int] | None:
    """(type, how deep its lists are); None for a type that Croissant has no name for."""
    deep = 0
    while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        kind, deep = kind.value_type, deep + 1
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind):
        return "sc:DateTime", deep
    return next(((name, deep) for known, name in _TYPES if known.equals(kind)), None)


def _provenance(facts: Facts) -> Mapping[str, Any]:
    """PROV-O: the run as an activity, its recipe as the plan, its stages as activities, its readers as entities."""
    agent = {"@type": "prov:SoftwareAgent", "prov:label": f"winnow {facts.versions.get('winnow', '(version unknown)')}"}
    plan = {
        "@type": "prov:Plan", "prov:label": f"recipe {facts.recipe or facts.run}", "sc:sha256": facts.recipe_sha256,
    }  # fmt: skip
    run: dict[str, Any] = {"@type": "prov:Activity", "prov:label": f"run {facts.run}"}
    run |= {"prov:startedAtTime": facts.began} if facts.began else {}
    run |= {"prov:endedAtTime": facts.ended} if facts.ended else {}
    run |= {"prov:used": plan, "prov:wasAssociatedWith": agent}
    stages = [
        {"@type": "prov:Activity", "prov:label": f"stage {one.name}: {one.operator} (version {one.version})",
         "sc:identifier": one.fingerprint, "sc:description": f"content digest {one.digest}"}
        for one in facts.stages
    ]  # fmt: skip
    sources = [
        {"@type": "prov:Entity", "prov:label": _reader_label(one.name, one.source), "sc:description": (
            f"{one.documents:,} documents, {one.bytes:,} bytes of text, {len(one.files):,} files")}
        for one in facts.readers
    ]  # fmt: skip
    return {"prov:wasGeneratedBy": [run, *stages], "prov:wasDerivedFrom": sources}


def _reader_label(name: str, source: str) -> str:
    return f"{source} (reader {name})" if source else f"reader {name}"
