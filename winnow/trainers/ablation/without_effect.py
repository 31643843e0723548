"""Fields of an ablation that its other fields leave without effect: refused, so that nobody counts on them."""

from __future__ import annotations

from winnow.core.errors import ConfigError, did_you_mean
from winnow.trainers.ablation.design import Comparison, Design
from winnow.trainers.compare.halving import Halving
from winnow.trainers.model.sizes import shape_of
from winnow.trainers.model.without_effect import check_effect, check_numbers


def check_read(fields: Design) -> None:
    """Check that every field that is not its default is read by something.

    Raises:
        ConfigError: one is not; its name, the field that would read it, and what to do. Or `save_every` is negative.
    """
    check_effect(fields.recipe())
    if fields.save_every < 0:
        raise ConfigError(f"save_every is {fields.save_every}, and must be at least 0", where="save_every")
    if len(set(fields.loss_at)) < len(fields.loss_at) or min(fields.loss_at, default=0) < 0:
        raise ConfigError(f"loss_at is {list(fields.loss_at)}: steps of the run, each once", where="loss_at")
    for field in ("scales", "size"):
        if getattr(fields, field):
            named = fields.scales[-1] if fields.scales else fields.size
            check_numbers(fields, field=field, named=shape_of(named))
            break
    unread = {
        "scale_tokens": (bool(fields.scales), "says how many tokens smaller `scales` get, and there are none",
                         "add `scales: [0.5M, 1M]`"),
        "selection_flops": (bool(fields.budgets), "is folded into the token multiplier, and there is none",
                            "add `budgets:`, five or more"),
        "tokenizer_bytes": (not (fields.start or fields.starts), "are for fitting a tokenizer, and it is the start's",
                            "leave it out"),
    }  # fmt: skip
    defaults = Comparison.__dataclass_fields__
    for name, (read, what, hint) in unread.items():
        if getattr(fields, name) != defaults[name].default and not read:
            raise ConfigError(f"{name} {what}", where=name, hint=hint)
    if fields.folds and fields.question == "selection":
        raise ConfigError("in folds every seed has a selection of its own, and no verdict is of one selection",
                          where="question", hint="leave out `question`, or `folds`")  # fmt: skip
    for name in fields.selection_flops or {}:
        if name not in fields.candidates():
            raise ConfigError(f"no arm is called {name!r}", where="selection_flops",
                              hint=did_you_mean(name, fields.candidates()))  # fmt: skip
    if fields.halving is not None and not Halving.of(fields.halving).rungs(fields.seeds):
        first = Halving.of(fields.halving).first
        raise ConfigError(f"halving decides after {first} seeds, and there are {fields.seeds}", where="halving",
                          hint=f"give {first + 1} seeds or more")  # fmt: skip
