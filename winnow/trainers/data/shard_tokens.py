"""Curated shards for anybody's training loop: `ShardDataset`, a torch IterableDataset.

    from winnow.trainers.data import ShardDataset

    data = ShardDataset("runs/web/write-.../shards", tokenizer="bytes", context=1024, batch=32)
    for step, batch in enumerate(DataLoader(data, batch_size=None, num_workers=2)):
        ...                                     # batch["ids"], ["targets"], ["segments"], ["weights"]: [32, 1024]

The order is a pure function of (seed, step): a state is a few numbers, resuming costs nothing, and neither workers
nor ranks change what a step holds. Torch is imported when `ShardDataset` is first used; `prepare` and `export` (files
for Megatron, OLMo and `datasets`) need none.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import polars as pl

from winnow.core.errors import ConfigError
from winnow.core.store.names import meta_of
from winnow.core.store.store import attempt_id
from winnow.trainers.data.cache import CACHE, cache_of
from winnow.trainers.data.coder import BYTES, coder_of, json_of
from winnow.trainers.data.pack import Documents, order_of
from winnow.trainers.data.shards import Shard, Shards, find_shards
from winnow.trainers.data.token_formats import FILE_TOKENS, VAL_SHARE, WEIGHED_FORMS, Form, write_files
from winnow.trainers.data.token_meta import save_meta
from winnow.trainers.data.token_store import TokenStore, open_tokens


def prepare(
    shards: Shards,
    *,
    tokenizer: Any,
    end: int | str | None = None,
    stage: str | None = None,
    weight: str | None = None,
    text: str = "text",
    cache: str | Path | None = None,
    verify: bool = False,
) -> TokenStore:
    """The shards as token ids on disk, made on first use and then only checked.

    `shards`: a folder that `write` made, a glob, a list of files (Parquet, Arrow, JSON Lines; columns doc_id and
    `text`), or an opened run with the `stage` whose kept documents are meant. `tokenizer`, `end`: see
    `coder.coder_of`. `weight`: a column of document weights. `cache`: where the ids lie (default: see
    `cache.cache_of`; never among the shards). A shard whose size and time are as they were is taken as it is;
    `verify` reads all shards and ids again and compares digests. A column called as a weight in which documents
    differ is warned of where none was asked for.
    Raises:
        ConfigError: something cannot be. DataError: a shard is not what it was, or is no text.
        StoreError: a file of the cache is not what it was.
    """
    found = find_shards(shards, stage=stage)
    coder = coder_of(tokenizer, end=end)
    made = open_tokens(cache_of(shards, cache), found, coder, weight=weight, text=text)
    if weight is None:
        _tell_weights(found[0], made)
    if verify:
        made.check_shards(found, thorough=True)
        made.check_files()
    return made


def _tell_weights(shard: Shard, made: TokenStore) -> None:
    """Warn of columns called as those that selections give where documents differ in them; of the first rows alone."""
    named = [n for n in shard.columns() if n == "weight" or n.startswith("weight_") or n.endswith("_weight")]
    first = next(iter(shard.read(named)), None) if named else None
    if first is None:
        return
    for name in named:
        weights = first[name].drop_nulls()
        if weights.dtype.is_numeric() and weights.n_unique() > 1:
            low, high = (float(end) for end in weights.cast(pl.Float64).sort().gather([0, -1]))
            warnings.warn(
                f"the shards have {name!r}, from {low:g} to {high:g} in their first {first.height:,} documents, and no "
                f"weight was asked for: all {made.index['documents']:,} documents count alike; `weight={name!r}` "
                "weighs by it", stacklevel=4,
            )  # fmt: skip
            return


def export(
    shards: Shards,
    folder: str | Path,
    *,
    form: Form,
    tokenizer: Any,
    end: int | str | None = None,
    stage: str | None = None,
    weight: str | None = None,
    text: str = "text",
    cache: str | Path | None = None,
    file_tokens: int = FILE_TOKENS,
    val_share: float = VAL_SHARE,
    weights: Literal["auto", "repeat", "column"] = "auto",
) -> dict[str, Any]:
    """Write the shards' token ids to a new folder as files of the `form`; returns its index.

    The index and the tokenizer lie in a folder beside it: `out/ids/` and `out/ids.meta/`.

    Other arguments as those of `prepare`. Where there is a `weight`, Parquet gets it as a column (`weights: column`;
    `bin` can, as `train.weights.bin`), and the other forms get a document of weight w floor(w) times, and once more
    with the probability of the rest, drawn by doc_id (`repeat`).
    Raises:
        ConfigError: the folder exists, something cannot be, or the form has no place for a column of weights.
        DataError, StoreError: as `prepare`.
    Cost: one pass over the ids, which are memory-mapped.
    """
    target = Path(folder)
    for taken in (target, Path(meta_of(str(target)))):
        if taken.exists():
            raise ConfigError(f"{taken} exists", where="folder", hint="name a new folder, or remove it")
    if weights == "column" and (form not in WEIGHED_FORMS or weight is None):
        what = f"a {form} file has no weights" if form not in WEIGHED_FORMS else "there is no weight to write"
        raise ConfigError(what, where="weights", hint="`repeat`, or name the column: `weight=`")
    cache = cache or target.parent / CACHE
    made = prepare(shards, tokenizer=tokenizer, end=end, stage=stage, weight=weight, text=text, cache=cache)
    coder, documents = coder_of(tokenizer, end=end), made.documents
    repeated = form != "parquet" if weights == "auto" else weights == "repeat"
    order = order_of(
        documents.doc_id, documents.weights, weighting="repeat" if repeated else "loss", packing="best_fit", seed=0
    )
    if repeated:
        documents = Documents(doc_id=documents.doc_id, tokens=documents.tokens, offsets=documents.offsets)
    fresh = target.with_name(f".{target.name}.{attempt_id()}")
    fresh.mkdir(parents=True)
    index = write_files(documents, fresh, form=form, end=coder.end, vocab=coder.vocab, order=order,
                       file_tokens=file_tokens, val_share=val_share, source=made.digest)  # fmt: skip
    save_meta(Path(meta_of(str(fresh))), index, "" if tokenizer == BYTES else json_of(tokenizer))
    Path(meta_of(str(fresh))).rename(meta_of(str(target)))
    fresh.rename(target)
    return index
