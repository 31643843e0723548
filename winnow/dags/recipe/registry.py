"""Names of operators -> where they live; nothing is imported until it is used."""

from __future__ import annotations

import importlib

from winnow.core.errors import ConfigError, did_you_mean
from winnow.core.operators import Derive, Operator
from winnow.core.operators.usercode import UserFunction
from winnow.dags.recipe.plugins import Plugin, plugins
from winnow.trainers.online.policies import INNER, POLICIES

READERS: dict[str, str] = {  # each says the suffixes of its files; of a folder the first that finds any
    "parquet": "winnow.pipeline.read.parquet:Parquet",
    "warc": "winnow.pipeline.read.warc:Warc",
    "html_files": "winnow.pipeline.read.html_files:HtmlFiles",
    "jsonl": "winnow.pipeline.read.jsonl:Jsonl",
    "json_array": "winnow.pipeline.read.json_array:JsonArray",
    "csv": "winnow.pipeline.read.csv_:Csv",
    "arrow": "winnow.pipeline.read.arrow:Arrow",
    "text_files": "winnow.pipeline.read.text_files:TextFiles",
}

REGISTRY: dict[str, str] = {  # room by room, as data flow
    **READERS,
    "python_topics": "winnow.pipeline.read.python_topics:PythonTopics",
    "concat": "winnow.pipeline.read.concat:Concat",
    "join": "winnow.pipeline.join.join:Join",
    "first_text": "winnow.pipeline.extract.first_text:FirstText",
    "main_text": "winnow.pipeline.extract.main_text:MainText",
    "neural_fit": "winnow.pipeline.extract.neural_fit:NeuralFit",
    "neural_file": "winnow.pipeline.extract.neural_file:NeuralFile",
    "neural": "winnow.pipeline.extract.neural:Neural",
    "resiliparse": "winnow.pipeline.extract.resiliparse_:Resiliparse",
    "trafilatura": "winnow.pipeline.extract.trafilatura_:Trafilatura",
    "signals": "winnow.pipeline.measure.signals:Signals",
    "language": "winnow.pipeline.measure.language:Language",
    "paragraph_languages": "winnow.pipeline.measure.paragraph_languages:ParagraphLanguages",
    "count_tokens": "winnow.pipeline.measure.count_tokens:CountTokens",
    "ngram_vectors": "winnow.pipeline.measure.ngram_vectors:NgramVectors",
    "simhash": "winnow.pipeline.measure.simhash:SimHash",
    "segment_scores": "winnow.pipeline.measure.segment_scores:SegmentScores",
    "named_entities": "winnow.pipeline.measure.named_entities:NamedEntities",
    "knn_graph": "winnow.pipeline.measure.knn_graph:KnnGraph",
    "concepts": "winnow.pipeline.measure.concepts:Concepts",
    "bad_words": "winnow.pipeline.measure.bad_words:BadWords",
    "licence": "winnow.pipeline.measure.licence:Licence",
    "math_signals": "winnow.pipeline.measure.math_signals:MathSignals",
    "opt_out": "winnow.pipeline.measure.opt_out:OptOut",
    "clusters": "winnow.pipeline.measure.clusters:Clusters",
    "overlap": "winnow.pipeline.measure.overlap:Overlap",
    "url_parts": "winnow.pipeline.url.url_parts:UrlParts",
    "url_lists": "winnow.pipeline.url.url_lists:UrlLists",
    "host_stats": "winnow.pipeline.url.host_stats:HostStats",
    "c4_lines": "winnow.pipeline.edit.c4_lines:C4Lines",
    "refinedweb_lines": "winnow.pipeline.edit.refinedweb_lines:RefinedWebLines",
    "boilerplate_lines": "winnow.pipeline.edit.boilerplate_lines:BoilerplateLines",
    "citation_marks": "winnow.pipeline.edit.citation_marks:CitationMarks",
    "drop_urls": "winnow.pipeline.edit.drop_urls:DropUrls",
    "mask_pii": "winnow.pipeline.edit.mask_pii:MaskPii",
    "repair_unicode": "winnow.pipeline.edit.repair_unicode:RepairUnicode",
    "drop_spans": "winnow.pipeline.edit.drop_spans:DropSpans",
    "rewrite": "winnow.pipeline.rewrite.rewrite:RewriteTexts",
    "faithful": "winnow.pipeline.rewrite.faithful:Faithful",
    "rewritten": "winnow.pipeline.rewrite.rewritten:Rewritten",
    "filter": "winnow.pipeline.filter.filter:Filter",
    "decontaminate": "winnow.pipeline.filter.decontaminate:Decontaminate",
    "eval_tasks": "winnow.pipeline.filter.eval_tasks:EvalTasks",
    "limits": "winnow.pipeline.filter.limits:Limits",
    "holdout": "winnow.pipeline.filter.holdout:Holdout",
    "exact": "winnow.pipeline.dedup.exact:Exact",
    "minhash": "winnow.pipeline.dedup.minhash:MinHash",
    "datasketch_index": "winnow.pipeline.dedup.datasketch_index:DatasketchIndex",
    "dedup_index": "winnow.pipeline.dedup.dedup_index:DedupIndex",
    "lsh_bloom": "winnow.pipeline.dedup.lsh_bloom:LshBloom",
    "ngram_bloom": "winnow.pipeline.dedup.ngram_bloom:NgramBloom",
    "semdedup": "winnow.pipeline.dedup.semdedup:SemDeDup",
    "redundancy": "winnow.pipeline.dedup.redundancy:Redundancy",
    "repeated_lines": "winnow.pipeline.dedup.repeated_lines:RepeatedLines",
    "repeated_substrings": "winnow.pipeline.dedup.repeated_substrings:RepeatedSubstrings",
    "repeated_ngrams": "winnow.pipeline.dedup.repeated_ngrams:RepeatedNgrams",
    "write": "winnow.pipeline.write.write:Write",
    "fasttext": "winnow.scorers.fasttext_:FastText",
    "url_score": "winnow.scorers.url_score:UrlScore",
    "fasttext_model": "winnow.scorers.fasttext_model:FastTextModel",
    "ngram_lm": "winnow.scorers.ngram_lm:NgramLm",
    "embed": "winnow.scorers.embed:Embed",
    "pair_score": "winnow.scorers.pair_score:PairScore",
    "vectors_from": "winnow.scorers.vectors_from:VectorsFrom",
    "classifier": "winnow.scorers.classifier:Classifier",
    "llm_annotate": "winnow.scorers.llm_annotate:LlmAnnotate",
    "llm_compare": "winnow.scorers.llm_compare:LlmCompare",
    "agreement": "winnow.scorers.agreement:Agreement",
    "doremi": "winnow.scorers.doremi:Doremi",
    "betr": "winnow.scorers.target.betr:Betr",
    "got_d": "winnow.scorers.target.got_d:GotD",
    "dsir": "winnow.scorers.target.dsir:Dsir",
    "random": "winnow.selectors.score.random_:Random",
    "length_matched": "winnow.selectors.score.length_matched:LengthMatched",
    "sample": "winnow.selectors.score.sample:Sample",
    "top_k": "winnow.selectors.score.top_k:TopK",
    "threshold": "winnow.selectors.score.threshold:Threshold",
    "quantile": "winnow.selectors.score.quantile:Quantile",
    "per_group": "winnow.selectors.score.per_group:PerGroup",
    "quota": "winnow.selectors.score.quota:Quota",
    "mixture": "winnow.selectors.score.mixture:Mixture",
    "upsample": "winnow.selectors.score.upsample:Upsample",
    "rehydrate": "winnow.selectors.score.rehydrate:Rehydrate",
    "buckets": "winnow.selectors.score.buckets:Buckets",
    "age": "winnow.selectors.score.age:Age",
    "domain": "winnow.selectors.score.domain:Domain",
    "facility_location": "winnow.selectors.coverage.facility_location:FacilityLocation",
    "graph_cut": "winnow.selectors.coverage.graph_cut:GraphCut",
    "log_det": "winnow.selectors.coverage.log_det:LogDet",
    "ingenious": "winnow.selectors.coverage.ingenious:Ingenious",
    "k_center_greedy": "winnow.selectors.coverage.k_center_greedy:KCenterGreedy",
    "herding": "winnow.selectors.coverage.herding:Herding",
    "simcore": "winnow.selectors.target.simcore:SimCore",
    "dsir_resample": "winnow.selectors.target.dsir_resample:DsirResample",
    "retrieve_tail": "winnow.selectors.target.retrieve_tail:RetrieveTail",
    "hierarchical": "winnow.selectors.balance.hierarchical:Hierarchical",
    "metaclip": "winnow.selectors.balance.metaclip:MetaClip",
    "cluster_balanced": "winnow.selectors.balance.cluster_balanced:ClusterBalanced",
    "d4": "winnow.selectors.balance.d4:D4",
    "union": "winnow.selectors.sets.union:Union",
    "intersect": "winnow.selectors.sets.intersect:Intersect",
    "difference": "winnow.selectors.sets.difference:Difference",
    "phases": "winnow.selectors.sets.phases:Phases",
    **POLICIES,
    "write_tokens": "winnow.trainers.data.write_tokens:WriteTokens",
    "model_file": "winnow.trainers.model.model_file:ModelFile",
    "causal_lm": "winnow.trainers.model.causal_lm:CausalLm",
    "target_file": "winnow.trainers.evaluate.target_file:TargetFile",
    "sample_text": "winnow.trainers.evaluate.sample_text:SampleText",
    "lm_nats": "winnow.trainers.evaluate.lm_nats:LmNats",
    "teacher_top_k": "winnow.trainers.evaluate.teacher_top_k:TeacherTopK",
    "token_losses": "winnow.trainers.evaluate.token_losses:TokenLosses",
    "training_feedback": "winnow.trainers.evaluate.training_feedback:TrainingFeedback",
    "disagreement": "winnow.trainers.evaluate.disagreement:Disagreement",
    "train": "winnow.trainers.ablation.train:TrainModel",
    "ablation": "winnow.trainers.ablation.ablation:Ablation",
    "skill_graph": "winnow.trainers.ablation.skill_graph:SkillGraph",
    "mixture_runs": "winnow.trainers.mixing.mixture_runs:MixtureRuns",
    "runs_table": "winnow.trainers.mixing.runs_table:RunsTable",
    "regmix": "winnow.trainers.mixing.regmix:RegMix",
    "climb": "winnow.trainers.mixing.climb:Climb",
    "meta_rater": "winnow.trainers.mixing.meta_rater:MetaRater",
    "regmix_d": "winnow.trainers.mixing.regmix_d:RegMixD",
    "swarm": "winnow.trainers.mixing.swarm:Swarm",
    "repetition_law": "winnow.trainers.mixing.repetition_law:RepetitionLaw",
    "mixing_law": "winnow.trainers.mixing.mixing_law:MixingLaw",
}

