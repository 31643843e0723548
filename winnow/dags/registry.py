"""Names of operators -> where they live; nothing is imported until it is used."""

from __future__ import annotations

import importlib

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Operator

REGISTRY: dict[str, str] = {
    "jsonl": "winnow.pipeline.read.jsonl:Jsonl",
    "parquet": "winnow.pipeline.read.parquet:Parquet",
    "text_files": "winnow.pipeline.read.text_files:TextFiles",
    "python_topics": "winnow.pipeline.holdout:PythonTopics",
    "concat": "winnow.pipeline.concat:Concat",
    "join": "winnow.pipeline.join:Join",
    "signals": "winnow.pipeline.signals:Signals",
    "language": "winnow.pipeline.language:Language",
    "count_tokens": "winnow.pipeline.count_tokens:CountTokens",
    "filter": "winnow.pipeline.filtering:Filter",
    "decontaminate": "winnow.pipeline.holdout:Decontaminate",
    "holdout": "winnow.pipeline.holdout:Holdout",
    "exact": "winnow.pipeline.dedup.exact:Exact",
    "minhash": "winnow.pipeline.dedup.minhash:MinHash",
    "fasttext": "winnow.scorers.supervised:FastText",
    "fasttext_model": "winnow.scorers.supervised:FastTextModel",
    "embed": "winnow.scorers.embed:Embed",
    "vectors_from": "winnow.scorers.embed_given:VectorsFrom",
    "classifier": "winnow.scorers.classifier:Classifier",
    "ngram_vectors": "winnow.pipeline.vectors:NgramVectors",
    "simhash": "winnow.pipeline.simhash:SimHash",
    "knn_graph": "winnow.pipeline.vectors:KnnGraph",
    "random": "winnow.selectors.sample:Random",
    "length_matched": "winnow.selectors.length_matched:LengthMatched",
    "sample": "winnow.selectors.gumbel:Sample",
    "betr": "winnow.selectors.target:Betr",
    "simcore": "winnow.selectors.target:SimCore",
    "got_d": "winnow.selectors.transport:GotD",
    "dsir": "winnow.selectors.dsir:Dsir",
    "dsir_resample": "winnow.selectors.dsir:DsirResample",
    "facility_location": "winnow.selectors.diverse:FacilityLocation",
    "graph_cut": "winnow.selectors.graph_cut:GraphCut",
    "log_det": "winnow.selectors.log_det:LogDet",
    "ingenious": "winnow.selectors.ingenious:Ingenious",
    "k_center_greedy": "winnow.selectors.k_center:KCenterGreedy",
    "herding": "winnow.selectors.herding:Herding",
    "top_k": "winnow.selectors.threshold:TopK",
    "threshold": "winnow.selectors.threshold:Threshold",
    "quantile": "winnow.selectors.quantile:Quantile",
    "per_group": "winnow.selectors.quantile:PerGroup",
    "quota": "winnow.selectors.quota:Quota",
    "concepts": "winnow.pipeline.concepts:Concepts",
    "hierarchical": "winnow.selectors.hierarchical:Hierarchical",
    "retrieve_tail": "winnow.selectors.tail:RetrieveTail",
    "metaclip": "winnow.selectors.metaclip:MetaClip",
    "clusters": "winnow.selectors.clusters:Clusters",
    "cluster_balanced": "winnow.selectors.clusters:ClusterBalanced",
    "semdedup": "winnow.selectors.semdedup:SemDeDup",
    "d4": "winnow.selectors.semdedup:D4",
    "redundancy": "winnow.selectors.redundancy:Redundancy",
    "mixture": "winnow.selectors.mixtures:Mixture",
    "doremi": "winnow.selectors.mixtures:Doremi",
    "upsample": "winnow.selectors.upsample:Upsample",
    "rehydrate": "winnow.selectors.rehydrate:Rehydrate",
    "buckets": "winnow.selectors.buckets:Buckets",
    "union": "winnow.selectors.set_algebra:Union",
    "intersect": "winnow.selectors.set_algebra:Intersect",
    "difference": "winnow.selectors.set_algebra:Difference",
    "phases": "winnow.selectors.phases:Phases",
    "age": "winnow.selectors.axes:Age",
    "domain": "winnow.selectors.axes:Domain",
    "overlap": "winnow.selectors.overlap:Overlap",
    "write": "winnow.pipeline.write:Write",
    "write_tokens": "winnow.trainers.write_tokens:WriteTokens",
    "target_file": "winnow.trainers.target_jobs:TargetFile",
    "ablation": "winnow.trainers.ablation:Ablation",
}

ALLOWED_PACKAGES = ("winnow.",)


def operator_class(name: str, *, where: str = "") -> type[Operator]:
    """The class behind a registered name. Raises ConfigError with the nearest names otherwise."""
    if name not in REGISTRY:
        hint = did_you_mean(name, REGISTRY) + "; `winnow list` prints all"
        raise ConfigError(f"unknown operator {name!r}", where=where, hint=hint)
    return class_at(REGISTRY[name])


def class_at(path: str) -> type[Operator]:
    """The operator class at `module:Class`; only winnow's own modules are imported this way."""
    module, _, attribute = path.partition(":")
    if not module.startswith(ALLOWED_PACKAGES):
        raise ConfigError(f"{path!r} is not an operator of winnow")
    found = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    assert isinstance(found, type)
    assert issubclass(found, Operator)
    return found


def path_of(cls: type[Operator]) -> str:
    """`module:Class` of an operator class."""
    return f"{cls.__module__}:{cls.__qualname__}"
