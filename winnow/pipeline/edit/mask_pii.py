"""Personal data, masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from winnow.core.errors import ConfigError
from winnow.core.operators import Context, Schema
from winnow.core.operators.contract import Meaning
from winnow.core.operators.edit import Edit, Edited, room
from winnow.core.operators.effect import ReadAt
from winnow.core.words.splice import Spans, replaced
from winnow.core.words.text import utf8_buffers, valid_mask
from winnow.pipeline.edit.id_shapes import shapes_of

Kind = Literal["email", "phone", "ip", "iban", "card"]
KINDS = ("email", "phone", "ip", "iban", "card", "id")  # in the order of the kernel's counts
NAMES = ("EMAIL", "PHONE", "IP", "IBAN", "CARD", "ID")
COLUMNS = tuple(f"pii_{kind}" for kind in KINDS)
IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
    "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
    "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
    "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
    "YE30"
)  # of SWIFT's registry


@dataclass(frozen=True, kw_only=True)
class MaskPii(Edit):
    """The text with personal data masked; how many of each kind: `pii_email`, `pii_phone`, ..., in all `pii_count`.

    | kind | what is found |
    |---|---|
    | `email` | address of ASCII characters with a host of two labels or more, or an IPv4 address in brackets |
    | `phone` | + and 8 to 15 digits; ten digits of the North American plan with marks (`bare_phones`: also without) |
    | `ip` | IPv4 and IPv6 that are reachable from everywhere (`private_ips`: also others); no version `1.2.3.4.5` |
    | `iban` | the length of its country, and mod 97 = 1 |
    | `card` | beginning and length of a card network, and a right check digit (Luhn) |
    | `ids` | numbers of persons: `us_ssn`, `de_idnr`, `fr_nir`, `es_dni`, `nl_bsn`, `br_cpf`, `in_aadhaar`, `cn_rid`, |
    |       | `pl_pesel`, `se_pnr`, each with its check; `shapes` names your own: `{staff: "AA-999999 luhn"}` |

    `style: mask` writes `<EMAIL>`, `<PHONE>`, ... (`mask` says how), `style: form` keeps length and marks: 0 for
    digits, x for letters. Names, streets and national numbers of other countries are not looked for, nor phone numbers
    in other forms. What a mask hides is gone from what is written, and stays in the run root, with what was read.

    Raises: ConfigError for an unknown kind, number or shape, or a `mask` without `{}`.
    Cost: linear in bytes: every look ahead or back is bounded.
    Source: own scanners; kinds as in Dolma (Soldaini et al. 2024) and datatrove 0.10.1, `PIIFormatter`; addresses by
        RFC 5321, 4291 and IANA's registries, E.164, ISO 13616, ISO 7812, ISO 7064
    """

    name: ClassVar[str] = "mask_pii"
    meaning: ClassVar[Mapping[str, Meaning]] = {"mask": "free", "ids": "closed", "shapes": "free"}
    read_at: ClassVar[ReadAt] = {"mask": ("style", ("mask",))}

    kinds: tuple[Kind, ...] = ("email", "phone", "ip", "iban", "card")
    ids: tuple[str, ...] = ()
    shapes: dict[str, str] = field(default_factory=dict)  # your own: name -> shape, and its check where it has one
    style: Literal["mask", "form"] = "mask"
    mask: str = "<{}>"
    private_ips: bool = False
    bare_phones: bool = False

    def validate(self) -> None:
        """Raise ConfigError where nothing is looked for, for an unknown number, or a `mask` without its place."""
        shapes_of(self.ids, self.shapes)
        if not self.kinds and not self.ids and not self.shapes:
            raise ConfigError("nothing to look for", where="kinds", hint="for example `kinds: [email, ip]`")
        if self.style == "mask" and self.mask.count("{}") != 1:
            raise ConfigError(f"mask is {self.mask!r}", where="mask", hint="write `{}` once, where the kind stands")
        for flag, kind in (("private_ips", "ip"), ("bare_phones", "phone")):
            if getattr(self, flag) and kind not in self.kinds:
                raise ConfigError(f"`{flag}` has no effect without the kind {kind!r}", where=flag, hint="leave it out")

    def measures(self) -> Schema:
        """A count per kind, and of all, i32."""
        return {**dict.fromkeys(COLUMNS, pa.int32()), "pii_count": pa.int32()}

    def editing(self, ctx: Context) -> Callable[[pa.RecordBatch], Edited]:
        """Load the scanners; the first time on a machine they are compiled (seconds)."""
        from winnow.pipeline.edit import mask_pii_kernels as kernels

        tables, options = self._tables(), self._options()

        def edit(batch: pa.RecordBatch) -> Edited:
            text = batch.column("text")
            offsets, data = utf8_buffers(text)
            texts = (np.ascontiguousarray(offsets), data, valid_mask(text))
            most = kernels.most_spans(texts)
            made = room(len(text), most, len(KINDS))
            kernels.spans_of(texts, tables, options, made.rows, made.out, made.counts)
            found = tuple(array[: made.out[3][0]] for array in made.out[:3])
            spans = self._masked(texts, made.rows, found, tables[0])
            columns = made.columns({name: at for at, name in enumerate(COLUMNS)}, text)
            total = pa.array(made.counts.sum(axis=1).astype(np.int32), mask=~texts[2])
            return Edited(spans=spans, columns={**columns, "pii_count": total})

        return edit

    def _masked(self, texts: Any, rows: np.ndarray, found: tuple[np.ndarray, ...], table: np.ndarray) -> Spans:
        """What stands in the place of each span."""
        from winnow.pipeline.edit import mask_pii_kernels as kernels

        starts, stops, kinds = found
        if self.style == "mask":
            return replaced(rows, starts, stops, kinds, [self.mask.replace("{}", name) for name in NAMES])
        ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(stops - starts)])
        new = np.zeros(int(ends[-1]), dtype=np.uint8)
        kernels.same_form(texts, (rows, starts, stops), ends, new, table)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(new)]
        return Spans(rows=rows, starts=starts, stops=stops,
                     new=pa.Array.from_buffers(pa.large_string(), len(starts), buffers))  # fmt: skip

    def _tables(self) -> tuple[Any, ...]:
        """(what each byte may be, lengths of IBANs by country, shapes of numbers, room for digits)."""
        from winnow.pipeline.edit.id_kernels import packed
        from winnow.pipeline.edit.pii_kernels import byte_classes

        lengths = np.zeros(26 * 26, dtype=np.int64)
        for one in IBAN_LENGTHS.split():
            lengths[(ord(one[0]) - 65) * 26 + ord(one[1]) - 65] = int(one[2:])
        return byte_classes(), lengths, packed(shapes_of(self.ids, self.shapes)), np.zeros(40, dtype=np.int64)

    def _options(self) -> np.ndarray:
        """Per kind 0, 1, or 2 where everything of the kind is meant, i64[6]."""
        wide = {"ip": self.private_ips, "phone": self.bare_phones}
        on = [(1 + wide.get(kind, False)) if kind in self.kinds else 0 for kind in KINDS]
        return np.array(on, dtype=np.int64)
