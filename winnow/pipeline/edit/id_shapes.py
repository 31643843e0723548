"""Numbers that name a person: their shapes, and what a check digit says of them.

A shape has one character per character: `9` a digit, `A` an upper-case letter, `X` either, `-` a blank, a hyphen, a
full stop, a slash or nothing, `=` a hyphen that must stand there; anything else stands for itself. The check works on
the digits and letters in their order.
"""

from __future__ import annotations

from dataclasses import dataclass

from winnow.core.errors import ConfigError, did_you_mean

CHECKS = ("none", "luhn", "mod97", "mod11_10", "letter23", "eleven", "cpf", "verhoeff", "mod11_2", "pesel", "ssn")
LONGEST = 32


@dataclass(frozen=True, kw_only=True)
class IdShape:
    """One kind of number: its shape and its check."""

    shape: str
    check: str = "none"


KNOWN: dict[str, IdShape] = {
    "us_ssn": IdShape(shape="999=99=9999", check="ssn"),  # no check digit: its hyphens, and areas that are not given
    "de_idnr": IdShape(shape="99999999999", check="mod11_10"),
    "fr_nir": IdShape(shape="9-99-99-99-999-999-99", check="mod97"),
    "es_dni": IdShape(shape="99999999-A", check="letter23"),
    "nl_bsn": IdShape(shape="999999999", check="eleven"),
    "br_cpf": IdShape(shape="999-999-999-99", check="cpf"),
    "in_aadhaar": IdShape(shape="9999-9999-9999", check="verhoeff"),
    "cn_rid": IdShape(shape="99999999999999999X", check="mod11_2"),
    "pl_pesel": IdShape(shape="99999999999", check="pesel"),
    "se_pnr": IdShape(shape="999999-9999", check="luhn"),
}


def shapes_of(ids: tuple[str, ...], shapes: dict[str, str]) -> list[IdShape]:
    """The kinds of numbers that a recipe names, and its own. Raises ConfigError for one that cannot work."""
    out = []
    for name in ids:
        if name not in KNOWN:
            raise ConfigError(f"no national number {name!r}", where="ids", hint=did_you_mean(name, KNOWN))
        out.append(KNOWN[name])
    for name, said in shapes.items():
        shape, _, check = said.partition(" ")
        where = f"shapes.{name}"
        check = check.strip() or "none"
        if check not in CHECKS:
            raise ConfigError(f"no check {check!r}", where=where, hint=did_you_mean(check, CHECKS))
        if not 4 <= len(shape) <= LONGEST or not shape.isascii() or not any(c in "9AX" for c in shape):
            hint = (
                "for example `AA-999999` or `9999-9999-9999 luhn`: 9 a digit, A a capital, X either, - a mark or none"
            )
            raise ConfigError(f"{shape!r} is no shape of a number of 4 to {LONGEST} characters", where=where, hint=hint)
        out.append(IdShape(shape=shape, check=check))
    return out
