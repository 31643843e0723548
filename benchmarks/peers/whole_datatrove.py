"""The whole recipe in datatrove's own blocks, words at white space, one worker.

    PYTHON whole_datatrove.py --input FILE --out DIR --lid MODEL --model MODEL

Its `FastTextClassifierFilter` drops below a score: half stands for the best half.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--input", "--out", "--lid", "--model"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline import filters
    from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import ParquetWriter
    from datatrove.pipeline.writers.jsonl import JsonlWriter
    from datatrove.utils import lid
    from fineweb_datatrove import at_white_space

    lid.cached_asset_path_or_download = lambda *_, **__: given.lid
    filters.fasttext_filter.cached_asset_path_or_download = lambda *_, **__: str(Path(given.model).absolute())
    at, source = Path(given.out), Path(given.input).absolute()
    words = {"language": at_white_space()}
    config = MinhashConfig(num_buckets=14, hashes_per_bucket=8, n_grams=5)
    signatures, buckets, removed = (str(at / name) for name in ("signatures", "buckets", "remove_ids"))
    base = [
        JsonlReader(str(source.parent), glob_pattern=source.name, doc_progress=False),
        filters.LanguageFilter(languages="en"),
        filters.GopherRepetitionFilter(**words),
        filters.GopherQualityFilter(**words),
        filters.FineWebQualityFilter(**words),
        JsonlWriter(str(at / "base"), compression="zstd"),
    ]
    last = [
        JsonlReader(str(at / "base"), compression="zstd"),
        MinhashDedupFilter(removed),
        filters.FastTextClassifierFilter("model.bin", keep_labels=[("hq", 0.02)], newline_replacement=" "),
        ParquetWriter(str(at / "corpus"), compression="zstd"),
    ]
    sketch = [
        JsonlReader(str(at / "base"), compression="zstd"),
        MinhashDedupSignature(signatures, config=config, **words),
    ]
    stages = {
        "base": (base, 1),
        "sketch": (sketch, 1),
        "match": ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        "cluster": ([MinhashDedupCluster(buckets, removed, config=config)], 1),
        "last": (last, 1),
    }
    for name, (pipeline, tasks) in stages.items():
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(at / "logs" / name)).run()


if __name__ == "__main__":
    main()
