"""The model of the language identifier as whole numbers, and the kinds of characters it is asked about."""

from __future__ import annotations

import sys
import unicodedata
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from winnow.core.errors import ConfigError, DataError
from winnow.core.kept_tables import kept
from winnow.pipeline.measure.language_kernels import COMPOSES, LOWER, MARK, TOGETHER, UPPER

ENTRY_SCALE = 512  # entries of the model are half floats of magnitude 2..16: multiples of 1 / 512
WORTH_SCALE = 1 << 20  # log(1 + count) on a fixed grid, so that products and sums stay integers below 2**53
_CLASSES = 16  # the lines of the table are padded to a multiple, as wide as a vector of u16
_CHARACTERS = 0x30000  # above are only ideographs, tags and private use


class Tables(NamedTuple):
    """py3langid's model with integer weights."""

    step: npt.NDArray[np.uint32]  # [rows * 256]
    row_of: npt.NDArray[np.uint16]  # [states]
    emits: npt.NDArray[np.int32]  # [states]
    excess: npt.NDArray[np.uint16]  # [features + 1, padded classes] above `floor`, in 1 / ENTRY_SCALE; the last is 0
    floor: npt.NDArray[np.float64]  # [classes]: the weight of a feature that a class was never seen with
    prior: npt.NDArray[np.float64]  # [classes], integers in 1 / (ENTRY_SCALE * WORTH_SCALE)
    codes: tuple[str, ...]


@lru_cache(maxsize=1)
def language_tables() -> Tables:
    """The model of py3langid as whole numbers: made once on a machine, then mapped (69 MB that workers share).

    Raises: DataError where the installed model does not fit the grid of integers.
    """
    from py3langid import langid

    file = Path(langid.__file__).parent / langid.MODEL_FILE
    found = dict(kept("language", _made_of(file.read_bytes()), partial(_made, langid, file)))
    codes = tuple(found.pop("codes").tolist())
    return Tables(codes=codes, **found)


def _made_of(more: bytes) -> bytes:
    """What decides about tables that this file makes of `more`."""
    versions = f"numpy {np.__version__.partition('.')[0]} {sys.byteorder} "
    own = Path(__file__)
    return versions.encode() + own.read_bytes() + own.with_name("language_kernels.py").read_bytes() + more


def _made(langid: Any, file: Path) -> dict[str, npt.NDArray[Any]]:
    model = langid.LanguageIdentifier.from_model_file(str(file))
    entries = np.asarray(model.nb_ptc, dtype=np.float32) * np.float32(ENTRY_SCALE)
    floor = entries.min(axis=0)
    above = entries - floor
    row_of = np.asarray(model.tk_row)
    if not np.array_equal(np.rint(entries), entries) or above.max() * TOGETHER >= 2**16 or row_of.max() >= 2**16:
        raise DataError(
            "this py3langid model does not fit the fixed-point grid",
            hint="install py3langid 0.4, or give model_file",
        )
    return {
        "step": np.asarray(model.tk_nextmove, dtype=np.uint32),
        "row_of": row_of.astype(np.uint16),
        "emits": np.asarray(model.tk_output, dtype=np.int32),
        "excess": _padded(above),
        "floor": floor.astype(np.float64),
        "prior": np.rint(np.asarray(model.nb_pc, dtype=np.float64) * (ENTRY_SCALE * WORTH_SCALE)),
        "codes": np.asarray(model.nb_classes, dtype=np.str_),
    }


def _padded(above: npt.NDArray[np.float32] | npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    features, classes = above.shape
    out = np.zeros((features + 1, classes + -classes % _CLASSES), dtype=np.uint16)
    out[:features, :classes] = above
    return out


def restricted(tables: Tables, languages: tuple[str, ...]) -> Tables:
    """The model with these codes alone; () = all.

    Raises: ConfigError for a code that the model lacks.
    """
    if not languages:
        return tables
    unknown = sorted(set(languages) - set(tables.codes))
    if unknown:
        raise ConfigError(
            f"no such language: {', '.join(unknown)}",
            where="languages",
            hint="known: " + " ".join(sorted(set(tables.codes))),
        )
    keep = [at for at, code in enumerate(tables.codes) if code in languages]
    return tables._replace(
        excess=_padded(tables.excess[:-1, keep]),
        floor=tables.floor[keep],
        prior=tables.prior[keep],
        codes=tuple(tables.codes[at] for at in keep),
    )


@lru_cache(maxsize=1)
def kinds_of_characters() -> npt.NDArray[np.uint8]:
    """Kinds of every character below U+30000, as bits: LOWER (or title case), UPPER, COMPOSES, MARK.

    COMPOSES: not the same in NFC, or may join what stands before it. MARK: its combining class is above 0.
    """
    unicode = f"polars {pl.__version__}, Python's Unicode {unicodedata.unidata_version}"
    return kept("characters", _made_of(unicode.encode()), lambda: {"kinds": _kinds()})["kinds"]


def _kinds() -> npt.NDArray[np.uint8]:
    points = [point for point in range(_CHARACTERS) if not 0xD800 <= point < 0xE000]
    chars = pl.Series([chr(point) for point in points], dtype=pl.String)
    apart = chars.str.normalize("NFD")
    tails = set("".join(apart.filter(apart.str.len_chars() > 1).str.slice(1).to_list()))
    kinds = np.zeros(_CHARACTERS, dtype=np.uint8)
    kinds[points] |= (LOWER * chars.str.contains(r"[\p{Lowercase}\p{Lt}]").to_numpy()).astype(np.uint8)
    kinds[points] |= (UPPER * chars.str.contains(r"\p{Uppercase}").to_numpy()).astype(np.uint8)
    kinds[points] |= (COMPOSES * (chars.str.normalize("NFC") != chars).to_numpy()).astype(np.uint8)
    kinds[[ord(char) for char in tails]] |= COMPOSES
    kinds[[point for point in points if unicodedata.combining(chr(point))]] |= MARK
    return kinds
