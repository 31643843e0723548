"""Signatures of all operators, for type checkers alone: methods of `Rows`, selections, fields of `read` and `ablate`.

Made from the operators by `make stubs`; nothing here is written by hand, and a test compares.
"""

# fmt: off

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, TypedDict, Unpack

from winnow.core.operators.budget import Budget
from winnow.core.operators.usercode import Selection
from winnow.dags.python.recipe import Lazy, Made

__all__ = [
    'age',
    'buckets',
    'cluster_balanced',
    'd4',
    'difference',
    'domain',
    'dsir_resample',
    'facility_location',
    'graph_cut',
    'herding',
    'hierarchical',
    'ingenious',
    'intersect',
    'k_center_greedy',
    'length_matched',
    'log_det',
    'metaclip',
    'mixture',
    'per_group',
    'phases',
    'quantile',
    'quota',
    'random',
    'rehydrate',
    'retrieve_tail',
    'sample',
    'simcore',
    'threshold',
    'top_k',
    'union',
    'upsample',
]

Whole: TypeAlias = int | str  # a whole number; "250k" and "5M" too
Wholes: TypeAlias = Whole | list[Whole] | tuple[Whole, ...]
Floats: TypeAlias = float | list[float] | tuple[float, ...]
Texts: TypeAlias = str | list[str] | tuple[str, ...]
Values: TypeAlias = list[Any] | tuple[Any, ...]
Amount: TypeAlias = float | str  # 300, or "5M", "20GB", "10%"
Files: TypeAlias = str | Path | list[str] | list[Path] | list[str | Path] | tuple[str | Path, ...]  # paths and globs
Ref: TypeAlias = Lazy | Selection | str | Path  # rows, a stage to be, a selection, or files
Refs: TypeAlias = Mapping[str, Ref] | Ref | list[str] | tuple[str, ...]  # by label

class Expect(TypedDict, total=False):
    """What is expected of a stage; checked when it is complete."""

    kept_share: float | list[float] | tuple[float, float]
    answered_share: float | list[float] | tuple[float, float]
    budget_filled: float | list[float] | tuple[float, float]
    max_items_found: float
    min_rows: int
    max_rows: int
    min_tokens: int
    max_tokens: int
    no_nulls: Texts
    unique: Texts
    between: Mapping[str, Floats]

class StageKeys(TypedDict, total=False):
    """Keys of every stage."""

    seed: int
    text: Texts
    max_bad_share: float
    strict: bool
    timeout_s: float
    expect: Expect

class RowKeys(StageKeys, total=False):
    """Keys of a stage over rows."""

    name: str
    where: str | None


class ReaderFields(StageKeys, total=False):
    """Fields of the readers, for `read`."""

    base: str
    source: str
    text_field: str
    id: str
    columns: Mapping[str, str | Mapping[str, str]]
    max_record_mb: Whole
    identity: Literal['content', 'stat']
    delimiter: str | None
    names: Texts
    quote: str
    escape: str
    encoding: str
    on_truncated: Literal['error', 'keep']
    url: str
    items: str
    half: Literal['a', 'b', 'all']
    min_bytes: Whole
    only: Texts
    exclude: Texts
    first: Texts
    max_bytes: Whole | None
    limit: str | None
    errors: Literal['bad', 'replace']
    index: Files
    types: Texts
    status: Texts
    mime: Texts

class AblationFields(TypedDict, total=False):
    """Fields of `ablation`, for `ablate`."""

    eval_bytes: Whole
    eval_share: float
    folds: bool
    refit: bool
    question: Literal['method', 'selection']
    soup: Mapping[str, Any] | None
    seeds: Whole
    tokens: Whole
    proxy: Literal['', 'screen', 'small', 'solid']
    aa: bool
    wanted: float
    reference: str
    learning_rates: Floats
    budgets: Wholes
    selection_flops: Mapping[str, float] | None
    scales: Texts
    scale_tokens: Literal['proportional', 'equal']
    ensemble: bool
    distil: bool
    student_size: str
    halving: Mapping[str, float] | None
    may_overlap: Texts
    size: str
    tokenizer_bytes: Whole
    policies: Refs | None
    tune: Mapping[str, Floats] | None
    tune_seeds: Whole
    tune_target: str
    start: Ref
    starts: Refs | None
    replay: Ref
    replay_share: float | Mapping[str, float]
    curve: Whole
    roles: Mapping[str, Literal['old', 'new', 'unseen']] | None
    stride: Whole
    flatness_probes: Whole
    flatness_tokens: Whole
    vocab: Whole
    width: Whole
    layers: Whole
    heads: Whole
    context: Whole
    batch: Whole
    optimizer: Literal['muon', 'adamw']
    lr_hidden: float
    lr_embedding: float
    lr_head: float
    lr_adamw: float
    weight_decay: float
    clip: float
    z_loss: float
    schedule: Literal['linear', 'cosine', 'constant', 'wsd', 'infinite']
    warmup_share: float
    cooldown_share: float
    decay_share: float
    decay_shape: Literal['linear', 'sqrt', 'exponential']
    constant_lr: float
    final_lr: float | None
    precision: Literal['auto', 'bf16', 'fp32']
    packing: Literal['best_fit', 'concat']
    weighting: Literal['loss', 'repeat']
    device: Literal['auto', 'cpu', 'cuda']
    compiled: bool
    loss_at: Wholes
    save_every: Whole
    name: str
    where: str | None
    max_bad_share: float
    strict: bool
    timeout_s: float
    expect: Expect

class AblationStage(AblationFields, total=False):
    """Fields and keys of `ablation`."""

    seed: int

