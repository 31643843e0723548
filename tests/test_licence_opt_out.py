"""`licence`: the texts and headers of licences; `opt_out`: what pages and servers say."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from winnow.core.errors import ConfigError
from winnow.core.operators import Context
from winnow.pipeline.filter.filter import Filter
from winnow.pipeline.measure.licence import Licence
from winnow.pipeline.measure.licence_terms import KINDS, kind_of, known_licences
from winnow.pipeline.measure.opt_out import OptOut
from winnow.pipeline.read.archive_records import named_fields


def answers(operator, texts, **more):
    operator.validate()
    frame = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String), **more})
    return operator.open(Context(seed=0, work=Path()))(frame)


@pytest.mark.parametrize(("text", "licence", "kind"), [
    ("# SPDX-License-Identifier: MIT\nx = 1", "MIT", "permissive"),
    ("/* SPDX-License-Identifier: GPL-2.0+ WITH Linux-syscall-note */", "GPL-2.0+ WITH Linux-syscall-note", "copyleft"),
    ("<!-- SPDX-License-Identifier: (MIT OR GPL-3.0-only) -->", "(MIT OR GPL-3.0-only)", "permissive"),
    ("// SPDX-License-Identifier: Apache-2.0 AND CC-BY-SA-4.0\n", "Apache-2.0 AND CC-BY-SA-4.0", "weak_copyleft"),
    ("# SPDX-License-Identifier: LicenseRef-ours\n", "LicenseRef-ours", None),
    ("SPDX-License-Identifier:\nx", None, None), ("x = 1", None, None), ("", None, None), (None, None, None),
])  # fmt: skip
def test_what_an_spdx_line_names(text, licence, kind):
    row = answers(Licence(), [text]).row(0, named=True)
    free = None if kind is None else kind in ("permissive", "public_domain")
    assert row == {
        "licence": licence,
        "licence_from": licence and "spdx",
        "licence_kind": kind,
        "licence_permissive": free,
    }


COMMENTS = ("# {}", " * {}", "// {}", "{}", "-- {}")


def wrapped(text: str, sign: str, width: int = 60) -> str:
    """A text as a comment of short lines."""
    lines, line = [], ""
    for word in text.split():
        if len(line) + len(word) > width:
            lines.append(line)
            line = ""
        line += (" " if line else "") + word
    return "\n".join(sign.format(one) for one in [*lines, line])


SAID = {  # a sentence or two of each, as licences and their headers put it, with others around
    "MIT": "Copyright (c) 2020 A. Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files (the \"Software\"), to deal in it. The above copyright notice and this permission notice shall be included in all copies or substantial portions.",
    "MIT-0": "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files. THE SOFTWARE IS PROVIDED AS IS.",
    "BSD-2-Clause": "Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following conditions are met: 1. Keep the notice.",
    "BSD-3-Clause": "Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following conditions are met: 3. Neither the name of the holder nor others may be used.",
    "BSD-4-Clause": "Redistribution and use in source and binary forms are permitted. All advertising materials mentioning features or use of this software must display it. Neither the name of the University",
    "ISC": "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that the above copyright notice and this permission notice appear in all copies.",
    "0BSD": "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted. THE SOFTWARE IS PROVIDED",
    "Apache-2.0": "Licensed under the Apache License, Version 2.0 (the \"License\"); you may not use this file except in compliance",
    "GPL-3.0-or-later": "under the terms of the GNU General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.",
    "GPL-2.0-only": "under the terms of the GNU General Public License as published by the Free Software Foundation; version 2 of the License.",
    "GPL-3.0-only": "GNU GENERAL PUBLIC LICENSE Version 3, 29 June 2007",
    "LGPL-2.1-or-later": "under the GNU Lesser General Public License; either version 2.1 of the License, or (at your option) any later version.",
    "AGPL-3.0-only": "GNU AFFERO GENERAL PUBLIC LICENSE Version 3, 19 November 2007",
    "MPL-2.0": "This Source Code Form is subject to the terms of the Mozilla Public License, v. 2.0.",
    "Unlicense": "This is free and unencumbered software released into the public domain.",
    "BSL-1.0": "Boost Software License - Version 1.0 - August 17th, 2003",
    "CC-BY-NC-SA-4.0": "Creative Commons Attribution-NonCommercial-ShareAlike 4.0 International",
    "CC-BY-4.0": "Creative Commons Attribution 4.0 International",
    "LicenseRef-proprietary": "Proprietary and confidential. Unauthorized copying is prohibited.",
}  # fmt: skip


def test_texts_of_licences_are_known_in_any_comment():
    texts = [f"{wrapped(said, sign)}\nint main() {{}}" for said in SAID.values() for sign in COMMENTS]
    found = answers(Licence(), texts)
    wanted = [name for name in SAID for _ in COMMENTS]
    assert found["licence"].to_list() == wanted
    assert set(found["licence_from"]) == {"text"}


def test_every_listed_licence_is_found_by_its_own_phrases_and_has_a_kind():
    entries = known_licences()
    texts = [". ".join(one.phrases) for one in entries]
    assert answers(Licence(), texts)["licence"].to_list() == [one.id for one in entries]
    assert {one.kind for one in entries} <= set(KINDS)
    assert len({one.id for one in entries}) >= 40


def test_only_the_head_of_a_file_is_looked_at():
    text = "x" * 500 + "\nSPDX-License-Identifier: MIT"
    assert answers(Licence(), [text])["licence"].to_list() == ["MIT"]
    assert answers(Licence(head=400), [text])["licence"].to_list() == [None]


@pytest.mark.parametrize(("expression", "kind"), [
    ("MIT", "permissive"), ("mit", "permissive"), ("GPL-2.0+", "copyleft"), ("MIT OR GPL-3.0", "permissive"),
    ("MIT AND GPL-3.0", "copyleft"), ("MIT OR Unlicense", "public_domain"), ("(MIT OR GPL-3.0) AND LGPL-2.1", "weak_copyleft"),
    ("MIT AND Strange-1.0", None), ("MIT OR Strange-1.0", "permissive"), ("Strange", None), ("MIT MIT", None),
    ("GPL-2.0 WITH Classpath-exception-2.0 OR Apache-2.0", "permissive"), ("(" * 300 + "MIT", None),
    ("CC-BY-NC-ND-3.0", "non_commercial"), ("CC-BY-3.0", "permissive"), ("((MIT))", "permissive"), ("MIT AND", None), ("ISC+", "permissive"),
])  # fmt: skip
def test_what_an_expression_allows(expression, kind):
    assert kind_of(expression) == kind


def page(*metas: str) -> str:
    return f"<html><head>{''.join(metas)}</head><body>robots noai</body></html>"


@pytest.mark.parametrize(("text", "yes"), [
    (page('<meta name="robots" content="noai, noimageai">'), {"opt_out", "opt_out_noai", "opt_out_noimageai"}),
    (page("<META CONTENT='NOAI' NAME='ROBOTS'/>"), {"opt_out", "opt_out_noai"}),
    (page("<meta name=GPTBot content=noindex>"), {"opt_out_noindex"}),
    (page('<meta name="google-extended" content="noai">'), {"opt_out", "opt_out_noai"}),
    (page('<meta name="robots" content="none">', '<meta\nname="bingbot"\ncontent="nocache">'), {"opt_out_noindex", "opt_out_noarchive"}),
    (page('<meta name="tdm-reservation" content="1">'), {"opt_out", "opt_out_tdm"}),
    (page('<meta name="tdm-reservation" content="0">', '<meta name="tdm-policy" content="x">'), set()),
    (page('<meta name="tdm-reservation" content="10">'), set()),
    (page('<meta name="description" content="noai">'), set()), (page('<meta name="robots" content="index, noairplanes">'), set()),
    (page('<meta name="robots" content="">', '<meta name="robots">'), set()), ("noai", set()), ("", set()),
])  # fmt: skip
def test_what_a_page_says(text, yes):
    row = answers(OptOut(), [text]).row(0, named=True)
    assert {name for name, value in row.items() if value is True} == yes
    assert row["opt_out_policy"] == ("x" if "tdm-policy" in text else None)


def test_headers_count_as_meta_tags_do():
    operator = OptOut(robots_tag="tag", tdm_header="tdm")
    tag = pl.Series(["noai", "otherbot: noindex, nofollow", None, "max-snippet: 3", None], dtype=pl.String)
    tdm = pl.Series(["0", " 1 ", "1", None, "10"], dtype=pl.String)
    found = answers(operator, ["<p>"] * 4 + [None], tag=tag, tdm=tdm)
    assert found["opt_out"].to_list() == [True, True, True, False, None]
    assert found["opt_out_noindex"].to_list() == [False, True, False, False, None]


def test_a_server_that_sends_the_header_twice_is_heard_twice():
    header = b"HTTP/1.1 200 OK\r\nX-Robots-Tag: noindex\r\nServer: a\r\nServer: b\r\nx-robots-tag: bot: noai\r\n\r\n"
    fields = named_fields(header)
    assert fields == {"x-robots-tag": "noindex, bot: noai", "server": "a"}
    many = b"HTTP/1.1 200 OK\r\n" + b"X-Robots-Tag: noindex\r\n" * 5000
    assert len(named_fields(many)["x-robots-tag"]) < 2100


def test_texts_that_are_no_pages_are_told():
    (told,) = OptOut().remarks({"rows": 3, "tags": 0}, {})
    assert "none of 3 texts" in told
    assert OptOut().remarks({"rows": 3, "tags": 1}, {}) == ()


def test_presets_drop_what_asks_not_to_be_used_and_what_names_persons():
    rows = pl.DataFrame(
        {"opt_out": [True, False, None], "pii_count": [0, 1, None], "licence_permissive": [True, False, None]}
    )
    kept = {name: Filter(preset=(name,)).open(Context(seed=0, work=Path()))(rows)["kept"].to_list()
            for name in ("no_opt_out", "no_persons", "permissive_code")}  # fmt: skip
    assert kept == {
        "no_opt_out": [False, True, False],
        "no_persons": [True, False, False],
        "permissive_code": [True, False, False],
    }


@pytest.mark.parametrize("operator", [Licence(head=9), OptOut(head=9)])
def test_a_head_in_which_nothing_can_stand_is_refused(operator):
    with pytest.raises(ConfigError, match="head is 9"):
        operator.validate()
