"""Whether the starts of a comparison go together, before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from winnow.core.errors import DataError
from winnow.core.operators import Context, Job, port
from winnow.core.store.ids import digest_bytes
from winnow.trainers.data.encoder import FILE
from winnow.trainers.model.shape import Shape, Size
from winnow.trainers.model.start import start_of, tokens_behind


@dataclass(frozen=True, kw_only=True)
class CheckStarts(Size, Job):
    """Check that all starts have the shape of the runs and one tokenizer.

    References: `models` {label: trained model}, `tokenizers` {label: its tokenizer}.

    Source: own
    """

    name: ClassVar[str] = "check_starts"
    role: ClassVar[str] = "trainer"
    uses: ClassVar[tuple[str, ...]] = ("torch",)

    models: dict[str, str] | None = port("refs", default=None)
    tokenizers: dict[str, str] | None = port("refs", default=None)

    def run(self, ctx: Context) -> dict[str, Any]:
        """Metrics: `starts` {label: digest of the weights, tokens read so far}, `tokenizer` its digest.

        Raises:
            DataError: shapes or tokenizers differ; both are said.
        """
        shape = Shape(**{name: getattr(self, name) for name in Size.__dataclass_fields__})
        starts = {}
        for label, source in ctx.refs["models"].items():
            starts[label] = {"digest": start_of(source, shape).digest, "tokens": tokens_behind(source.result())}
        seen: dict[str, str] = {}
        for label, source in ctx.refs["tokenizers"].items():
            seen.setdefault(digest_bytes(source.files()[FILE].read_bytes()), label)
        if len(seen) > 1:
            both = " and ".join(f"{label} {digest}" for digest, label in seen.items())
            raise DataError(
                f"the starts have {len(seen)} tokenizers: {both}", where="starts",
                hint="models of one comparison read the same ids: train their starts with one tokenizer",
            )  # fmt: skip
        return {"starts": starts, "tokenizer": next(iter(seen))}