class OperatorMethods:
    """One method per operator that reads rows: the stage it adds."""

    def ablation(
        self, *, eval_bytes: Whole = 0, eval_share: float = 0.1, folds: bool = False, refit: bool = False,
        question: Literal['method', 'selection'] = 'method', soup: Mapping[str, Any] | None = None, arms: Refs,
        baseline: Ref, eval: Refs, seeds: Whole = 6, tokens: Whole = 400000,
        proxy: Literal['', 'screen', 'small', 'solid'] = '', aa: bool = True, wanted: float = 0.0,
        reference: str = '', learning_rates: Floats = ..., budgets: Wholes = (),
        selection_flops: Mapping[str, float] | None = None, scales: Texts = (),
        scale_tokens: Literal['proportional', 'equal'] = 'proportional', ensemble: bool = False,
        distil: bool = False, student_size: str = '', halving: Mapping[str, float] | None = None,
        may_overlap: Texts = (), size: str = '', tokenizer_bytes: Whole = 8000000, policies: Refs | None = None,
        tune: Mapping[str, Floats] | None = None, tune_seeds: Whole = 2, tune_target: str = '', start: Ref = '',
        starts: Refs | None = None, replay: Ref = '', replay_share: float | Mapping[str, float] = 0.0,
        curve: Whole = 0, roles: Mapping[str, Literal['old', 'new', 'unseen']] | None = None, stride: Whole = 0,
        flatness_probes: Whole = 0, flatness_tokens: Whole = 4096, vocab: Whole = 4096, width: Whole = 96,
        layers: Whole = 3, heads: Whole = 3, context: Whole = 128, batch: Whole = 8,
        optimizer: Literal['muon', 'adamw'] = 'muon', lr_hidden: float = 0.02, lr_embedding: float = 0.02,
        lr_head: float = 0.008, lr_adamw: float = 0.004, weight_decay: float = 0.0, clip: float = 1.0,
        z_loss: float = 0.0, schedule: Literal['linear', 'cosine', 'constant', 'wsd', 'infinite'] = 'linear',
        warmup_share: float = 0.05, cooldown_share: float = 0.25, decay_share: float = 0.2,
        decay_shape: Literal['linear', 'sqrt', 'exponential'] = 'linear', constant_lr: float = 0.5,
        final_lr: float | None = None, precision: Literal['auto', 'bf16', 'fp32'] = 'auto',
        packing: Literal['best_fit', 'concat'] = 'best_fit', weighting: Literal['loss', 'repeat'] = 'loss',
        device: Literal['auto', 'cpu', 'cuda'] = 'auto', compiled: bool = False, loss_at: Wholes = (),
        save_every: Whole = 0, **stage: Unpack[RowKeys],
    ) -> Made:
        """Effect of each selection on held-out bits per byte, with an interval and an A/A control."""

    def age(
        self, *, by: str, since: str | Whole | None = None, until: str | Whole | None = None,
        budget: Budget | str | None = None, salt: str = '', tokens: Amount = ..., docs: Amount = ...,
        bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """The documents of a window of time: `kept`, and `weight` 1 or 0."""

    def agreement(
        self, *, scores: Ref, labels: Ref, label: str, at_least: float, score: str = 'score', on: Ref = '',
        **stage: Unpack[RowKeys],
    ) -> Made:
        """How well a score agrees with grades: `auc` in [0, 1] with its 95 % interval, `spearman` in [-1, 1], and counts."""

    def awr(
        self, *, score: str, task: Literal['', 'toxicity', 'pii', 'pep8'] = '', alpha: float = 0.5,
        beta: float = 10.0, most: float = 1000.0, value: Literal['sigmoid', 'linear'] = 'sigmoid',
        value_lr: float = 0.004, detach: bool = False, **stage: Unpack[RowKeys],
    ) -> Self:
        """Weights of tokens by their advantage A = R - V, alpha x min(exp(A / beta), 1000), beside a value V that learns R."""

    def bad_words(
        self, *, files: Files, of: Literal['language', 'all'] = 'language',
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Listed words in a text: how many, how many different ones, as a share in [0, 1] of its words, and the first."""

    def bandit(
        self, *, per: Texts, max_repeats: float = 4.0, update: Literal['odm', 'exp3'] = 'odm', decay: float = 0.9,
        gamma: float = 0.1, forget: float = 0.01, every: Whole = 1, **stage: Unpack[RowKeys],
    ) -> Self:
        """Shares by an adversarial bandit: the reward of a domain is the training loss of its rows in a step."""

    def betr(
        self, *, target: Ref, vectors: str = 'vector', center: bool = True,
        aggregate: Literal['best', 'mean'] = 'best', **stage: Unpack[RowKeys],
    ) -> Self:
        """Best (or mean) similarity rank of each document to any target text: `betr_score` in [0, 1], 1 is nearest."""

    def boilerplate_lines(
        self, *, by: Literal['lines', 'paragraphs'] = 'lines', languages: Texts = ..., phrases: Texts = (),
        longest: Whole = 600, **stage: Unpack[RowKeys],
    ) -> Self:
        """The text without lines about cookies, rights, sign-up and sharing; `boilerplate_share` of its bytes, in [0, 1]."""

    def buckets(
        self, *, scores: Texts, num: Whole = 20, combine: Literal['max', 'mean'] = 'max',
        count: Literal['tokens', 'bytes', 'docs'] = 'tokens', at_least: Whole = 0,
        mixture: Mapping[str, float] | None = None, budget: Budget | str | None = None, max_repeats: float = 1.0,
        tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ..., share: Amount = ...,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """The quality bucket of a document under several scorers: `bucket`, `kept`, and `weight`."""

    def c4_lines(
        self, *, end_marks: bool = True, min_words: Whole = 3, longest_word: Whole = 1000, javascript: bool = True,
        policy: bool = True, citations: bool = True, **stage: Unpack[RowKeys],
    ) -> Self:
        """The text without the lines that C4 drops; `c4_dropped_share`, of its bytes, in [0, 1], and a count per rule."""

    def causal_lm(self, *, folder: str, **stage: Unpack[RowKeys]) -> Made:
        """A causal language model of transformers in a folder on disk: weights in safetensors, config.json, tokenizer.json."""

    def citation_marks(self, *, numbers: bool = True, words: bool = True, **stage: Unpack[RowKeys]) -> Self:
        """The text without marks of references and editors in square brackets; `citation_marks` counts them."""

    def classifier(
        self, *, labels: Mapping[str, str] = ..., words: Literal['plain', 'spaced'] = 'plain',
        max_length: Whole = 0, device: Literal['auto', 'cpu', 'cuda'] = 'auto', preset: str = '', model: str = '',
        revision: str = '', file: str = '', label: str = '', top: bool | None = None,
        activation: Literal['auto', 'softmax', 'sigmoid', 'none'] | None = None, download: bool = False,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Scores by a given model: a transformer with a classification or regression head, or a fastText file."""

    def climb(
        self, *, stride: Whole = 0, flatness_probes: Whole = 0, flatness_tokens: Whole = 4096, vocab: Whole = 4096,
        width: Whole = 96, layers: Whole = 3, heads: Whole = 3, context: Whole = 128, batch: Whole = 8,
        optimizer: Literal['muon', 'adamw'] = 'muon', lr_hidden: float = 0.02, lr_embedding: float = 0.02,
        lr_head: float = 0.008, lr_adamw: float = 0.004, weight_decay: float = 0.0, clip: float = 1.0,
        z_loss: float = 0.0, schedule: Literal['linear', 'cosine', 'constant', 'wsd', 'infinite'] = 'linear',
        warmup_share: float = 0.05, cooldown_share: float = 0.25, decay_share: float = 0.2,
        decay_shape: Literal['linear', 'sqrt', 'exponential'] = 'linear', constant_lr: float = 0.5,
        final_lr: float | None = None, precision: Literal['auto', 'bf16', 'fp32'] = 'auto',
        packing: Literal['best_fit', 'concat'] = 'best_fit', weighting: Literal['loss', 'repeat'] = 'loss',
        device: Literal['auto', 'cpu', 'cuda'] = 'auto', compiled: bool = False, loss_at: Wholes = (),
        save_every: Whole = 0, eval: Refs, tokens: Whole = 400000, size: str = '', tokenizer_bytes: Whole = 8000000,
        eval_bytes: Whole = 0, may_overlap: Texts = (), curve: Whole = 0, temperature: float = 0.5,
        strength: Floats = ..., min_share: float = 0.002, frozen: Mapping[str, float] | None = None,
        model: Literal['lightgbm', 'linear'] = 'lightgbm', simulated: Whole = 100000, best: Whole = 100,
        mixture: Ref, iterations: Wholes = ..., keep: float = 0.1, **stage: Unpack[RowKeys],
    ) -> Made:
        """Shares of a mixture by iterated runs: the result's `weights`, adding up to 1, for `mixture: {weights_from: ...}`."""

    def cluster_balanced(
        self, *, budget: Budget | str = ..., by: str = 'cluster', beta: float = 1.0, salt: str = '',
        tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ..., share: Amount = ...,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """A draw that evens clusters out: `kept`, and `weight` 1 or 0; a document's odds are 1 / |cluster|^beta."""

    def clusters(
        self, *, num: Whole = 0, vectors: str = 'vector', iterations: Whole = 20, center: bool = False,
        salt: str = '', **stage: Unpack[RowKeys],
    ) -> Self:
        """The cluster of each document by direction: `cluster` from 0, and `cluster_similarity` to its centre."""

    def concepts(
        self, *, files: Files, ignore_case: bool = False, punctuation: str = ',.;:?!`', head: Whole = 0,
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Entries of a dictionary that a text holds: `concepts`, their line numbers, and `concept_hits`, how often."""

    def conditional(
        self, *, per: Literal['document', 'line', 'sentence'] = 'document', score: str = '', at: float = 0.5,
        label: Texts = (), controls: Whole = 16, ask_for: Texts = (), drop: float = 0.01, salt: str = '',
        learn_controls: bool = True, **stage: Unpack[RowKeys],
    ) -> Self:
        """The label of each document's control token, `control`: "" where none is drawn, null where there is no score."""

    def count_tokens(
        self, *, tokenizer: str = 'bytes/4', tokenizer_file: Files = (),
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Number of tokens of each document: `token_count`; 0 for empty text, null where the text is null."""

    def curriculum(
        self, *, by: str, descending: bool = False, buckets: Whole = 10, within: Texts = (),
        opening: Literal['in_turn', 'growing'] = 'in_turn', pacing: float = 1.0, **stage: Unpack[RowKeys],
    ) -> Self:
        """Rows in the order of `by`, lowest values first: buckets of equal numbers of tokens, shuffled inside of each."""

    def d4(
        self, *, share: float, dedup_share: float = 0.75, clusters: Whole = 0,
        order: Literal['hard', 'easy', 'random'] = 'hard', vectors: str = 'vector', iterations: Whole = 20,
        salt: str = '', **stage: Unpack[RowKeys],
    ) -> Self:
        """A share of the documents without near-duplicates and prototypes: `kept`, `weight`, `d4_removed_by`."""

    def datasketch_index(
        self, *, num_bands: Whole = 14, rows_per_band: Whole = 8, ngram: Whole = 5,
        sketch: Literal['winnow', 'datasketch_affine32', 'datasketch_legacy'] = 'winnow', files: Files,
        key: str = 'key', signature: str = 'minhash', identity: Literal['content', 'stat'] = 'content',
        **stage: Unpack[RowKeys],
    ) -> Made:
        """The index of MinHash signatures in Parquet files: a key, and the bytes of a `LeanMinHash` (`lean.serialize`)."""

    def decontaminate(
        self, *, ngram: Whole = 13, shortest: Whole = 5, near: float = 0.35, against: Ref, vectors: str = 'vector',
        similarity: float = 0.9, max_ngrams: Whole = 0, against_vectors: Ref = '', **stage: Unpack[RowKeys],
    ) -> Self:
        """Drops documents that repeat held-out items: runs of their words, short items whole, near copies of longer ones."""

    def dedup_index(self, *, lean_minhash: bool = False, of: Ref, **stage: Unpack[RowKeys]) -> Made:
        """The index of an `exact` or a `minhash`, for `against: RUN/STAGE` in later recipes: hashes or signatures, no text."""

    def difference(self, *, of: Texts, weights: Texts = (), **stage: Unpack[RowKeys]) -> Self:
        """The documents that the first selection keeps and none of the others: `kept`, and its weight."""

    def disagreement(self, *, of: Texts, **stage: Unpack[RowKeys]) -> Self:
        """Variance of several numbers of each document over their columns, at least 0: what an ensemble does not agree on."""

    def doge(
        self, *, per: Texts, max_repeats: float = 4.0, feedback: Refs = (), eta: float = 1.0,
        smoothing: float = 0.001, every: Whole = 50, probe_rows: Whole = 4, **stage: Unpack[RowKeys],
    ) -> Self:
        """Shares that rise for domains whose gradient points where the mean gradient of all domains points."""

    def domain(
        self, *, by: str, include: Texts = (), exclude: Texts = (), match: Literal['value', 'host'] = 'value',
        budget: Budget | str | None = None, salt: str = '', absent: Literal['error', 'remark'] = 'error',
        tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ..., share: Amount = ...,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """The documents of some domains, or of all others: `kept`, and `weight` 1 or 0."""

    def doremi(
        self, *, per: Texts, proxy: str, reference: str, length: str = 'token_count', steps: Whole = 200,
        eta: float = 1.0, smoothing: float = 0.001, salt: str = '', **stage: Unpack[RowKeys],
    ) -> Made:
        """Shares of domains by where a proxy model has most to learn: the result's `weights`, adding up to 1."""

    def doremi_proxy(
        self, *, per: Texts, max_repeats: float = 4.0, reference: str, eta: float = 1.0, smoothing: float = 0.001,
        every: Whole = 1, **stage: Unpack[RowKeys],
    ) -> Self:
        """Shares that rise with the excess loss of a domain over a reference model's: group DRO on the run itself."""

    def drop_spans(
        self, *, stops: str, starts: str | None = None, scores: str | None = None, at_least: float | None = None,
        by: str = '', **stage: Unpack[RowKeys],
    ) -> Self:
        """The text without the byte spans that other columns list; `dropped_share`, of its bytes, in [0, 1]."""

    def drop_urls(self, *, what: Literal['lines', 'all'] = 'lines', by: str = '', **stage: Unpack[RowKeys]) -> Self:
        """The text without lines that hold nothing but addresses, or without any address; `urls_dropped` counts."""

    def dsir(
        self, *, target: Ref, num_buckets: Whole = 10000, ngrams: Whole = 2,
        hash: Literal['fast', 'sha256'] = 'fast', per: Literal['document', 'ngram'] = 'document',
        min_words: Whole = 100, smoothing: float = 0.0, **stage: Unpack[RowKeys],
    ) -> Self:
        """Log importance weight of each text toward a target: `dsir_log_weight` f64, `dsir_words` int32."""

    def dsir_resample(
        self, *, by: str = 'dsir_log_weight', budget: Budget | str = ..., temperature: float = 1.0,
        normalise: Literal['none', 'z'] = 'none', salt: str = '', per: Texts = (),
        quota: Literal['proportional', 'equal'] | Mapping[str, float] = 'proportional',
        absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
        share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents drawn in proportion to their importance weight toward a target: `kept`, `weight` 1 or 0."""

    def embed(
        self, *, dim: Whole = 128, num_buckets: Whole = 32768, sample_documents: Whole = 20000,
        max_length: Whole = 0, device: Literal['auto', 'cpu', 'cuda'] = 'auto', model: str = '', table: Ref = '',
        pooling: Literal['auto', 'mean', 'first', 'last'] = 'auto', **stage: Unpack[RowKeys],
    ) -> Self:
        """Direction of each text: `vector`, `dim` int16 of length 2048 (2 bytes per number, exact products)."""

    def eval_tasks(
        self, *, files: Files, fields: Texts = (), identity: Literal['content', 'stat'] = 'content',
        **stage: Unpack[RowKeys],
    ) -> Made:
        """The items of evaluation files, each a question with its right answer, for `decontaminate: {against: ...}`."""

    def exact(
        self, *, by: str = 'text_hash',
        form: Literal['bytes', 'nfc', 'fold', 'no_space', 'words', 'c_code', 'script_code'] = 'bytes',
        per: Texts = (), soft: Literal['weights'] | None = None, keeper: str = 'smallest_id', against: Files = (),
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Rows with the same text are one document, or with the same value of the column `by`; one of them is kept."""

    def extremes(
        self, *, r: float = 1.0, warm_steps: Whole = 0, warm_share: float = 0.0, r_start: float = 0.0,
        fade_share: float = 0.0, bounds: Literal['step', 'ema', 'quantiles'] = 'step',
        per: Literal['token', 'sample'] = 'token', delta: float = 1.0, **stage: Unpack[RowKeys],
    ) -> Made:
        """Weights of samples that are least in the middle of the step's losses and rise to both ends."""

    def facility_location(
        self, *, budget: Budget | str = ..., cost_aware: bool = True,
        method: Literal['auto', 'lazy', 'threshold', 'stochastic', 'partitioned', 'sampled'] = 'auto',
        epsilon: float = 0.1, num_parts: Whole = 0, part: str = '', salt: str = '', node: str = 'node',
        neighbors: str = 'neighbors', similarities: str = 'similarities', demand: Whole = 2000,
        demand_by: Literal['budget', 'docs'] = 'budget', vectors: str = 'vector', tokens: Amount = ...,
        docs: Amount = ..., bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents that cover the others best within a budget: `kept`, `weight` 1 or 0, and why."""

    def faithful(
        self, *, source: str = 'text', rewritten: str = 'rewritten', recovered: str = '', min_length: float = 0.1,
        max_length: float = 3.0, min_words: float = 0.2, max_new_words: float = 0.5, min_numbers: float = 0.5,
        max_new_numbers: Whole = 0, max_new_names: Whole = 2, max_copied: float = 0.95, min_recovered: float = 0.3,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Whether a rewritten text is true to its source: shares of words, numbers, names, and `faithful` by limits on them."""

    def fasttext(
        self, *, positive: Ref, negative: Ref = '', dim: Whole = 32, word_ngrams: Whole = 2, bucket: Whole = 200000,
        epoch: Whole = 3, lr: float = 0.2, negatives: Whole = 2000, chunk_words: Whole = 120,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Probability in [0, 1] that a document is like the `positive` documents rather than like the pool."""

    def fasttext_model(
        self, *, words: Literal['plain', 'spaced'] = 'plain', model_file: Files, label: str,
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Probability in [0, 1] of one label under any fastText classifier file; null where the text is null."""

    def filter(self, *, keep: Mapping[str, str] = ..., preset: Texts = (), **stage: Unpack[RowKeys]) -> Self:
        """Which rows pass named rules: SQL over columns, or a preset (Gopher, C4, FineWeb, strict prose)."""

    def filtering(
        self, *, score: str, task: Literal['', 'toxicity', 'pii', 'pep8'] = '', tau: float | None = None,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents of a score up to `tau` alone: `kept`, and `weight` 1 or 0, the same at every step."""

    def first_text(self, *, texts: Texts, passes: Texts = (), best: Texts = (), **stage: Unpack[RowKeys]) -> Self:
        """Of several texts of each document the first that passes its rule, or the best of those that do."""

    def got_d(
        self, *, target: Ref, vectors: str = 'vector', center: bool = True, sample: Whole = 20000,
        target_sample: Whole = 2000, epsilon: float = 0.01, contrast: bool = False, **stage: Unpack[RowKeys],
    ) -> Self:
        """How much a document's mass pulls the pool toward a target: `got_d` f64, higher is better."""

    def gradient_gram(
        self, *, per: Texts, max_repeats: float = 4.0, eta: float = 1.0, decay: float = 0.5, every: Whole = 50,
        probe_rows: Whole = 4, p_min: float | None = None, **stage: Unpack[RowKeys],
    ) -> Self:
        """Shares in proportion to size x exp(eta x G q): G_ij = <g_i, g_j> of the domains' gradients, q their sizes."""

    def graph_cut(
        self, *, budget: Budget | str = ..., redundancy: float = 0.4, cost_aware: bool = True, node: str = 'node',
        neighbors: str = 'neighbors', similarities: str = 'similarities', tokens: Amount = ..., docs: Amount = ...,
        bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents that resemble many others and not each other: `kept`, `weight` 1 or 0, `rank_selected`, `gain`."""

    def group_dro(
        self, *, per: Texts, step_size: float = 0.01, adjustment: float = 0.0, **stage: Unpack[RowKeys],
    ) -> Self:
        """Weights of groups of documents that follow their losses: shares q rise by exp(step_size x loss) at every step."""

    def herding(
        self, *, budget: Budget | str = ..., vectors: str = 'vector', tokens: Amount = ..., docs: Amount = ...,
        bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents whose mean vector stays nearest to that of all: `kept`, `weight` 1 or 0, `rank_selected`, `gain`."""

    def hierarchical(
        self, *, budget: Budget | str = ..., levels: Wholes, rounds: Whole = 0, nearest: Wholes = ...,
        leaf: Literal['lot', 'closest'] = 'lot', max_repeats: Whole = 1, vectors: str = 'vector',
        iterations: Whole = 20, salt: str = '', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
        share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """A sample through a tree of clusters: `kept`, `weight`, the times used, and `cluster`, the finest one."""

    def holdout(
        self, *, share: float, min_bytes: Whole = 0, max_bytes: Whole | None = None, per: Texts = (),
        without_key: Literal['alone', 'pool'] = 'alone', salt: str = 'holdout', **stage: Unpack[RowKeys],
    ) -> Self:
        """Sets a share of the documents aside: `kept` is what stays in the pool, `held_out` what does not."""

    def host_stats(self, *, column: str = 'url_domain', tokens: bool = False, **stage: Unpack[RowKeys]) -> Self:
        """Of the site of every document: `host_documents`, `host_bytes` of text and, with `tokens`, `host_tokens`."""

    def ingenious(
        self, *, budget: Budget | str = ..., redraws: Whole = 1, temperature: float = 1.0,
        normalise: Literal['none', 'max', 'rank'] = 'none', group: str = '', salt: str = '', node: str = 'node',
        neighbors: str = 'neighbors', similarities: str = 'similarities', tokens: Amount = ..., docs: Amount = ...,
        bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents drawn by what they add to coverage, `redraws` times: `kept`, `weight`, `gain`, `prob`, `drawn`."""

    def intersect(self, *, of: Texts, weights: Texts = (), **stage: Unpack[RowKeys]) -> Self:
        """The documents that all of the selections keep: `kept`, and the smallest of their weights."""

    def join(
        self, *, files: Files, key: str, on: str = 'doc_id', columns: Mapping[str, str] = ...,
        duplicates: Literal['error', 'first'] = 'error', source: str = '',
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Annotations from Parquet or JSONL files as columns, and `matched`: whether a document has one."""

    def k_center_greedy(
        self, *, budget: Budget | str = ..., vectors: str = 'vector', center: bool = True, tokens: Amount = ...,
        docs: Amount = ..., bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents with none far from a kept one: `kept`, `weight` 1 or 0, `rank_selected`, `gain`."""

    def knn_graph(
        self, *, vectors: str = 'vector', k: Whole = 32, center: bool = True, exact_rows: Whole = 50000,
        num_lists: Whole = 0, num_probes: Whole = 32, min_recall: float = 0.8,
        index: Literal['auto', 'exact', 'ivf', 'hnsw'] = 'auto', m: Whole = 32, ef_construction: Whole = 40,
        ef_search: Whole = 64, **stage: Unpack[RowKeys],
    ) -> Self:
        """Each document's `k` most similar others: `neighbors` (numbers), `similarities`, its own number `node`."""

    def language(
        self, *, model_file: Files = (), languages: Texts = (), codes: Literal['labels', 'short'] = 'labels',
        sample: Literal['staged', 'spread', 'whole'] = 'staged', max_chars: Whole = 3000,
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Language of a document: an ISO 639 code and its probability in [0, 1]."""

    def length_matched(self, *, like: Ref = '', salt: str = '', **stage: Unpack[RowKeys]) -> Self:
        """Documents drawn by lot with the lengths of another selection: `kept`, and `weight` 1 or 0."""

    def licence(self, *, head: Whole = 8000, **stage: Unpack[RowKeys]) -> Self:
        """The licence of a file, as SPDX names it: `licence`, and whether it is a permissive one, `licence_permissive`."""

    def limits(
        self, *, per: str = 'language', most: Mapping[str, str | float] = ...,
        least: Mapping[str, str | float] = ..., base: str = '', min_docs: Whole = 100, docs: Whole = 10000,
        preset: str = '', reference: Refs = (), **stage: Unpack[RowKeys],
    ) -> Self:
        """Limits for every document from the numbers of its group, such as its language: `most_COLUMN`, `least_COLUMN`."""

    def lin_upper(
        self, *, r: float = 1.0, warm_steps: Whole = 0, warm_share: float = 0.0, r_start: float = 0.0,
        fade_share: float = 0.0, bounds: Literal['step', 'ema', 'quantiles'] = 'step',
        per: Literal['token', 'sample'] = 'token', delta: float = 1.0, **stage: Unpack[RowKeys],
    ) -> Made:
        """Weights of samples that rise with their loss and are equal for the higher half: low losses are learned already."""

    def llm_annotate(
        self, *, endpoint: str, model: str, known_as: str = '', key_env: str = '', temperature: float = 0.0,
        max_tokens: Whole = 512, token_cap: Whole | None = None, cost_cap: float | None = None,
        price_in: float = 0.0, price_out: float = 0.0, concurrency: Whole = 8, request_s: float = 60.0,
        patience_s: float = 120.0, unanswered: Literal['stop', 'skip'] = 'stop', allow_http: bool = False,
        rubric: Files, answer: Mapping[str, Any], slots: Texts = (), max_chars: Whole = 8000,
        long: Literal['head', 'ends'] = 'head', tries: Whole = 3,
        response_format: Literal['json_schema', 'json_object', 'none'] = 'json_schema', most_invalid: float = 0.5,
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Columns of a language model's answer to a rubric, one per property of `answer`; null where there is none."""

    def llm_compare(
        self, *, endpoint: str, model: str, known_as: str = '', key_env: str = '', temperature: float = 0.0,
        max_tokens: Whole = 50, token_cap: Whole | None = None, cost_cap: float | None = None,
        price_in: float = 0.0, price_out: float = 0.0, concurrency: Whole = 8, request_s: float = 60.0,
        patience_s: float = 120.0, unanswered: Literal['stop', 'skip'] = 'stop', allow_http: bool = False,
        rubric: Files, documents: Whole = 1000, comparisons: Whole = 8, max_chars: Whole = 4000,
        long: Literal['head', 'ends'] = 'head',
        response_format: Literal['json_schema', 'json_object', 'none'] = 'json_schema',
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Strength of each of a sample's documents by a language model's comparisons, `score`; null for all others."""

    def lm_nats(
        self, *,
        measures: Literal['nll', 'scored_tokens', 'bits_per_byte', 'nats_per_token', 'token_variance', 'token_max', 'learnable_median', 'top_k_share', 'el2n'] | list[Literal['nll', 'scored_tokens', 'bits_per_byte', 'nats_per_token', 'token_variance', 'token_max', 'learnable_median', 'top_k_share', 'el2n']] | tuple[Literal['nll', 'scored_tokens', 'bits_per_byte', 'nats_per_token', 'token_variance', 'token_max', 'learnable_median', 'top_k_share', 'el2n'], ...] = ...,
        context: Whole = 0, stride: Whole = 0, top_k: Whole = 10, least_learnable: Whole = 16,
        precision: Literal['auto', 'bf16', 'fp32'] = 'auto', device: Literal['auto', 'cpu', 'cuda'] = 'auto',
        model: Ref = '', models: Refs | None = None, at: Mapping[str, Whole] | None = None,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Loss of each document under language models: `nll` in nats, `bits_per_byte`, `nats_per_token`; less is likelier."""

    def log_det(
        self, *, budget: Budget | str = ..., vectors: str = 'vector', ridge: float = 1.0, center: bool = True,
        cost_aware: bool = True, tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ..., share: Amount = ...,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents whose vectors span the most volume: `kept`, `weight` 1 or 0, `rank_selected`, `gain`."""

    def lsh_bloom(
        self, *, ngram: Whole = 5, sketch: Literal['winnow', 'datasketch_affine32', 'datasketch_legacy'] = 'winnow',
        num_bands: Whole = 14, rows_per_band: Whole = 8, capacity: Whole | None = None,
        false_positive_rate: float = 0.01, keeper: str = 'smallest_id', per: Texts = (), **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents but those that share a MinHash band with an earlier kept one: `kept`; `seen_bands`, how many."""

    def main_text(
        self, *, html: str = '', max_page: str = '20MB', markdown: Texts = (), least: float = -0.5,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Main text of web pages by a learned decision for each block: `text`, empty where none was found, and `title`."""

    def mask_pii(
        self, *,
        kinds: Literal['email', 'phone', 'ip', 'iban', 'card'] | list[Literal['email', 'phone', 'ip', 'iban', 'card']] | tuple[Literal['email', 'phone', 'ip', 'iban', 'card'], ...] = ...,
        ids: Texts = (), shapes: Mapping[str, str] = ..., style: Literal['mask', 'form'] = 'mask',
        mask: str = '<{}>', private_ips: bool = False, bare_phones: bool = False, **stage: Unpack[RowKeys],
    ) -> Self:
        """The text with personal data masked; how many of each kind: `pii_email`, `pii_phone`, ..., in all `pii_count`."""

    def math_signals(self, *, column: str = 'text', **stage: Unpack[RowKeys]) -> Self:
        """How much mathematics a page or text holds: keywords of pages, LaTeX commands, formulas, words of mathematics."""

    def meta_rater(
        self, *, stride: Whole = 0, flatness_probes: Whole = 0, flatness_tokens: Whole = 4096, vocab: Whole = 4096,
        width: Whole = 96, layers: Whole = 3, heads: Whole = 3, context: Whole = 128, batch: Whole = 8,
        optimizer: Literal['muon', 'adamw'] = 'muon', lr_hidden: float = 0.02, lr_embedding: float = 0.02,
        lr_head: float = 0.008, lr_adamw: float = 0.004, weight_decay: float = 0.0, clip: float = 1.0,
        z_loss: float = 0.0, schedule: Literal['linear', 'cosine', 'constant', 'wsd', 'infinite'] = 'linear',
        warmup_share: float = 0.05, cooldown_share: float = 0.25, decay_share: float = 0.2,
        decay_shape: Literal['linear', 'sqrt', 'exponential'] = 'linear', constant_lr: float = 0.5,
        final_lr: float | None = None, precision: Literal['auto', 'bf16', 'fp32'] = 'auto',
        packing: Literal['best_fit', 'concat'] = 'best_fit', weighting: Literal['loss', 'repeat'] = 'loss',
        device: Literal['auto', 'cpu', 'cuda'] = 'auto', compiled: bool = False, loss_at: Wholes = (),
        save_every: Whole = 0, eval: Refs, tokens: Whole = 400000, size: str = '', tokenizer_bytes: Whole = 8000000,
        eval_bytes: Whole = 0, may_overlap: Texts = (), curve: Whole = 0, scores: Mapping[str, str],
        model: Literal['lightgbm', 'linear'] = 'lightgbm', simulated: Whole = 100000, best: Whole = 100,
        selection: Ref, runs: Whole = 64, **stage: Unpack[RowKeys],
    ) -> Self:
        """A weighted sum of scores, `meta_rater`, whose weights are those that proxy runs predict to be best."""

    def metaclip(
        self, *, t: Whole | None = None, tail_share: float | None = None, concepts: str = 'concepts',
        hits: str = 'concept_hits', stop_share: float = 1.0, top: Whole = 0,
        odds: Literal['any', 'max', 'mean'] = 'any', count: Literal['docs', 'tokens'] = 'docs', salt: str = '',
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Texts kept by how rare their concepts are: `kept`, `weight` 1 or 0, and `metaclip_odds` in [0, 1]."""

    def minhash(
        self, *, threshold: float = 0.75, ngram: Whole = 5,
        sketch: Literal['winnow', 'datasketch_affine32', 'datasketch_legacy'] = 'winnow', num_bands: Whole = 14,
        rows_per_band: Whole = 8, all_pairs: bool = False, per: Texts = (), keeper: str = 'longest',
        contained: float | None = None, linkage: Literal['leader', 'components'] = 'leader', against: Files = (),
        soft: Literal['weights'] | None = None, check: bool = True,
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Near-duplicates by MinHash, every pair verified by exact Jaccard; one document of a cluster is kept."""

    def mixing_law(
        self, *, runs: Ref, targets: Mapping[str, float] | Texts = (), prior: Mapping[str, float] | None = None,
        budget: Budget | str | None = None, sizes: Mapping[str, float] | None = None, max_repeats: float = 4.0,
        folds: Whole = 5, at_tokens: Whole = 0, tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
        share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Made:
        """Shares of a mixture by the exponential mixing law: the result's `weights`, for `mixture: {weights_from: ...}`."""

    def mixture(
        self, *, per: Texts, budget: Budget | str = ...,
        shares: Literal['unimax', 'temperature', 'alpha', 'proportional', 'equal'] | Mapping[str, float] = 'unimax',
        temperature: float = 1.0, alpha: float = 1.0, least: Whole = 0, weights_from: Ref = '',
        most: Mapping[str, float] = ..., without: str = '', max_repeats: float = 4.0,
        overflow: Literal['share', 'leave'] = 'share', by: str | None = None, descending: bool = True,
        salt: str = '', absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ...,
        bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """A budget mixed from the values of a column, with a cap on repeats: `kept`, and `weight`, the times used."""

    def mixture_runs(
        self, *, stride: Whole = 0, flatness_probes: Whole = 0, flatness_tokens: Whole = 4096, vocab: Whole = 4096,
        width: Whole = 96, layers: Whole = 3, heads: Whole = 3, context: Whole = 128, batch: Whole = 8,
        optimizer: Literal['muon', 'adamw'] = 'muon', lr_hidden: float = 0.02, lr_embedding: float = 0.02,
        lr_head: float = 0.008, lr_adamw: float = 0.004, weight_decay: float = 0.0, clip: float = 1.0,
        z_loss: float = 0.0, schedule: Literal['linear', 'cosine', 'constant', 'wsd', 'infinite'] = 'linear',
        warmup_share: float = 0.05, cooldown_share: float = 0.25, decay_share: float = 0.2,
        decay_shape: Literal['linear', 'sqrt', 'exponential'] = 'linear', constant_lr: float = 0.5,
        final_lr: float | None = None, precision: Literal['auto', 'bf16', 'fp32'] = 'auto',
        packing: Literal['best_fit', 'concat'] = 'best_fit', weighting: Literal['loss', 'repeat'] = 'loss',
        device: Literal['auto', 'cpu', 'cuda'] = 'auto', compiled: bool = False, loss_at: Wholes = (),
        save_every: Whole = 0, eval: Refs, tokens: Whole = 400000, size: str = '', tokenizer_bytes: Whole = 8000000,
        eval_bytes: Whole = 0, may_overlap: Texts = (), curve: Whole = 0, temperature: float = 0.5,
        strength: Floats = ..., min_share: float = 0.002, frozen: Mapping[str, float] | None = None, mixture: Ref,
        runs: Whole = 64, **stage: Unpack[RowKeys],
    ) -> Made:
        """A table of proxy runs on drawn mixtures, for `regmix`, `swarm`, `mixing_law` and the other fits."""

    def model_file(
        self, *, files: Files, size: str = '', heads: Whole = 0, context: Whole = 0, tokens: Whole = 0,
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Made:
        """A trained model from files: weights (.safetensors or .npz), tokenizer.json, and its shape."""

    def named_entities(
        self, *, engine: Literal['spacy', 'presidio', 'gliner'], model: Files = (), package: str = '',
        labels: Texts = (), persons: Texts = ..., min_score: float = 0.4, language: str = '', exclude: Texts = (),
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Spans that a recogniser of the user's finds: names of persons, places, organisations, what its labels are."""

    def neural(
        self, *, html: str = '', max_page: str = '20MB', markdown: Texts = (), model: Ref, least: float = 0.0,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Main text of web pages by a network that decides on every text node: `text`, empty where none was found, `title`."""

    def neural_file(
        self, *, files: Files, identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Made:
        """The model of a `neural` extractor, from the file that a `neural_fit` wrote: checked and copied."""

    def neural_fit(
        self, *, html: str = 'html', gold: str = 'text', epochs: Whole = 4, rate: float = 0.002, width: Whole = 64,
        layers: Whole = 2, sample_documents: Whole = 5000, **stage: Unpack[RowKeys],
    ) -> Made:
        """A network for the extractor `neural`, from pages (`html`) with their main text (`gold`): `model.safetensors`."""

    def ngram_bloom(
        self, *, ngram: Whole = 13, min_words: Whole | None = None, capacity: Whole | None = None,
        false_positive_rate: float = 0.01, keeper: str = 'smallest_id', per: Texts = (), share: float = 0.8,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents but those of whose n-grams more than `share` occurred before: `kept`, `seen_share` in [0, 1]."""

    def ngram_lm(
        self, *, fit_on: Ref = '', order: Whole = 5, prune: Wholes = (), sample_bytes: Whole = 64000000,
        arpa: bool = False, model_file: Files = (), unit: Literal['words', 'characters'] = 'words',
        sentences: Literal['line', 'document'] = 'line', lower_case: bool = False,
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Nats (`nll`), `bits_per_byte` and `perplexity` of each document under an n-gram language model."""

    def ngram_vectors(self, *, dim: Whole = 512, **stage: Unpack[RowKeys]) -> Self:
        """Direction of each text by its hashed words and word pairs: `vector`, `dim` int16 of length 2048."""

    def opt_out(
        self, *, html: str = 'text', robots_tag: str | None = None, tdm_header: str | None = None,
        head: Whole = 50000, **stage: Unpack[RowKeys],
    ) -> Self:
        """Whether a page asks not to be used for text and data mining or AI, `opt_out`, and its directives: true or false."""

    def overlap(
        self, *, of: Texts, means: Texts = (), date: str | None = None, unit: Literal['year', 'month'] = 'year',
        count: Literal['tokens', 'bytes', 'docs'] = 'tokens', **stage: Unpack[RowKeys],
    ) -> Self:
        """How many of the selections keep a document, `num_selections`; the manifest of controlled arms is noted."""

    def pair_score(self, *, left: str, right: str, **stage: Unpack[RowKeys]) -> Self:
        """Cosine of two vectors of a document, `pair_score` in [-1, 1]: of an image and its caption, or a text and its"""

    def paragraph_languages(
        self, *, model_file: Files = (), languages: Texts = (), codes: Literal['labels', 'short'] = 'labels',
        by: Literal['sentences', 'lines', 'paragraphs'] = 'paragraphs', wanted: Texts = (), min_letters: Whole = 24,
        min_score: float = 0.5, identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Self:
        """Language of each paragraph of a text, and `main_language`, that of most characters."""

    def per_group(
        self, *, by: str, per: Texts, share: float | None = None, budget: Budget | str | None = None,
        count: Literal['tokens', 'bytes', 'docs'] = 'tokens', descending: bool = True, tokens: Amount = ...,
        docs: Amount = ..., bytes: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """The best documents of every group: `kept`, and `weight` 1 or 0."""

    def phases(self, *, phases: Values, salt: str = '', **stage: Unpack[RowKeys]) -> Self:
        """How often every document is used in each of several phases: `weight_<phase>`, their sum, and `kept`."""

    def ppl_change(
        self, *, per: Texts, max_repeats: float = 4.0, feedback: Refs, alpha: float = 0.5, clip: float = 0.5,
        every: Whole = 100, **stage: Unpack[RowKeys],
    ) -> Self:
        """Shares that follow the change of each domain's perplexity: r (1 + alpha x clip(change)), adding up to 1 again."""

    def quadratic(
        self, *, r: float = 1.0, warm_steps: Whole = 0, warm_share: float = 0.0, r_start: float = 0.0,
        fade_share: float = 0.0, bounds: Literal['step', 'ema', 'quantiles'] = 'step',
        per: Literal['token', 'sample'] = 'token', **stage: Unpack[RowKeys],
    ) -> Made:
        """Weights of samples that are largest in the middle of the step's losses and fall to both ends."""

    def quantile(
        self, *, by: str, share: float, count: Literal['tokens', 'bytes', 'docs'] = 'tokens',
        descending: bool = True, per: Texts = (), **stage: Unpack[RowKeys],
    ) -> Self:
        """The documents whose score reaches a quantile: `kept`, and `weight` 1 or 0."""

    def quota(
        self, *, per: Texts, budget: Budget | str = ...,
        shares: Literal['proportional', 'equal'] | Mapping[str, float] = 'equal', by: str | None = None,
        descending: bool = True, max_repeats: float = 1.0, salt: str = '',
        absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
        share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """A budget shared out among the values of a column: `kept`, and `weight`, the times a document is used."""

    def random(
        self, *, budget: Budget | str = ..., salt: str = '', per: Texts = (),
        quota: Literal['proportional', 'equal'] | Mapping[str, float] = 'proportional',
        absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
        share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents drawn by lot up to a budget: `kept`, and `weight` 1 or 0."""

    def redundancy(
        self, *, distance: float, metric: Literal['cosine', 'hamming'] = 'cosine', column: str = 'vector',
        per: Texts = (), by: str | None = None, descending: bool = True, **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents that no kept one is close to: `kept`, `weight` 1 or 0, `exemplar`, who stands for the others."""

    def refinedweb_lines(
        self, *, uppercase: float = 0.5, numeric: bool = True, counters: bool = True, min_words: Whole = 2,
        phrases: bool = True, **stage: Unpack[RowKeys],
    ) -> Self:
        """The text without lines of a page's furniture; `refinedweb_removed_share`, of its words, in [0, 1]."""

    def regmix(
        self, *, runs: Ref, targets: Mapping[str, float] | Texts = (), prior: Mapping[str, float] | None = None,
        budget: Budget | str | None = None, sizes: Mapping[str, float] | None = None, max_repeats: float = 4.0,
        folds: Whole = 5, model: Literal['lightgbm', 'linear'] = 'lightgbm', simulated: Whole = 100000,
        best: Whole = 100, tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ..., share: Amount = ...,
        **stage: Unpack[RowKeys],
    ) -> Made:
        """Shares of a mixture by regression: the result's `weights`, adding up to 1, for `mixture: {weights_from: ...}`."""

    def regmix_d(
        self, *, runs: Ref, targets: Mapping[str, float] | Texts = (), prior: Mapping[str, float] | None = None,
        budget: Budget | str | None = None, sizes: Mapping[str, float] | None = None, max_repeats: float = 4.0,
        folds: Whole = 5, model: Literal['lightgbm', 'linear'] = 'lightgbm', simulated: Whole = 100000,
        best: Whole = 100, phases: Whole = 3, phase: Whole = 0, tokens: Amount = ..., docs: Amount = ...,
        bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Made:
        """Shares of a mixture phase by phase: the result's `phases`, and `weights` of one `phase` or of all together."""

    def rehydrate(
        self, *, among: str, passed: str, size: str = 'minhash_cluster_size', max_repeats: float = 10.0,
        least_docs: Whole = 100, **stage: Unpack[RowKeys],
    ) -> Self:
        """How often a deduplicated document is used, by the size of its duplicate cluster: `weight`, and `kept`."""

    def repair_unicode(
        self, *, normal_form: Literal['NFC', 'NFD', 'NFKC', 'NFKD', 'none'] = 'NFC',
        html: Literal['auto', 'always', 'never'] = 'auto', width: bool = True, quotes: bool = False,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """The text with its encoding repaired by ftfy, line by line; `repaired_lines` says in how many lines."""

    def repeated_lines(
        self, *, keep: Literal['first', 'none'] = 'first', keeper: str = 'smallest_id', per: Texts = (),
        by: Literal['sentences', 'lines', 'paragraphs'] = 'lines', run: Whole = 1, min_bytes: Whole = 20,
        form: Literal['bytes', 'nfc', 'fold', 'no_space', 'words', 'c_code', 'script_code'] = 'bytes',
        most: Whole = 1, **stage: Unpack[RowKeys],
    ) -> Self:
        """The text without lines, paragraphs or sentences that occurred before; `repeated_share` of its bytes, in [0, 1]."""

    def repeated_ngrams(
        self, *, ngram: Whole = 13, min_words: Whole | None = None, capacity: Whole | None = None,
        false_positive_rate: float = 0.01, keeper: str = 'smallest_id', per: Texts = (), share: float = 0.8,
        by: Literal['sentences', 'lines', 'paragraphs'] = 'lines', **stage: Unpack[RowKeys],
    ) -> Self:
        """The text without lines, paragraphs or sentences whose n-grams mostly occurred before; `repeated_share` of it."""

    def repeated_substrings(
        self, *, keep: Literal['first', 'none'] = 'first', keeper: str = 'smallest_id', per: Texts = (),
        min_bytes: Whole = 200, **stage: Unpack[RowKeys],
    ) -> Self:
        """The text without what stood before in the corpus, `min_bytes` or more in a row; `repeated_share` of its bytes."""

    def repetition_law(
        self, *, runs: Ref, targets: Mapping[str, float] | Texts = (), prior: Mapping[str, float] | None = None,
        budget: Budget | str | None = None, sizes: Mapping[str, float] | None = None, max_repeats: float = 20.0,
        folds: Whole = 5, tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ..., share: Amount = ...,
        **stage: Unpack[RowKeys],
    ) -> Made:
        """Shares and epochs of a mixture under a token budget: the result's `weights`, for `mixture: {weights_from: ...}`."""

    def resiliparse(
        self, *, html: str = '', max_page: str = '20MB', markdown: Texts = (), main_content: bool = True,
        comments: bool = False, links: bool = False, alt_texts: bool = True, **stage: Unpack[RowKeys],
    ) -> Self:
        """Main text of web pages by Resiliparse's rules: `text`, empty where none was found, and `title`."""

    def retrieve_tail(
        self, *, per_concept: Whole = 500, tail_share: float = 0.2, relevant_from: float | None = None,
        target: Ref = '', target_concepts: Ref = '', vectors: str = 'vector', concepts: str = 'concepts',
        **stage: Unpack[RowKeys],
    ) -> Self:
        """The nearest texts to each rare concept, as many for each: `kept`, `weight` 1 or 0, `tail_concept`, `tail_rank`."""

    def rewrite(
        self, *, endpoint: str, model: str, known_as: str = '', key_env: str = '', temperature: float = 0.0,
        max_tokens: Whole = 2048, token_cap: Whole | None = None, cost_cap: float | None = None,
        price_in: float = 0.0, price_out: float = 0.0, concurrency: Whole = 8, request_s: float = 60.0,
        patience_s: float = 120.0, unanswered: Literal['stop', 'skip'] = 'stop', allow_http: bool = False,
        template: Literal['rephrase', 'simplify', 'question_answer', 'recover', 'own'] = 'rephrase',
        prompt: Files = (), column: str = 'text', slots: Texts = (), draw: Whole = 0, max_chars: Whole = 8000,
        long: Literal['head', 'ends'] = 'head', identity: Literal['content', 'stat'] = 'content',
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Another text of each document by a language model, `rewritten`; null where there is none."""

    def rewritten(
        self, *, column: str = 'rewritten', keep: str = 'faithful', carry: Texts = (), **stage: Unpack[RowKeys],
    ) -> Self:
        """New documents of the rewritten texts that are faithful, in a row space of their own; `concat` unites them."""

    def rho(
        self, *, reference: str, keep: float = 0.1, temperature: float = 0.0,
        per: Literal['token', 'sample'] = 'token', **stage: Unpack[RowKeys],
    ) -> Self:
        """Weights of samples by their excess loss: the model's mean nats per token less `reference`, a column of the same."""

    def rho_1(
        self, *, reference: Ref = '', losses: Ref = '', keep: float = 0.6, temperature: float = 0.0,
        **stage: Unpack[RowKeys],
    ) -> Made:
        """Weights of tokens by their excess loss: the model's nats less those of `reference`, a model trained before."""

    def runs_table(
        self, *, files: Files, shares: str = 'share_*', losses: str = 'loss_*', unique: str = '', tokens: str = '',
        id: str = '', identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Made:
        """Runs of anybody's, for the fits of mixtures: shares and losses from CSV or Parquet, one row per run."""

    def rwr(
        self, *, score: str, task: Literal['', 'toxicity', 'pii', 'pep8'] = '', beta: float = 10.0,
        most: float = 1000.0, keep_sum: bool = False, **stage: Unpack[RowKeys],
    ) -> Self:
        """Weights of documents by their reward: min(exp(-score / beta), 1000), the same at every step: `weight`."""

    def salt(
        self, *, teacher: Ref = '', labels: Ref = '', share: float = 0.667, temperature: float = 1.0,
        until: float = 0.17, decay: float = 0.0, **stage: Unpack[RowKeys],
    ) -> Made:
        """Soft labels of a teacher for the first `until` of the steps, then the tokens alone."""

    def sample(
        self, *, by: str, budget: Budget | str = ..., temperature: float = 1.0,
        normalise: Literal['none', 'z'] = 'none', salt: str = '', per: Texts = (),
        quota: Literal['proportional', 'equal'] | Mapping[str, float] = 'proportional',
        absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
        share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents drawn without replacement with odds exp(score / temperature): `kept`, `weight` 1 or 0."""

    def sample_text(
        self, *, temperature: float = 0.7, top_p: float = 0.9, max_tokens: Whole = 128, samples: Whole = 256,
        control: str = '', prompts: Texts = (), draw_seed: Whole = 0,
        precision: Literal['auto', 'bf16', 'fp32'] = 'auto', device: Literal['auto', 'cpu', 'cuda'] = 'auto',
        model: Ref, scorer: Ref = '', score: str = '', max_of: Whole = 25, **stage: Unpack[RowKeys],
    ) -> Made:
        """Text that a trained model writes, and the score of it: mean, and expected maximum of `max_of` samples."""

    def segment_scores(
        self, *, by: Literal['sentences', 'lines', 'paragraphs'] = 'sentences', hits: Texts,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Score of each sentence, line or paragraph: `segment_scores`, hits per character, and `segment_ends`, in bytes."""

    def semdedup(
        self, *, soft: Literal['weights'] | None = None, eps: float | None = None, share: float | None = None,
        order: Literal['hard', 'easy', 'random'] = 'hard', cluster: str = 'cluster',
        similarity: str = 'cluster_similarity', vectors: str = 'vector', salt: str = '', keeper: str = '',
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Documents that no earlier one of their cluster resembles: `kept`, `weight` 1 or 0, `semdedup_similarity`."""

    def signals(
        self, *, dialect: Literal['datatrove', 'dclm', 'dolma', 'nemo'] = 'datatrove',
        words: Literal['whitespace', 'unicode'] = 'whitespace', groups: Texts = (), **stage: Unpack[RowKeys],
    ) -> Self:
        """Gopher, C4 and FineWeb counts of the text, one column each; by `groups`, the counts of other projects' filters."""

    def simcore(
        self, *, target: Ref, budget: Budget | str = ..., vectors: str = 'vector', centres: Whole = 100,
        stop_ratio: float = 0.0, patience: Whole = 20, center: bool = True, tokens: Amount = ...,
        docs: Amount = ..., bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """The documents nearest to a target's centres, round by round: `kept`, `weight`, `simcore_round`."""

    def simhash(self, *, n: Whole = 2, **stage: Unpack[RowKeys]) -> Self:
        """A 64-bit code of each text by its word n-grams, alike for texts alike: `simhash`, u64."""

    def skill_graph(
        self, *, method: Literal['alone', 'pairs'] = 'alone', least: float = 0.0, vocab: Whole = 4096,
        width: Whole = 96, layers: Whole = 3, heads: Whole = 3, context: Whole = 128, batch: Whole = 8,
        optimizer: Literal['muon', 'adamw'] = 'muon', lr_hidden: float = 0.02, lr_embedding: float = 0.02,
        lr_head: float = 0.008, lr_adamw: float = 0.004, weight_decay: float = 0.0, clip: float = 1.0,
        z_loss: float = 0.0, schedule: Literal['linear', 'cosine', 'constant', 'wsd', 'infinite'] = 'linear',
        warmup_share: float = 0.05, cooldown_share: float = 0.25, decay_share: float = 0.2,
        decay_shape: Literal['linear', 'sqrt', 'exponential'] = 'linear', constant_lr: float = 0.5,
        final_lr: float | None = None, precision: Literal['auto', 'bf16', 'fp32'] = 'auto',
        packing: Literal['best_fit', 'concat'] = 'best_fit', weighting: Literal['loss', 'repeat'] = 'loss',
        device: Literal['auto', 'cpu', 'cuda'] = 'auto', compiled: bool = False, loss_at: Wholes = (),
        save_every: Whole = 0, selection: Ref, feedback: Refs, per: Texts, tokens: Whole = 100000,
        tokenizer_bytes: Whole = 8000000, **stage: Unpack[RowKeys],
    ) -> Made:
        """A graph {skill: {text: a}}: how much a short run on a skill lowers the loss on a text, 0 to 1."""

    def skill_it(
        self, *, per: Texts, max_repeats: float = 4.0, feedback: Refs, graph: Ref = '',
        edges: Mapping[str, Mapping[str, float]] | None = None, eta: float = 0.5, every: Whole = 100,
        window: Whole = 3, over: Literal['sum', 'mean'] = 'sum', normalise: bool = False,
        p_min: float | None = None, **stage: Unpack[RowKeys],
    ) -> Self:
        """Shares of skills in proportion to exp(eta x A L): what lowers the losses L that are high now is read more."""

    def swarm(
        self, *, runs: Ref, targets: Mapping[str, float] | Texts = (), prior: Mapping[str, float] | None = None,
        budget: Budget | str | None = None, sizes: Mapping[str, float] | None = None, max_repeats: float = 4.0,
        folds: Whole = 5, kl: float = 0.05, frozen: Mapping[str, float] | None = None, tokens: Amount = ...,
        docs: Amount = ..., bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Made:
        """Shares of a mixture by log-linear laws: the result's `weights`, for `mixture: {weights_from: ...}`."""

    def target_file(
        self, *, files: Files, format: str = 'auto', delimiter: str = ' ',
        question: str = 'Question: {question}\nAnswer:', max_items: Whole = 0,
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Made:
        """A target from JSON Lines: multiple choice, minimal pairs, continuations, questions or labelled texts."""

    def teacher_top_k(
        self, *, k: Whole = 16, temperature: float = 1.0, context: Whole = 0, stride: Whole = 0,
        precision: Literal['auto', 'bf16', 'fp32'] = 'auto', device: Literal['auto', 'cpu', 'cuda'] = 'auto',
        model: Ref, **stage: Unpack[RowKeys],
    ) -> Self:
        """Soft labels of a pool: of every target the teacher's `k` likeliest entries, their probabilities, the tail's mass."""

    def temperature(
        self, *, per: Texts, max_repeats: float = 4.0, temperature: float = 1.0, **stage: Unpack[RowKeys],
    ) -> Self:
        """Shares in proportion to size^(1 / temperature): 1 as they are, infinite the same for all. Sizes are tokens."""

    def threshold(
        self, *, by: str, at_least: float | None = None, at_most: float | None = None, outside: bool = False,
        budget: Budget | str | None = None, salt: str = '', tokens: Amount = ..., docs: Amount = ...,
        bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """The documents whose score lies within bounds: `kept`, and `weight` 1 or 0."""

    def token_losses(
        self, *, context: Whole = 0, precision: Literal['auto', 'bf16', 'fp32'] = 'auto',
        device: Literal['auto', 'cpu', 'cuda'] = 'auto', model: Ref, **stage: Unpack[RowKeys],
    ) -> Self:
        """Loss in nats of every target of a pool under a trained model, for policies that compare a run with it (`rho_1`)."""

    def top_k(
        self, *, by: str, budget: Budget | str = ..., descending: bool = True, per: Texts = (),
        quota: Literal['proportional', 'equal'] | Mapping[str, float] = 'proportional',
        absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
        share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """The best documents by a column, up to a budget: `kept`, and `weight` 1 or 0."""

    def trafilatura(
        self, *, html: str = '', max_page: str = '20MB', markdown: Texts = (), fast: bool = False,
        favor: Literal['balanced', 'precision', 'recall'] = 'balanced', comments: bool = False, tables: bool = True,
        links: bool = False, **stage: Unpack[RowKeys],
    ) -> Self:
        """Main text of web pages by trafilatura's rules: `text`, empty where none was found, and `title`."""

    def train(
        self, *, workers: Whole = 1, launcher: Literal['processes', 'ray'] = 'processes', stride: Whole = 0,
        flatness_probes: Whole = 0, flatness_tokens: Whole = 4096, vocab: Whole = 4096, width: Whole = 96,
        layers: Whole = 3, heads: Whole = 3, context: Whole = 128, batch: Whole = 8,
        optimizer: Literal['muon', 'adamw'] = 'muon', lr_hidden: float = 0.02, lr_embedding: float = 0.02,
        lr_head: float = 0.008, lr_adamw: float = 0.004, weight_decay: float = 0.0, clip: float = 1.0,
        z_loss: float = 0.0, schedule: Literal['linear', 'cosine', 'constant', 'wsd', 'infinite'] = 'linear',
        warmup_share: float = 0.05, cooldown_share: float = 0.25, decay_share: float = 0.2,
        decay_shape: Literal['linear', 'sqrt', 'exponential'] = 'linear', constant_lr: float = 0.5,
        final_lr: float | None = None, precision: Literal['auto', 'bf16', 'fp32'] = 'auto',
        packing: Literal['best_fit', 'concat'] = 'best_fit', weighting: Literal['loss', 'repeat'] = 'loss',
        device: Literal['auto', 'cpu', 'cuda'] = 'auto', compiled: bool = False, loss_at: Wholes = (),
        save_every: Whole = 0, selection: Ref, eval: Refs = (), tokens: Whole = 400000, size: str = '',
        tokenizer: Files = (), tokenizer_bytes: Whole = 8000000, eval_bytes: Whole = 0, may_overlap: Texts = (),
        start: Ref = '', replay: Ref = '', replay_share: float = 0.0, curve: Whole = 0, policy: Ref = '',
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Made:
        """A model trained on a selection: weights, tokenizer and shape in files, with its losses on targets."""

    def training_feedback(
        self, *, run: Ref, columns: Texts = (), precision: Literal['auto', 'bf16', 'fp32'] = 'auto',
        device: Literal['auto', 'cpu', 'cuda'] = 'auto', **stage: Unpack[RowKeys],
    ) -> Self:
        """What a run made of each document: `loss_at_{step}` in nats per token, `times_seen`, and `weight_used`."""

    def ul2(
        self, *, share: float = 1.0, modes: Texts = ..., sentinels: Whole = 100, **stage: Unpack[RowKeys],
    ) -> Made:
        """Rows as [mode] input target, with a loss on the target alone: regular (R), sequential (S), extreme (X) denoisers."""

    def unimax(self, *, per: Texts, max_repeats: float = 4.0, **stage: Unpack[RowKeys]) -> Self:
        """The same share of the run's tokens for every domain, less for those that would be read over `max_repeats` times."""

    def union(self, *, of: Texts, weights: Texts = (), **stage: Unpack[RowKeys]) -> Self:
        """The documents that any of the selections keeps: `kept`, and the largest of their weights."""

    def unlikelihood(
        self, *, score: str = '', segment_scores: str = '', segment_ends: str = '',
        task: Literal['', 'toxicity', 'pii', 'pep8'] = '', tau: float | None = None, alpha: float = 1.0,
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Loss of tokens by their score: -log p up to `tau`, -alpha log(1 - p) above; the reported loss is that one."""

    def upper(
        self, *, r: float = 1.0, warm_steps: Whole = 0, warm_share: float = 0.0, r_start: float = 0.0,
        fade_share: float = 0.0, bounds: Literal['step', 'ema', 'quantiles'] = 'step',
        per: Literal['token', 'sample'] = 'token', delta: float = 1.0, **stage: Unpack[RowKeys],
    ) -> Made:
        """Weights of samples that rise with their loss throughout: noise, whose loss stays high, gets the most."""

    def upsample(
        self, *, by: str, budget: Budget | str = ..., max_repeats: float = 7.0, discard: float = 0.4,
        power: float = 1.0, tiers: Whole = 20, descending: bool = True, per: Texts = (),
        quota: Literal['proportional', 'equal'] | Mapping[str, float] = 'proportional',
        absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
        share: Amount = ..., **stage: Unpack[RowKeys],
    ) -> Self:
        """How often a document is used, rising with its quality: `weight`, 0 or more, and `kept` where above 0."""

    def url_lists(
        self, *, column: str = 'url', private_suffixes: bool = True, lists: Files = (), hard_words: Files = (),
        soft_words: Files = (), substrings: Files = (), identity: Literal['content', 'stat'] = 'content',
        **stage: Unpack[RowKeys],
    ) -> Self:
        """Which block list names the address of a document, by which entry and how; and the listed words in it."""

    def url_parts(self, *, column: str = 'url', private_suffixes: bool = True, **stage: Unpack[RowKeys]) -> Self:
        """Parts of the address in `column`: normal form, scheme, host, port, path, and the registered domain."""

    def url_score(
        self, *, column: str = 'url', positive: str, shortest: Whole = 3, longest: Whole = 6, dim: Whole = 16,
        bucket: Whole = 200000, epoch: Whole = 5, lr: float = 0.2, most: Whole = 20000, **stage: Unpack[RowKeys],
    ) -> Self:
        """Probability in [0, 1] that an address is like those of documents for which `positive` is true, not false."""

    def value_alignment(
        self, *, feedback: Ref, every: Whole = 20, by: Literal['ghost', 'difference', 'jvp'] = 'ghost',
        feedback_rows: Whole = 0, momentum: float = 0.9, preconditioned: bool = False,
        weigh_by: Literal['features', 'document', 'group'] = 'features', scores: Texts = (), per: Texts = (),
        features: Texts = ..., kl: float = 0.1, link: Literal['softmax', 'sigmoid'] = 'softmax', hidden: Whole = 16,
        rate: float = 0.01, updates: Whole = 50, memory: Whole = 2048,
        normalise: Literal['token', 'sample'] = 'token', **stage: Unpack[RowKeys],
    ) -> Self:
        """Weights of samples by how their gradients align with that of `feedback` texts, which are never trained on."""

    def vectors_from(self, *, column: str, dim: Whole, **stage: Unpack[RowKeys]) -> Self:
        """Direction of each document by a vector that came with it: `vector`, `dim` int16 of length 2048."""

    def write(
        self, *, format: str = 'parquet', shard_bytes: str = '256MB',
        order: Literal['shuffled', 'source'] = 'shuffled', carry: Texts | Mapping[str, str] = (),
        repeat: str | None = None, control: str | None = None, control_ends: str | None = None,
        control_form: str = '<|{}|>', **stage: Unpack[RowKeys],
    ) -> Self:
        """Shards of the population as Parquet, Arrow or JSON Lines, globally shuffled; an index lies beside them."""

    def write_tokens(
        self, *, form: Literal['megatron', 'olmo', 'parquet', 'bin'] = 'megatron', end: str = '',
        weights: Literal['repeat', 'column', 'none'] = 'repeat', file_tokens: Whole = 500000000,
        val_share: float = 0.01, selection: Ref, control: Ref = '', tokenizer: Files = (), vocab: Whole = 32768,
        tokenizer_bytes: Whole = 100000000, fit_on: Literal['selection', 'pool'] = 'selection',
        identity: Literal['content', 'stat'] = 'content', **stage: Unpack[RowKeys],
    ) -> Made:
        """A selection as token ids: Megatron .bin/.idx, OLMo .npy, Parquet, or train.bin and val.bin as nanoGPT has them."""

def age(
    *, by: str, since: str | Whole | None = None, until: str | Whole | None = None,
    budget: Budget | str | None = None, salt: str = '', tokens: Amount = ..., docs: Amount = ...,
    bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """The documents of a window of time: `kept`, and `weight` 1 or 0."""

def buckets(
    *, scores: Texts, num: Whole = 20, combine: Literal['max', 'mean'] = 'max',
    count: Literal['tokens', 'bytes', 'docs'] = 'tokens', at_least: Whole = 0,
    mixture: Mapping[str, float] | None = None, budget: Budget | str | None = None, max_repeats: float = 1.0,
    tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """The quality bucket of a document under several scorers: `bucket`, `kept`, and `weight`."""

def cluster_balanced(
    *, budget: Budget | str = ..., by: str = 'cluster', beta: float = 1.0, salt: str = '', tokens: Amount = ...,
    docs: Amount = ..., bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """A draw that evens clusters out: `kept`, and `weight` 1 or 0; a document's odds are 1 / |cluster|^beta."""

def d4(
    *, share: float, dedup_share: float = 0.75, clusters: Whole = 0,
    order: Literal['hard', 'easy', 'random'] = 'hard', vectors: str = 'vector', iterations: Whole = 20,
    salt: str = '', **stage: Unpack[RowKeys],
) -> Selection:
    """A share of the documents without near-duplicates and prototypes: `kept`, `weight`, `d4_removed_by`."""

def difference(*, of: Texts, weights: Texts = (), **stage: Unpack[RowKeys]) -> Selection:
    """The documents that the first selection keeps and none of the others: `kept`, and its weight."""

def domain(
    *, by: str, include: Texts = (), exclude: Texts = (), match: Literal['value', 'host'] = 'value',
    budget: Budget | str | None = None, salt: str = '', absent: Literal['error', 'remark'] = 'error',
    tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """The documents of some domains, or of all others: `kept`, and `weight` 1 or 0."""

def dsir_resample(
    *, by: str = 'dsir_log_weight', budget: Budget | str = ..., temperature: float = 1.0,
    normalise: Literal['none', 'z'] = 'none', salt: str = '', per: Texts = (),
    quota: Literal['proportional', 'equal'] | Mapping[str, float] = 'proportional',
    absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
    share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """Documents drawn in proportion to their importance weight toward a target: `kept`, `weight` 1 or 0."""

def facility_location(
    *, budget: Budget | str = ..., cost_aware: bool = True,
    method: Literal['auto', 'lazy', 'threshold', 'stochastic', 'partitioned', 'sampled'] = 'auto',
    epsilon: float = 0.1, num_parts: Whole = 0, part: str = '', salt: str = '', node: str = 'node',
    neighbors: str = 'neighbors', similarities: str = 'similarities', demand: Whole = 2000,
    demand_by: Literal['budget', 'docs'] = 'budget', vectors: str = 'vector', tokens: Amount = ...,
    docs: Amount = ..., bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """Documents that cover the others best within a budget: `kept`, `weight` 1 or 0, and why."""

def graph_cut(
    *, budget: Budget | str = ..., redundancy: float = 0.4, cost_aware: bool = True, node: str = 'node',
    neighbors: str = 'neighbors', similarities: str = 'similarities', tokens: Amount = ..., docs: Amount = ...,
    bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """Documents that resemble many others and not each other: `kept`, `weight` 1 or 0, `rank_selected`, `gain`."""

def herding(
    *, budget: Budget | str = ..., vectors: str = 'vector', tokens: Amount = ..., docs: Amount = ...,
    bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """Documents whose mean vector stays nearest to that of all: `kept`, `weight` 1 or 0, `rank_selected`, `gain`."""

def hierarchical(
    *, budget: Budget | str = ..., levels: Wholes, rounds: Whole = 0, nearest: Wholes = ...,
    leaf: Literal['lot', 'closest'] = 'lot', max_repeats: Whole = 1, vectors: str = 'vector',
    iterations: Whole = 20, salt: str = '', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
    share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """A sample through a tree of clusters: `kept`, `weight`, the times used, and `cluster`, the finest one."""

def ingenious(
    *, budget: Budget | str = ..., redraws: Whole = 1, temperature: float = 1.0,
    normalise: Literal['none', 'max', 'rank'] = 'none', group: str = '', salt: str = '', node: str = 'node',
    neighbors: str = 'neighbors', similarities: str = 'similarities', tokens: Amount = ..., docs: Amount = ...,
    bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """Documents drawn by what they add to coverage, `redraws` times: `kept`, `weight`, `gain`, `prob`, `drawn`."""

def intersect(*, of: Texts, weights: Texts = (), **stage: Unpack[RowKeys]) -> Selection:
    """The documents that all of the selections keep: `kept`, and the smallest of their weights."""

def k_center_greedy(
    *, budget: Budget | str = ..., vectors: str = 'vector', center: bool = True, tokens: Amount = ...,
    docs: Amount = ..., bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """Documents with none far from a kept one: `kept`, `weight` 1 or 0, `rank_selected`, `gain`."""

def length_matched(*, like: Ref = '', salt: str = '', **stage: Unpack[RowKeys]) -> Selection:
    """Documents drawn by lot with the lengths of another selection: `kept`, and `weight` 1 or 0."""

def log_det(
    *, budget: Budget | str = ..., vectors: str = 'vector', ridge: float = 1.0, center: bool = True,
    cost_aware: bool = True, tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ..., share: Amount = ...,
    **stage: Unpack[RowKeys],
) -> Selection:
    """Documents whose vectors span the most volume: `kept`, `weight` 1 or 0, `rank_selected`, `gain`."""

def metaclip(
    *, t: Whole | None = None, tail_share: float | None = None, concepts: str = 'concepts',
    hits: str = 'concept_hits', stop_share: float = 1.0, top: Whole = 0,
    odds: Literal['any', 'max', 'mean'] = 'any', count: Literal['docs', 'tokens'] = 'docs', salt: str = '',
    **stage: Unpack[RowKeys],
) -> Selection:
    """Texts kept by how rare their concepts are: `kept`, `weight` 1 or 0, and `metaclip_odds` in [0, 1]."""

def mixture(
    *, per: Texts, budget: Budget | str = ...,
    shares: Literal['unimax', 'temperature', 'alpha', 'proportional', 'equal'] | Mapping[str, float] = 'unimax',
    temperature: float = 1.0, alpha: float = 1.0, least: Whole = 0, weights_from: Ref = '',
    most: Mapping[str, float] = ..., without: str = '', max_repeats: float = 4.0,
    overflow: Literal['share', 'leave'] = 'share', by: str | None = None, descending: bool = True, salt: str = '',
    absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
    share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """A budget mixed from the values of a column, with a cap on repeats: `kept`, and `weight`, the times used."""

def per_group(
    *, by: str, per: Texts, share: float | None = None, budget: Budget | str | None = None,
    count: Literal['tokens', 'bytes', 'docs'] = 'tokens', descending: bool = True, tokens: Amount = ...,
    docs: Amount = ..., bytes: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """The best documents of every group: `kept`, and `weight` 1 or 0."""

def phases(*, phases: Values, salt: str = '', **stage: Unpack[RowKeys]) -> Selection:
    """How often every document is used in each of several phases: `weight_<phase>`, their sum, and `kept`."""

def quantile(
    *, by: str, share: float, count: Literal['tokens', 'bytes', 'docs'] = 'tokens', descending: bool = True,
    per: Texts = (), **stage: Unpack[RowKeys],
) -> Selection:
    """The documents whose score reaches a quantile: `kept`, and `weight` 1 or 0."""

def quota(
    *, per: Texts, budget: Budget | str = ...,
    shares: Literal['proportional', 'equal'] | Mapping[str, float] = 'equal', by: str | None = None,
    descending: bool = True, max_repeats: float = 1.0, salt: str = '', absent: Literal['error', 'remark'] = 'error',
    tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """A budget shared out among the values of a column: `kept`, and `weight`, the times a document is used."""

def random(
    *, budget: Budget | str = ..., salt: str = '', per: Texts = (),
    quota: Literal['proportional', 'equal'] | Mapping[str, float] = 'proportional',
    absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
    share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """Documents drawn by lot up to a budget: `kept`, and `weight` 1 or 0."""

def rehydrate(
    *, among: str, passed: str, size: str = 'minhash_cluster_size', max_repeats: float = 10.0,
    least_docs: Whole = 100, **stage: Unpack[RowKeys],
) -> Selection:
    """How often a deduplicated document is used, by the size of its duplicate cluster: `weight`, and `kept`."""

def retrieve_tail(
    *, per_concept: Whole = 500, tail_share: float = 0.2, relevant_from: float | None = None, target: Ref = '',
    target_concepts: Ref = '', vectors: str = 'vector', concepts: str = 'concepts', **stage: Unpack[RowKeys],
) -> Selection:
    """The nearest texts to each rare concept, as many for each: `kept`, `weight` 1 or 0, `tail_concept`, `tail_rank`."""

def sample(
    *, by: str, budget: Budget | str = ..., temperature: float = 1.0, normalise: Literal['none', 'z'] = 'none',
    salt: str = '', per: Texts = (), quota: Literal['proportional', 'equal'] | Mapping[str, float] = 'proportional',
    absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
    share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """Documents drawn without replacement with odds exp(score / temperature): `kept`, `weight` 1 or 0."""

def simcore(
    *, target: Ref, budget: Budget | str = ..., vectors: str = 'vector', centres: Whole = 100,
    stop_ratio: float = 0.0, patience: Whole = 20, center: bool = True, tokens: Amount = ..., docs: Amount = ...,
    bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """The documents nearest to a target's centres, round by round: `kept`, `weight`, `simcore_round`."""

def threshold(
    *, by: str, at_least: float | None = None, at_most: float | None = None, outside: bool = False,
    budget: Budget | str | None = None, salt: str = '', tokens: Amount = ..., docs: Amount = ...,
    bytes: Amount = ..., share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """The documents whose score lies within bounds: `kept`, and `weight` 1 or 0."""

def top_k(
    *, by: str, budget: Budget | str = ..., descending: bool = True, per: Texts = (),
    quota: Literal['proportional', 'equal'] | Mapping[str, float] = 'proportional',
    absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
    share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """The best documents by a column, up to a budget: `kept`, and `weight` 1 or 0."""

def union(*, of: Texts, weights: Texts = (), **stage: Unpack[RowKeys]) -> Selection:
    """The documents that any of the selections keeps: `kept`, and the largest of their weights."""

def upsample(
    *, by: str, budget: Budget | str = ..., max_repeats: float = 7.0, discard: float = 0.4, power: float = 1.0,
    tiers: Whole = 20, descending: bool = True, per: Texts = (),
    quota: Literal['proportional', 'equal'] | Mapping[str, float] = 'proportional',
    absent: Literal['error', 'remark'] = 'error', tokens: Amount = ..., docs: Amount = ..., bytes: Amount = ...,
    share: Amount = ..., **stage: Unpack[RowKeys],
) -> Selection:
    """How often a document is used, rising with its quality: `weight`, 0 or more, and `kept` where above 0."""
