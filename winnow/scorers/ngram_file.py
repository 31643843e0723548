"""The `ngram_lm` operator, first: a model that was given as a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Job, Kind, Resources
from winnow.core.words import ngram_files
from winnow.core.words.backoff_model import BackoffModel
from winnow.scorers.ngram_texts import NgramModelFile, NgramTexts


@dataclass(frozen=True, kw_only=True)
class NgramFile(NgramTexts, NgramModelFile, Job):
    """An n-gram model as a table to be memory-mapped (`ngram.npy`), from an ARPA file; a binary of KenLM as a copy.

    Cost: 48 bytes of memory per n-gram, and one pass over the file.
    Source: the ARPA format as KenLM reads it (Heafield 2011)
    """

    name: ClassVar[str] = "ngram_file"
    role: ClassVar[str] = "scorer"
    version: ClassVar[int] = 2  # 2: the table's slots in lines
    kind: ClassVar[Kind] = Kind.ARTEFACT
    resources: ClassVar[Resources] = Resources(memory_gb=4)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Write the model; metrics: order and numbers of n-grams.

        Raises: ConfigError where there is not one file, or KenLM is needed and missing; DataError where it is no model.
        """
        paths = ctx.refs.get("model_file", self.model_file)
        if len(paths) != 1:
            hint = "name exactly one"
            raise ConfigError(f"model_file matches {len(paths)} files", where="model_file", hint=hint)
        model = ngram_files.read_model(Path(paths[0]), self.form())
        ngram_files.save_model(model, ctx.work)
        counts = list(model.about["ngrams"]) if isinstance(model, BackoffModel) else []
        if isinstance(model, BackoffModel):
            ctx.note("summary", f"order {model.order}, {sum(counts):,} n-grams")
        else:
            ctx.remark("is a binary of KenLM, scored sentence by sentence through its module: the ARPA file behind it "
                       "gives the same numbers several times faster")  # fmt: skip
        return {"order": model.order, "ngrams": counts}
