"""A pool cleaned of what repeats held-out text.

Two sub-stages: `matches` reads the texts and says which items each holds, `verdict` decides and tells which items were
found, in how many documents, and which could not be looked for. Another `max_ngrams` reads no text again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Kind, Schema, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.core.words.protected import Protection
from winnow.pipeline.filter.protected_matches import Against, ProtectedMatches
from winnow.pipeline.filter.protected_verdict import Tolerance, Verdict, outputs_of
from winnow.pipeline.filter.semantic_matches import Likeness, SemanticMatches, check_likeness


@dataclass(frozen=True, kw_only=True)
class Decontaminate(Tolerance, Likeness, Against, Protection, Composite):
    """Drops documents that repeat held-out items: runs of their words, short items whole, near copies of longer ones.

    An item is a row of `against`, or a question with its right answer of a `target_file`. It is found by any `ngram`
    words of it in a row; whole where it has fewer, but `shortest` or more; and, where every few words were changed, by
    the share `near` of the 5-grams of one of its passages in one document. Words are in normal form; a Han character or
    a kana is a word of its own. Items of fewer than `shortest` words and empty ones protect nothing: they are counted
    and remarked.

    `contaminated_ngrams`: runs of `ngram` words in the document, of which `max_ngrams` are allowed;
    `contaminated_items`: numbers of the items found in it, in the order of their ids; `contaminated_tasks`: the
    files (or tasks) that they are of; `contaminated_words`: the most words in a row that lie in what was found;
    `contaminated_share`: of all words. The metric `found` names items with the number of their documents, `tasks`
    how many items of each were found: `expect: {max_items_found: 0.01}` stops a run where it is more of any task.

    With `against_vectors`, a stage that gives the rows of `against` vectors as `vectors` does the documents, what says
    the same in other words goes too: where the cosine with the nearest item is `similarity` or more. Then
    `contaminated_similarity` and `contaminated_like` say how near and which item, and `contaminated_by` why a document
    goes: `words` (runs of them), `text` (a short item whole, a near copy) or `vectors`, the first that is true.

    Raises:
        DataError: no item is long enough, so that nothing would be protected.
    Cost: one pass of hashing and a look-up per word; memory 150 to 300 bytes per word of the items.
    Source: 13-word overlap as in Brown et al. 2020 (appendix C); whole short items, near copies by passage and the
    direction (the pool is cleaned) are own
    """

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 3  # 2: words in normal form, whole short items, near copies; 3: tasks, extent
    role: ClassVar[str] = "filter"
    kind: ClassVar[Kind] = Kind.COLUMNS
    columns_from: ClassVar[tuple[str, ...]] = ("vectors",)

    against_vectors: str = port("ref", default="")  # vectors of the items: what says the same in other words goes too

    def validate(self) -> None:
        """Raise ConfigError for numbers that cannot work."""
        self.check()
        check_likeness(self, self.against_vectors)
        if self.max_ngrams < 0:
            raise ConfigError(f"max_ngrams is {self.max_ngrams}, and must not be negative", where="max_ngrams")

    def needs(self) -> tuple[str, ...]:
        """The text, and vectors where they are compared."""
        return ("text", self.vectors) if self.against_vectors else ("text",)

    def outputs(self) -> Schema:
        """The columns of the verdict."""
        return outputs_of(self.against_vectors)

    def expand(self, scope: Scope) -> list[Sub]:
        """`matches`, `semantic` where vectors are compared, and `verdict`, all on the same rows."""
        protection, refs = part_of(self, Protection), {"against": self.against}
        matches = ProtectedMatches(**protection, against=self.against)
        like = part_of(self, Likeness) if self.against_vectors else {}
        verdict = Verdict(**protection, **part_of(self, Tolerance), **like, against=self.against,
                          by_vectors=bool(self.against_vectors))  # fmt: skip
        subs = [Sub(name="matches", operator=matches, inputs=scope.inputs, refs=refs, where=scope.where)]
        if self.against_vectors:
            semantic = SemanticMatches(**like, items=self.against_vectors)
            items = {"items": self.against_vectors}
            subs.append(Sub(name="semantic", operator=semantic, inputs=scope.inputs, refs=items, where=scope.where))
        measured = tuple(f".{sub.name}" for sub in subs)
        inputs = (*scope.inputs, *measured)
        return [*subs, Sub(name="verdict", operator=verdict, inputs=inputs, refs=refs, where=scope.where)]