SUB_STAGES: dict[str, str] = {  # what composites expand into, and user functions: records name them, recipes do not
    "arms_overlap": "winnow.trainers.ablation.arms_overlap:ArmsOverlap",
    "check_feedback": "winnow.trainers.ablation.check_feedback:CheckFeedback",
    "check_starts": "winnow.trainers.ablation.check_starts:CheckStarts",
    "climb_step": "winnow.trainers.mixing.climb_step:ClimbStep",
    "collected_runs": "winnow.trainers.mixing.collected_runs:CollectedRuns",
    "causal_files": "winnow.trainers.model.causal_files:CausalFiles",
    "causal_nats": "winnow.trainers.evaluate.causal_nats:CausalNats",
    "compare_arms": "winnow.trainers.compare.compare_arms:Compare",
    "compare_variant": "winnow.trainers.compare.compare_variant:CompareVariant",
    "distil_gpt": "winnow.trainers.evaluate.distil_gpt:Distil",
    "drawn_text": "winnow.trainers.evaluate.drawn_text:DrawnText",
    "domain_sizes": "winnow.trainers.mixing.domain_sizes:DomainSizes",
    "drawn_mixture": "winnow.trainers.mixing.drawn_mixture:DrawnMixture",
    "encoder_vectors": "winnow.scorers.encoder_vectors:EncoderVectors",
    "evaluate_curve": "winnow.trainers.evaluate.evaluate_curve:EvaluateCurve",
    "evaluate_gpt": "winnow.trainers.evaluate.evaluate_gpt:Evaluate",
    "fasttext_classifier": "winnow.scorers.fasttext_classifier:FastTextClassifier",
    "fasttext_fit": "winnow.scorers.fasttext_fit:FastTextFit",
    "fasttext_score": "winnow.scorers.fasttext_score:FastTextScore",
    "feedback_columns": "winnow.trainers.evaluate.feedback_columns:FeedbackColumns",
    "fold_of_pool": "winnow.trainers.ablation.fold_of_pool:FoldOfPool",
    "function_scorer": "winnow.scorers.function_scorer:FunctionScorer",
    "function_selector": "winnow.selectors.function_selector:FunctionSelector",
    **INNER,
    "gpt_nats": "winnow.trainers.evaluate.gpt_nats:GptNats",
    "gpt_token_losses": "winnow.trainers.evaluate.gpt_token_losses:GptTokenLosses",
    "gpt_top_k": "winnow.trainers.evaluate.gpt_top_k:GptTopK",
    "halving_rung": "winnow.trainers.compare.halving_rung:Rung",
    "join_counts": "winnow.pipeline.join.join_counts:JoinCounts",
    "join_index": "winnow.pipeline.join.join_index:JoinIndex",
    "join_lookup": "winnow.pipeline.join.join_lookup:JoinLookup",
    "join_used": "winnow.pipeline.join.join_used:JoinUsed",
    "llm_compare_fit": "winnow.scorers.llm_compare_fit:LlmCompareFit",
    "llm_compare_score": "winnow.scorers.llm_compare_score:LlmCompareScore",
    "limits_fit": "winnow.pipeline.filter.limits_fit:LimitsFit",
    "limits_of": "winnow.pipeline.filter.limits_of:LimitsOf",
    "listed_mixture": "winnow.trainers.mixing.listed_mixture:ListedMixture",
    "lsh_keys": "winnow.pipeline.dedup.lsh_keys:LshKeys",
    "lsh_seen": "winnow.pipeline.dedup.lsh_seen:LshSeen",
    "minhash_check": "winnow.pipeline.dedup.minhash_check:Check",
    "minhash_clusters": "winnow.pipeline.dedup.minhash_clusters:Clusters",
    "minhash_clusters_earlier": "winnow.pipeline.dedup.minhash_clusters_earlier:EarlierClusters",
    "exact_hashes": "winnow.pipeline.dedup.exact_index:ExactHashes",
    "exact_index": "winnow.pipeline.dedup.exact_index:ExactIndex",
    "minhash_index": "winnow.pipeline.dedup.minhash_index:MinHashIndex",
    "minhash_seen": "winnow.pipeline.dedup.minhash_seen:Seen",
    "minhash_order": "winnow.pipeline.dedup.minhash_order:Order",
    "minhash_pairs": "winnow.pipeline.dedup.minhash_pairs:Pairs",
    "minhash_signatures": "winnow.pipeline.dedup.minhash_signatures:Signatures",
    "nats_columns": "winnow.trainers.evaluate.nats_columns:NatsColumns",
    "ngram_file": "winnow.scorers.ngram_file:NgramFile",
    "ngram_fit": "winnow.scorers.ngram_fit:NgramFit",
    "ngram_keys": "winnow.pipeline.dedup.ngram_keys:NgramKeys",
    "ngram_seen": "winnow.pipeline.dedup.ngram_seen:NgramSeen",
    "ngram_score": "winnow.scorers.ngram_score:NgramScore",
    "ngram_nats": "winnow.trainers.evaluate.ngram_nats:NgramNats",
    "ngram_scores": "winnow.trainers.evaluate.ngram_scores:NgramScores",
    "protected_matches": "winnow.pipeline.filter.protected_matches:ProtectedMatches",
    "protected_verdict": "winnow.pipeline.filter.protected_verdict:Verdict",
    "repeated_cut": "winnow.pipeline.dedup.repeated_cut:Cut",
    "repeated_lines_found": "winnow.pipeline.dedup.repeated_lines_found:Found",
    "substring_anchors": "winnow.pipeline.dedup.substring_anchors:Anchors",
    "substring_windows": "winnow.pipeline.dedup.substring_windows:Windows",
    "sample_scores": "winnow.trainers.evaluate.sample_scores:SampleScores",
    "score_moments": "winnow.trainers.mixing.score_moments:ScoreMoments",
    "skill_runs": "winnow.trainers.ablation.skill_runs:SkillRuns",
    "semantic_matches": "winnow.pipeline.filter.semantic_matches:SemanticMatches",
    "sequence_classifier": "winnow.scorers.sequence_classifier:SequenceClassifier",
    "soup_gpt": "winnow.trainers.evaluate.soup_gpt:Soup",
    "static_fit": "winnow.scorers.static_fit:StaticFit",
    "static_vectors": "winnow.scorers.static_vectors:StaticVectors",
    "target_base_rate": "winnow.trainers.compare.target_base_rate:BaseRate",
    "target_overlap": "winnow.trainers.ablation.target_overlap:TargetOverlap",
    "target_tokens": "winnow.trainers.evaluate.target_tokens:TargetTokens",
    "token_files": "winnow.trainers.data.token_files:TokenFiles",
    "token_multiplier": "winnow.trainers.compare.token_multiplier:TokenMultiplier",
    "tokenizer": "winnow.trainers.data.tokenizer:Tokenizer",
    "tokenizer_file": "winnow.trainers.data.tokenizer_file:TokenizerFile",
    "tokens": "winnow.trainers.data.tokens:Tokens",
    "trained_model": "winnow.trainers.ablation.trained_model:TrainedModel",
    "url_score_apply": "winnow.scorers.url_score_apply:UrlScoreApply",
    "url_score_fit": "winnow.scorers.url_score_fit:UrlScoreFit",
    "url_list_index": "winnow.pipeline.url.url_list_index:UrlListIndex",
    "url_list_lookup": "winnow.pipeline.url.url_list_lookup:UrlListLookup",
    "weighted_score": "winnow.trainers.mixing.weighted_score:WeightedScore",
    "train_gpt": "winnow.trainers.model.train_gpt:Train",
    "tuning_choice": "winnow.trainers.compare.tuning_choice:TuningChoice",
}

