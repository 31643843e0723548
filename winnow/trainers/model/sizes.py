"""Models by name, 0.5M to 350M: the name is the number of all weights, embedding and head among them.

Vocabularies are small where the model is, because embedding and head (not tied) hold 2 x vocabulary x width
weights and most of the arithmetic of a tiny model. Every width is a multiple of its heads times an even number.
"""

from __future__ import annotations

from winnow.core.errors import ConfigError, did_you_mean
from winnow.trainers.model.shape import Shape

TOLERANCE = 0.06  # |weights / name - 1| stays below it for every size

SIZES: dict[str, Shape] = {
    "0.5M": Shape(vocab=2048, width=72, layers=3, heads=3, context=128),
    "1M": Shape(vocab=4096, width=96, layers=2, heads=3, context=128),
    "2M": Shape(vocab=4096, width=128, layers=5, heads=4, context=128),
    "5M": Shape(vocab=4096, width=256, layers=4, heads=4, context=256),
    "15M": Shape(vocab=8192, width=384, layers=5, heads=6, context=256),
    "30M": Shape(vocab=8192, width=512, layers=7, heads=8, context=512),
    "60M": Shape(vocab=16384, width=640, layers=8, heads=10, context=1024),
    "124M": Shape(vocab=24576, width=768, layers=12, heads=12, context=1024),
    "350M": Shape(vocab=24576, width=1024, layers=24, heads=16, context=1024),
}


def shape_of(name: str) -> Shape:
    """The shape of a model of that size.

    Raises:
        ConfigError: no size has that name.
    """
    if name not in SIZES:
        raise ConfigError(f"no model size is called {name!r}", where="size", hint=did_you_mean(name, SIZES))
    return SIZES[name]


def named_weights(name: str) -> int:
    """The number of weights that a size's name says: 500,000 for `0.5M`."""
    return round(float(name.removesuffix("M")) * 1e6)


def weights_text(weights: int) -> str:
    """`45k` below a hundred thousand weights, else millions: `0.5M`, `124.0M`."""
    return f"{weights / 1e3:.0f}k" if weights < 100_000 else f"{weights / 1e6:.1f}M"
