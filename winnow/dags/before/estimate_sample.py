"""A small keyed sample of a recipe's input: whole small files, byte slices of large ones, row groups of Parquet.

Pieces are taken in the order of a hash of (path, start) until their bytes reach the share, so the choice depends on
nothing but the input. Each unit of the sample holds one large piece or several small ones: a cluster, whose spread
gives the error. Of a compressed file that is larger than the sample only the beginning is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import xxhash

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Derive, FileSlice
from winnow.core.store.packing import UNPACKING_ERRORS, packed, unpacked
from winnow.core.store.remote_files import open_input
from winnow.dags.recipe.input_files import InputFile
from winnow.dags.recipe.input_stamps import stamp_of

MIN_BYTES = 1 << 20  # of a reader's input, where it has so many
UNITS = 16
MIN_UNIT_BYTES, MAX_UNIT_BYTES = 32 << 10, 4 << 20
_READ = 1 << 16


@dataclass(kw_only=True)
class Sample:
    """Units to read for one reader, the bytes each stands for, and what was copied to shorten a file."""

    total_bytes: int
    units: list[list[FileSlice]] = field(default_factory=list)
    unit_bytes: list[int] = field(default_factory=list)
    files: list[InputFile] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)  # files of which only the beginning was read

    @property
    def bytes(self) -> int:
        """Input bytes that the sample reads."""
        return sum(self.unit_bytes)

    def reads(self, reader: Derive) -> Derive:
        """The reader for these units, of which some may hold only the beginning of a file."""
        return reader.of_beginnings() if self.heads else reader


def choose(
    files: Sequence[InputFile], reader: Derive, *, share: float, most_bytes: int, seed: int, scratch: Path
) -> Sample:
    """The sample of one reader; shortened copies go to `scratch`.

    Raises: ConfigError where the share is not in (0, 1]. Cost: a hash per piece; reads nothing but Parquet footers.
    """
    if not 0 < share <= 1:
        raise ConfigError(f"{share:g} is no share of the input", where="--share", hint="more than 0, at most 1")
    total = sum(f.size for f in files)
    target = min(max(int(share * total), min(total, MIN_BYTES)), most_bytes)
    unit_bytes = min(max(target // UNITS, MIN_UNIT_BYTES), MAX_UNIT_BYTES)
    pieces = [p for f in files for p in _pieces(f, reader, unit_bytes)]
    pieces.sort(key=lambda p: (xxhash.xxh64_intdigest(f"{p.rel}\0{p.start}".encode(), seed), p.rel, p.start))
    out = Sample(total_bytes=total, files=list(files))
    held: list[FileSlice] = []
    for piece in pieces:
        if out.bytes + sum(map(_length, held)) >= target:
            break
        if _length(piece) > max(2 * unit_bytes, target // 2) and piece.stop < 0 and total > target:
            _add_head(out, piece, unit_bytes, scratch, lines=reader.lines)
        elif _length(piece) >= unit_bytes // 2:
            _add(out, [piece])
        else:
            held.append(piece)
            if sum(map(_length, held)) >= unit_bytes:
                _add(out, held)
                held = []
    if held:
        _add(out, held)
    return out


def _length(piece: FileSlice) -> int:
    return (piece.size if piece.stop < 0 else piece.stop) - piece.start


def _add(out: Sample, pieces: list[FileSlice]) -> None:
    out.units.append(sorted(pieces, key=lambda p: (p.rel, p.start)))
    out.unit_bytes.append(sum(map(_length, pieces)))


def _pieces(f: InputFile, reader: Derive, step: int) -> Iterator[FileSlice]:
    whole = FileSlice(path=f.path, rel=f.rel, digest=f.digest, size=f.size)
    if not f.rel.endswith(reader.splittable or ("\0",)) or f.size <= step or not (starts := reader.starts(whole, step)):
        yield whole
    else:
        yield from (replace(whole, start=a, stop=b) for a, b in itertools.pairwise([*starts, f.size]))


def _add_head(out: Sample, piece: FileSlice, most: int, scratch: Path, *, lines: bool) -> None:
    """The beginning of a file that cannot be cut: a shortened copy under the same relative path."""
    copy = scratch / f"{len(out.heads)}-{Path(piece.rel).name}"
    read = (_copy_head if lines else _copy_start)(piece.path, copy, most)
    size = copy.stat().st_size
    out.heads.append(piece.rel)
    out.files = [replace(f, path=str(copy), stamp=stamp_of(str(copy))) if f.rel == piece.rel else f for f in out.files]
    out.units.append([replace(piece, path=str(copy), size=size)])
    out.unit_bytes.append(min(read, piece.size))


def _copy_start(source: str, copy: Path, most: int) -> int:
    """Write the first bytes of a file whose members are read one by one; the last of them is cut."""
    try:
        with open_input(source) as raw:
            return copy.write_bytes(raw.read(most))
    except OSError as error:
        raise DataError(f"cannot read the beginning of {source}: {error}", where=source) from error


def _copy_head(source: str, copy: Path, most: int) -> int:
    """Write the records at the start of a (compressed) file; returns how many of its bytes that took."""
    try:
        with open_input(source) as raw:
            stream = unpacked(raw, source)
            text = b""
            while raw.tell() < most or b"\n" not in text:
                block = stream.read(_READ)
                if not block:
                    break
                text += block
            read = raw.tell()
    except UNPACKING_ERRORS as error:
        raise DataError(f"cannot read the beginning of {source}: {error}", where=source) from error
    text = text[: text.rfind(b"\n") + 1] or text
    copy.write_bytes(packed(text, source))
    return read