RENAMED: dict[str, str] = {  # name in an earlier version -> today's: records are read, recipes are told
    "document_loss": "lm_nats",
    "document_losses": "gpt_nats",
}


def operator_class(name: str, *, where: str = "") -> type[Operator]:
    """The class behind a registered name. Raises ConfigError with the nearest names otherwise."""
    if name in RENAMED and RENAMED[name] in REGISTRY:
        new = RENAMED[name]
        changed = class_at(REGISTRY[new]).former
        fields = "".join(f"; its field {old!r} is called {today!r} there" for old, today in changed.items())
        raise ConfigError(f"{name!r} is now called {new!r}", where=where, hint=f"write `use: {new}`{fields}")
    plugin = plugin_named(name) if name not in REGISTRY else None
    if plugin is not None:
        found = plugin.thing()
        if isinstance(found, UserFunction):
            raise ConfigError(f"{name!r} is a function of {plugin.told}", where=where, hint=f"use {plugin.target}")
        return found
    if name not in REGISTRY:
        hint = did_you_mean(name, known_names()) + "; `winnow list` prints all"
        raise ConfigError(f"unknown operator {name!r}", where=where, hint=hint)
    return class_at(REGISTRY[name])


def plugin_named(name: str) -> Plugin | None:
    """The plug-in of another package of this name; see `plugins`."""
    return plugins(_is_ours).get(name)


