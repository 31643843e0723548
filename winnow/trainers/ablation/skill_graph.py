"""`skill_graph`: which skill helps which, from short runs of a small model. `skill_it` draws skills by it.

Sub-stages: `tokenizer`, `tokens`, `feedback_*` per text, `domains`, and `graph` (the runs), whose result this is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from winnow.core.errors import ConfigError
from winnow.core.operators import Composite, Exactness, Scope, Sub, port
from winnow.core.operators.config import part_of
from winnow.core.operators.contract import Meaning
from winnow.trainers.ablation.check_arms import check_arms
from winnow.trainers.ablation.design import Design, Labels, labelled
from winnow.trainers.ablation.grid import Grid
from winnow.trainers.ablation.skill_runs import Learned, SkillRuns
from winnow.trainers.data.encoder import check_vocab
from winnow.trainers.data.pack import steps_of
from winnow.trainers.evaluate.target_tokens import TargetTokens
from winnow.trainers.model.policed import MOST_TEXT_BYTES
from winnow.trainers.model.training import Training
from winnow.trainers.online.mixtures.unimax import Unimax


@dataclass(frozen=True, kw_only=True)
class SkillGraph(Training, Learned, Composite):
    """A graph {skill: {text: a}}: how much a short run on a skill lowers the loss on a text, 0 to 1.

    Skills are the values of `per` in `selection`, texts the held-out rows of `feedback`. `method: alone` trains once on
    each skill: a = max(0, (L - L_i) / L), L the loss of the untrained model, which is cheap and rates what all language
    has in common as help; `pairs` trains on every pair too, half of each, and on text j's own skill:
    a = max(0, (L_j - L_ij) / L_j), 1 on itself. Edges below `least` are 0. The result's `graph` is also in graph.json:
    name the stage in `skill_it: {graph: ...}`.

    Cost: k + 1, or k (k + 1) / 2 runs of `tokens` each for k skills; each is kept when it is done.
    Source: Skill-It (Chen et al., NeurIPS 2023, arXiv 2307.14430), section 3.2; one seed, `least` own
    """

    name: ClassVar[str] = "skill_graph"
    role: ClassVar[str] = "trainer"
    exactness: ClassVar[Exactness] = Exactness(1e-3)
    uses: ClassVar[tuple[str, ...]] = ("torch", "tokenizers")
    takes: ClassVar[tuple[str, ...]] = ("selection",)
    meaning: ClassVar[Mapping[str, Meaning]] = {"per": "columns"}

    selection: str = port("ref")
    feedback: Labels = port("refs")  # label -> held-out rows or a `target_file`
    per: tuple[str, ...]  # the columns whose values are the skills
    tokens: int = 100_000  # predicted tokens of each run
    tokenizer_bytes: int = 8_000_000

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ConfigError: a number is out of its range, or there are no skills.
        """
        if not self.per:
            raise ConfigError("no skills", where="per", hint="name the column whose values are the skills")
        if not 0 <= self.least < 1:
            raise ConfigError(f"least is {self.least}, and lies in [0, 1)", where="least")
        self.recipe().check()
        check_vocab(self.shape().vocab)
        self.shape().check()
        steps_of(self.tokens, context=self.shape().context, batch=self.batch)

    def expand(self, scope: Scope) -> list[Sub]:
        """Tokenizer, tokens, texts in tokens, skills, and the runs."""
        check_arms({"selection": self.selection}, scope)
        training = part_of(self, Training)
        design = Design(arms={}, baseline=self.selection, eval=(), seeds=1, aa=False, tokens=self.tokens,
                        tokenizer_bytes=self.tokenizer_bytes, **training)  # fmt: skip
        grid, vocab = Grid(design, scope), self.shape().vocab
        texts: dict[str, str] = {}
        for label, stage in labelled(self.feedback).items():
            refs = {"target": stage, "tokenizer": grid.tokenizer(vocab)}
            operator = TargetTokens(most_bytes=MOST_TEXT_BYTES)
            texts[label] = grid.add(Sub(name=f"feedback_{label}", operator=operator, refs=refs))
        skills = Sub(name="domains", operator=Unimax(per=self.per), inputs=grid.inputs, where=scope.where)
        runs = SkillRuns(method=self.method, least=self.least, tokens_per_run=self.tokens, init_seed=scope.seed,
                         order_seed=scope.seed, **training)  # fmt: skip
        read = {"selection": self.selection, "tokens": grid.tokens(vocab), "domains": grid.add(skills)}
        grid.add(Sub(name="graph", operator=runs, refs={**read, "texts": texts}))
        return list(grid.subs.values())
