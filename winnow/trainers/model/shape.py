"""The size of a model, its weights and its operations in numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields

from winnow.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Size:
    """Five numbers that make a model's size."""

    vocab: int = 4096
    width: int = 96
    layers: int = 3
    heads: int = 3
    context: int = 128


@dataclass(frozen=True, kw_only=True)
class Shape(Size):
    """The size of a model, and what follows from it."""

    def check(self) -> None:
        """Check that the sizes fit each other.

        Raises:
            ConfigError: a size is not positive, or the heads do not divide the width into even parts.
        """
        for name in ("vocab", "width", "layers", "heads", "context"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, and must be at least 1", where=name)
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ConfigError(
                f"width {self.width} over {self.heads} heads is not an even whole number",
                where="heads",
                hint="choose a width that is a multiple of 2 x heads",
            )

    def beside(self, other: Shape) -> tuple[str, str]:
        """The numbers in which two shapes differ, of each: `width 32, layers 1` and `width 64, layers 2`."""
        names = [one.name for one in fields(self) if getattr(self, one.name) != getattr(other, one.name)]
        told = [", ".join(f"{name} {getattr(shape, name)}" for name in names) for shape in (self, other)]
        return told[0], told[1]

    def parameters(self) -> tuple[int, int]:
        """(all weights, weights outside embedding and head)."""
        hidden = self.layers * 12 * self.width**2
        return hidden + 2 * self.vocab * self.width, hidden

    def operations(self, num_tokens: int) -> float:
        """Floating-point operations of training on `num_tokens`: 6 per weight and 12 L D T of attention, halved."""
        weights = self.parameters()[0] - self.vocab * self.width  # looking up an embedding multiplies nothing
        return num_tokens * (6.0 * weights + 6.0 * self.layers * self.width * self.context)