def known_names() -> list[str]:
    """Names of all operators, those of plug-ins last."""
    return [*REGISTRY, *(name for name in plugins(_is_ours) if name not in REGISTRY)]


def target_of(use: str) -> str:
    """What a recipe's `use` means: `module:name` where it names a function of a plug-in, else as it is.

    Raises: ConfigError where the plug-in cannot be used, or has a name of ours: nobody knows which of them is meant.
    """
    if use in REGISTRY and (clash := plugin_named(use)) is not None:
        clash.thing()
    plugin = None if ":" in use or function_named(use) is None else plugin_named(use)
    return plugin.target if plugin is not None else use


def function_named(name: str) -> UserFunction | None:
    """The function of the plug-in of this name; None where there is none, or it is a class.

    Raises: ConfigError where the plug-in cannot be used.
    """
    plugin = None if name in REGISTRY else plugin_named(name)
    found = plugin.thing() if plugin is not None else None
    return found if isinstance(found, UserFunction) else None


def plugin_code(operator: Operator) -> str:
    """The digest of the code of an operator of another package; empty for ours."""
    plugin = None if type(operator).__module__.startswith("winnow.") else plugin_named(operator.name)
    return plugin.code() if plugin is not None else ""


def _is_ours(name: str) -> bool:
    return name in REGISTRY or name in SUB_STAGES or name in RENAMED


def reader_suffixes() -> dict[str, tuple[str, ...]]:
    """Reader -> suffixes of the files that it takes. Cost: imports the readers."""
    readers = {name: class_at(path) for name, path in READERS.items()}
    return {name: cls.suffixes for name, cls in readers.items() if issubclass(cls, Derive)}


def reader_of(path: str) -> str:
    """The reader that the suffix of a file or glob names, `*.jsonl*` too; empty where none does."""
    named = path.rstrip("*?.")
    return next((name for name, suffixes in reader_suffixes().items() if named.endswith(suffixes)), "")


def class_named(name: str) -> type[Operator]:
    """The class behind a name in a record: a registered operator, a sub-stage, or a former name of one.

    Raises: ConfigError for a name that this version does not have.
    """
    today = RENAMED.get(name, name)
    path = REGISTRY.get(today) or SUB_STAGES.get(today)
    plugin = plugin_named(today) if path is None else None
    found = plugin.thing() if plugin is not None else None
    if isinstance(found, type):
        return found
    if path is None:
        hint = "it may be of another package, which is to be installed here too"
        raise ConfigError(f"this version of winnow has no operator {name!r}", hint=hint)
    return class_at(path)


def class_at(path: str) -> type[Operator]:
    """The operator class at `module:Class` of winnow."""
    module, _, attribute = path.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, type)
    assert issubclass(found, Operator)
    return found
