"""Addresses: their parts beside independent code, block lists beside rules written out in Python, sites of a corpus."""

from __future__ import annotations

import functools
import io
import itertools
import random
import re
import string
import tarfile
from collections import Counter
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import lines_of, put_file, run

from winnow.core.errors import ConfigError, DataError
from winnow.core.operators import Context
from winnow.dags.driver.remarks import remarks_of
from winnow.pipeline.url.parse_url import ascii_host
from winnow.pipeline.url.text_table import text_table
from winnow.pipeline.url.url_list_files import ListedNames, read_lists
from winnow.pipeline.url.url_list_index import UrlListIndex, _regexes
from winnow.pipeline.url.url_list_lookup import UrlListLookup
from winnow.pipeline.url.url_parts import UrlParts
from winnow.testing.in_memory import MemorySource

psl = pytest.importorskip("publicsuffixlist")
CTX = Context(seed=0, work=Path())


def parts(*urls: str | None, **fields) -> list[dict]:
    operator = UrlParts(**fields)
    batch = pa.record_batch({"url": pa.array(urls, pa.large_string())})
    return operator.open(CTX)(batch).to_pylist()


@pytest.mark.parametrize(
    ("url", "normal", "host", "domain"),
    [
        ("HTTP://User:pa@ss@EXAMPLE.co.uk.:80/a/./b/../c%7e%2f?q=1#f", "http://example.co.uk/a/c~%2F?q=1",
         "example.co.uk", "example.co.uk"),
        ("https://news.bbc.co.uk:8443", "https://news.bbc.co.uk:8443/", "news.bbc.co.uk", "bbc.co.uk"),
        ("example.org/a", "example.org/a", "example.org", "example.org"),
        ("//x.github.io/a", "x.github.io/a", "x.github.io", "x.github.io"),
        ("localhost:8080/x", "localhost:8080/x", "localhost", None),
        ("http://[2001:DB8:0:0::1]:8080/x", "http://[2001:db8::1]:8080/x", "[2001:db8::1]", None),
        ("http://1.2.3.4/", "http://1.2.3.4/", "1.2.3.4", None),
        ("http://b\u00fccher.example/\u00df", "http://xn--bcher-kva.example/%C3%9F", "xn--bcher-kva.example",
         "xn--bcher-kva.example"),
        ("http://\u4f8b\u3048\u3002\u30c6\u30b9\u30c8/", "http://xn--r8jz45g.xn--zckzah/", "xn--r8jz45g.xn--zckzah",
         "xn--r8jz45g.xn--zckzah"),
        ("http://%65xample.com/", "http://example.com/", "example.com", "example.com"),
        ("http:\\\\a.com\\b", "http://a.com/b", "a.com", "a.com"),
        ("http:a.com", "http://a.com/", "a.com", "a.com"),
        (" \thttp://a.com/x y\n", "http://a.com/x%20y", "a.com", "a.com"),
        ("http://a.com/x\ty?\n", "http://a.com/xy", "a.com", "a.com"),
        ("http://a.com/..//b/%2e%2E/c/.", "http://a.com//c/", "a.com", "a.com"),
        ("http://a.com?a=%zz&b=/?", "http://a.com/?a=%25zz&b=/?", "a.com", "a.com"),
        ("http://co.uk/", "http://co.uk/", "co.uk", None),
        ("http://www.ck/", "http://www.ck/", "www.ck", "www.ck"),
        ("ftp://a.com:21/", "ftp://a.com/", "a.com", "a.com"),
    ],
)  # fmt: skip
def test_parts_of_an_address(url, normal, host, domain):
    (found,) = parts(url)
    assert (found["url_normal"], found["url_host"], found["url_domain"]) == (normal, host, domain)
    assert found["url_problem"] is None
    assert found["url_is_ip"] == (host[0] in "[1")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "empty"), (" \t\n", "empty"), ("mailto:a@b.org", "no_host"), ("javascript:alert(1)", "no_host"),
        ("file:" + "/" * 3 + "etc/passwd", "no_host"), ("/a/b", "no_host"), ("http://", "no_host"), ("http://u@/x", "no_host"),
        ("http://a..b/", "bad_host"), ("http://a b.com/", "bad_host"), ("http://1.2.3/", "bad_host"),
        ("http://1.2.3.256/", "bad_host"), ("http://1.2.3.04/", "bad_host"), ("http://[::g]/", "bad_host"),
        ("http://[::1/", "bad_host"), ("http://::1/", "bad_host"), ("http://" + "a" * 64 + ".com", "bad_host"),
        ("http://" + "a." * 127 + "com", "bad_host"), ("http://a<b>.com/", "bad_host"), ("http://%ff.com/", "bad_host"),
        ("http://a.com:99999/", "bad_port"), ("http://a.com:x/", "bad_port"), ("http://\u00fc" + "a" * 2000, "bad_host"),
    ],
)  # fmt: skip
def test_what_is_no_address_says_why_and_has_no_parts(url, problem):
    (found,) = parts(url)
    assert found.pop("url_problem") == problem
    assert set(found.values()) == {None}


def test_ports_and_paths_and_a_null():
    first, second, null = parts("https://a.com/b/c?d#e", "x.org:81", None)
    assert (first["url_port"], first["url_path"], first["url_scheme"]) == (443, "/b/c", "https")
    assert (second["url_port"], second["url_path"], second["url_scheme"]) == (81, "/", None)
    assert set(null.values()) == {None}


def test_the_bounds_of_labels_hosts_and_ports_are_at_the_byte_and_at_the_number():
    label = "a" * 63
    most = ".".join([label, label, label, "b" * 61])
    assert [one["url_host"] for one in parts(f"http://{label}.com/", f"http://{most}./", f"http://{most}b/")] == [
        f"{label}.com", most, None,
    ]  # fmt: skip
    shown = {"0": ":0", "9": ":9", "10": ":10", "999": ":999", "1000": ":1000", "9999": ":9999", "10000": ":10000",
             "65535": ":65535", "065535": ":65535", "65536": None, "080": "", "": ""}  # fmt: skip
    for port, one in zip(shown, parts(*(f"http://a.com:{port}/" for port in shown)), strict=True):
        assert one["url_normal"] == (None if shown[port] is None else f"http://a.com{shown[port]}/"), port
        assert one["url_problem"] == ("bad_port" if shown[port] is None else None)
        assert one["url_port"] == (None if shown[port] is None else int(port or 80))


def test_a_long_address_and_one_of_many_dots_take_linear_time():
    long, up = "http://a.com/" + "x" * 10_000_000, "http://a.com/" + "a/../" * 400_000
    (one, two) = parts(long, up)
    assert len(one["url_normal"]) == len(long)
    assert two["url_normal"] == "http://a.com/"


WORDS = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=8).filter(
    lambda w: not w.isdigit() and w[0] != "-" and not w.startswith("xn--")
)
SUFFIXES = ["com", "co.uk", "kobe.jp", "city.kobe.jp", "ck", "www.ck", "github.io", "nosuch", "xn--p1ai", "ac", "b.br"]


@functools.cache
def suffix_list(*, private: bool):
    """The library's own rules; reading them takes an eighth of a second."""
    return psl.PublicSuffixList(only_icann=not private)


@given(st.lists(WORDS, max_size=3), st.sampled_from(SUFFIXES), st.booleans())
@example([], "com", True)
@settings(max_examples=200, deadline=None)
def test_registered_domains_are_those_of_the_library(labels, suffix, private):
    host = ".".join([*labels, suffix])
    theirs = suffix_list(private=private).privatesuffix(host)
    (found,) = parts(f"http://{host}/", private_suffixes=private)
    assert found["url_domain"] == theirs


def test_registered_domains_of_the_list_s_own_cases():
    cases = re.findall(r"(?m)^checkPublicSuffix\((null|'[^']*'), (null|'[^']*')\)",
                       (Path(psl.__file__).parent / "test_psl.txt").read_text("utf-8"))  # fmt: skip
    pairs = [(a.strip("'"), None if b == "null" else b.strip("'")) for a, b in cases if a != "null" and a[1] != "."]
    assert len(pairs) > 60
    ours = [one["url_domain"] for one in parts(*(f"http://{a}" for a, _ in pairs))]
    ascii_of = [b if b is None else ascii_host(b.lower().encode()) for _, b in pairs]
    assert [(a, o) for (a, _), o, t in zip(pairs, ours, ascii_of, strict=True) if o != t] == []


def by_hand(url: str) -> str:
    """The normal form of a plain http address, by the standard library: resolving, decoding, encoding."""
    split = urlsplit(url.strip())
    path = urlsplit(urljoin("http://h/", "http://h" + (_coded(split.path) or "/"))).path
    query = f"?{_coded(split.query)}" if split.query else ""
    port = f":{split.port}" if split.port not in (None, 80) else ""
    return f"http://{split.hostname}{port}{path or '/'}{query}"


def _coded(text: str) -> str:
    """Unreserved codes decoded, all others in capitals, the rest encoded."""
    out = ""
    for piece in re.split(r"(%[0-9A-Fa-f]{2})", text):
        if re.fullmatch(r"%[0-9A-Fa-f]{2}", piece):
            char = unquote(piece, encoding="latin-1")
            out += char if char.isascii() and (char.isalnum() or char in "-._~") else piece.upper()
        else:
            out += quote(piece, safe="!$&'()*+,;=:@/?-._~")
    return out


TEXT = st.text(string.ascii_letters + "/.%~ -_2eE&=\u00e9\u4e2d", max_size=24)


@given(TEXT, TEXT, st.sampled_from(["", ":80", ":8080"]))
@settings(max_examples=300, deadline=None)
def test_normal_forms_are_those_of_the_standard_library_and_stay_as_they_are(path, query, port):
    url = f"HTTP://Ex-ample.ORG{port}/{path}?{query}"
    (found,) = parts(url)
    again = parts(found["url_normal"])[0]["url_normal"]
    assert again == found["url_normal"]
    if "//" not in f"/{path}" and not re.search(r"(^|/)(\.|%2e){1,2}(/|$)", path, re.IGNORECASE):
        assert found["url_normal"] == by_hand(url)


@given(st.lists(st.one_of(st.none(), st.text(max_size=40), st.binary(max_size=30).map(lambda b: b.decode("latin-1")))))
@settings(max_examples=40, deadline=None)
def test_any_text_has_parts_or_a_problem_and_batches_do_not_matter(urls):
    whole = parts(*urls)
    assert whole == [one for url in urls for one in parts(url)]
    for url, one in zip(urls, whole, strict=True):
        assert (one["url_normal"] is None) == (url is None or one["url_problem"] is not None)
        assert one["url_normal"] is None or one["url_normal"].isascii()


def test_texts_with_one_hash_slot_are_told_apart():
    from winnow.pipeline.url import text_table_kernels as kernels

    words = [f"w{i}" for i in range(300)] + ["w7", ""]
    table, first = text_table(words, backwards=True)
    assert first.tolist() == [*range(300), 7, 301]
    raw = np.frombuffer("".join(words).encode(), dtype=np.uint8)
    ends = np.cumsum([0, *map(len, words)])
    hashes = [kernels.hash_text(raw, a, b, True) for a, b in itertools.pairwise(ends)]
    found = [kernels.find_text(raw, a, b, np.uint64(h), *table.arrays)
             for a, b, h in zip(ends[:-1], ends[1:], hashes, strict=True)]  # fmt: skip
    assert found == first.tolist()
    assert kernels.find_text(raw, 0, 2, np.uint64(hashes[1]), *table.arrays) == -1


RECIPE = """
stages:
  docs: {use: jsonl, files: a.jsonl, columns: {uid: string, url: string}}
  parts: {use: url_parts, inputs: docs}
  sites: {use: host_stats, inputs: [docs, parts]}
  listed: {use: url_lists, inputs: docs, lists: [LISTS], hard_words: hard.txt, soft_words: soft.txt, substrings: sub.txt}
  clean: {use: filter, inputs: [docs, listed], preset: url_blocked}
"""
DOMAINS = ["blocked.com", "sub.half.org", "BL\u00d6CK.de", "# a comment", "", "shop.co.uk", "not a host"]
PAGES = ["page.org/bad/", "http://www.page.org/x?id=1", "mailto:x@y"]
URLS = {
    "https://blocked.com/a": (False, False),  # a listed domain
    "https://deep.er.blocked.com/a": (False, False),  # a host below it
    "https://notblocked.com/": (True, True),  # looks alike
    "https://blocked.com.evil.net/": (True, True),
    "https://half.org/": (True, True),  # above a listed subdomain
    "https://sub.half.org/x": (False, False),  # the listed subdomain
    "https://deeper.sub.half.org/x": (True, False),  # below it: kept where only domains and hosts count
    "http://xn--blck-6qa.de/": (False, False),
    "http://blog.shop.co.uk/": (False, False),
    "http://co.uk/": (True, True),
    "http://page.org/bad": (False, False),  # a listed page
    "http://page.org/bad/deeper": (True, False),
    "http://www.page.org/bad/deeper": (True, False),  # the same without `www.`
    "http://page.org/badly": (True, True),
    "http://www.page.org/x?id=1": (False, False),
    "http://www.page.org/x?id=1&b=2": (True, False),
    "http://www.page.org/x?id=12": (True, True),
    "http://ok.org/some-CASINO-page": (False, False),  # a hard word, in any case
    "http://ok.org/somecasinopage": (True, True),
    "http://ok.org/live/girls/live": (False, False),  # two soft words
    "http://ok.org/live/live": (True, True),  # one of them, twice
    "http://ok.org/a.b-c_d/": (False, False),  # a substring across signs
    "http://ok.org/": (True, True),
    "nonsense:": (False, False),  # no address: null is no
}  # url -> kept by url_blocked, by url_blocked_below


def put(folder: Path, lists: dict[str, bytes], urls) -> None:
    put_file(folder / "a.jsonl", lines_of([{"uid": f"u{i}", "text": f"t{i}", "url": u} for i, u in enumerate(urls)]))
    (folder / "ut1.tar.gz").write_bytes(lists.pop("ut1.tar.gz", b""))
    for name, data in {
        "hard.txt": b"casino\nfoo-bar\n",
        "soft.txt": b"live\ngirls\n",
        "sub.txt": b"abcd\n",
        **lists,
    }.items():
        put_file(folder / name, data)


UT1 = {"cat/domains": "\n".join(DOMAINS).encode(), "cat/urls": "\n".join(PAGES).encode(), "cat/usage": b"black\n",
       "idle/domains": b"nobody.example\n"}  # fmt: skip


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    put(folder, {f"ut1/{name}": data for name, data in UT1.items()}, URLS)
    ran = run(RECIPE.replace("LISTS", "ut1"), folder, folder / "root")
    ran.folder = folder
    return ran


def test_the_rules_of_refinedweb_and_of_squidguard(listed):
    below = RECIPE.replace("LISTS", "ut1").replace("url_blocked", "url_blocked_below")
    other = run(below, listed.folder, listed.folder / "root")
    kept = [ran.table("clean", "kept")["kept"].to_pylist() for ran in (listed, other)]
    uid = [int(u[1:]) for u in listed.table("docs", "uid")["uid"].to_pylist()]
    found = {list(URLS)[u]: pair for u, pair in zip(uid, zip(*kept, strict=True), strict=True)}
    assert {u: p for u, p in found.items() if p != URLS[u]} == {}
    columns = listed.table("listed", "url_listed", "url_list", "url_entry").to_pylist()
    of = dict(zip((list(URLS)[u] for u in uid), map(tuple, (c.values() for c in columns)), strict=True))
    assert of["https://deep.er.blocked.com/a"] == ("domain", "cat", "blocked.com")
    assert of["https://deeper.sub.half.org/x"] == ("parent", "cat", "sub.half.org")
    assert of["http://www.page.org/x?id=1&b=2"] == ("prefix", "cat", "www.page.org/x?id=1")
    assert of["https://notblocked.com/"] == (None, None, None)


def test_entries_and_lists_without_effect_are_told(listed):
    said = {name: " ".join(remarks_of(listed.plan.node(name).operator, listed.manifest(name)))
            for name in ("listed.index", "listed", "parts")}  # fmt: skip
    assert "1 of the domains can match nothing" in said["listed.index"]
    assert "'not a host'" in said["listed.index"]
    assert "mailto:x@y" in said["listed.index"]
    assert "'foo-bar'" in said["listed.index"]
    assert "passed over 1 files that are no lists" in said["listed.index"]
    assert "idle is in none of 24 addresses" in said["listed"]
    assert said["parts"] == ""  # one of 24 is no address


def test_sites_are_counted(listed):
    table = listed.table("sites", "host_documents", "host_bytes").to_pylist()
    domain = listed.table("parts", "url_domain")["url_domain"].to_pylist()
    many = Counter(domain)
    assert [row["host_documents"] for row in table] == [many[d] if d else None for d in domain]
    metrics = listed.manifest("sites").metrics
    assert (metrics["sites"], metrics["largest"]["page.org"]) == (len(set(domain) - {None}), 7)
    assert max(many[d] for d in many if d) == 7


def test_an_archive_and_plain_lists_say_the_same_as_folders(tmp_path, listed):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        for name, data in UT1.items():
            member = tarfile.TarInfo(f"blacklists/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    put(tmp_path, {"ut1.tar.gz": raw.getvalue(), "cat.txt": UT1["cat/domains"] + b"\n" + UT1["cat/urls"]}, URLS)
    for lists in ("ut1.tar.gz", "cat.txt"):
        ran = run(RECIPE.replace("LISTS", lists), tmp_path, tmp_path / "root", part_bytes=200)
        names = ("uid", "url_listed", "url_list", "url_entry", "url_in_lists", "url_hard_word", "url_substring")
        mine, theirs = (
            r.table("listed", *names[1:]).add_column(0, "uid", r.table("docs", "uid")["uid"]) for r in (ran, listed)
        )
        assert sorted(mine.to_pylist(), key=str) == sorted(theirs.to_pylist(), key=str)


def test_lists_in_any_form(tmp_path):
    put_file(
        tmp_path / "hosts.txt",
        b"\xef\xbb\xbf0.0.0.0 a.com\n127.0.0.1 b.com\n# none\n\n \t\n::1\tc.com # here\r\n*.d.com\n\xff.org\n.e.com\n"
        b"http://f.com/\n#\nhttp://g.com/h\nm.com//\nn://o/p/\n::2 q.com\n  r.com",
    )
    found = read_lists([tmp_path / "hosts.txt"])
    names = ["a.com", "b.com", "c.com", "*.d.com", ".e.com", "http://f.com/", "m.com//", "::2 q.com", "r.com"]
    assert found.domains.texts.to_pylist() == names
    assert found.names == ["hosts"]
    assert found.urls.texts.to_pylist() == ["http://g.com/h", "n://o/p/"]
    assert found.domains.lists.tolist() == [0] * len(names)
    assert found.not_utf8 == 1
    put_file(tmp_path / "broken.tar.gz", b"\x1f\x8b\x08broken")
    with pytest.raises(DataError, match="cannot read the archive"):
        read_lists([tmp_path / "broken.tar.gz"])


def test_a_file_of_ut1_s_names_without_a_folder_is_a_plain_list(tmp_path):
    with tarfile.open(tmp_path / "flat.tar", mode="w") as archive:
        for name in ("domains", "x/domains"):
            member = tarfile.TarInfo(name)
            member.size = 12
            archive.addfile(member, io.BytesIO(b"a.com\nb.c/d\n"))
    found = read_lists([tmp_path / "flat.tar"])
    assert found.names == ["domains", "x"]
    assert (found.domains.texts.to_pylist(), found.domains.lists.tolist()) == (["a.com", "a.com", "b.c/d"], [0, 1, 1])
    assert (found.urls.texts.to_pylist(), found.urls.lists.tolist()) == (["b.c/d"], [0])


def reference(url: str, hosts: set[str], pages: set[str]) -> str | None:
    """How an address is listed, by plain Python."""
    (one,) = parts(url)
    if one["url_host"] is None:
        return None
    labels = one["url_host"].split(".")
    above = {".".join(labels[i:]) for i in range(1, len(labels))}
    bare = one["url_normal"].partition("://")[2]
    page = any(
        p in pages for b in (bare, bare.removeprefix("www.")) for p in (b, b.rstrip("/") if b.endswith("/") else b)
    )
    begins = any(
        b.startswith(p) and b[len(p)] in "/?&"
        for p in pages
        for b in (bare, bare.removeprefix("www."))
        if len(b) > len(p)
    )
    ways = {"host": one["url_host"] in hosts, "domain": one["url_domain"] in hosts, "url": page,
            "parent": bool(above & hosts), "prefix": begins}  # fmt: skip
    return next((way for way, is_so in ways.items() if is_so), None)


def test_look_ups_agree_with_sets_in_python(tmp_path):
    draw = random.Random(3)
    names = ["a", "b", "www", "co", "uk", "com", "x"]
    some = [".".join(draw.choices(names, k=draw.randrange(2, 6))) for _ in range(600)]
    urls = [f"http://{h}{draw.choice(['', '/', '/a', '/a/b', '/a?b', '/a?b&c', '/ab'])}" for h in some]
    hosts = {h.split(".", draw.randrange(2))[-1] for h in draw.sample(some, 40)}
    pages = {u.partition("://")[2].rstrip("/") for u in draw.sample(urls, 12)}
    put(tmp_path, {"c/domains": "\n".join(hosts).encode(), "c/urls": "\n".join(pages).encode()}, urls)
    ran = run(RECIPE.replace("LISTS", "c"), tmp_path, tmp_path / "root")
    uid = [int(u[1:]) for u in ran.table("docs", "uid")["uid"].to_pylist()]
    found = dict(zip(uid, ran.table("listed", "url_listed")["url_listed"].to_pylist(), strict=True))
    wanted = {i: reference(u, hosts, pages) for i, u in enumerate(urls)}
    assert {urls[i]: (found[i], w) for i, w in wanted.items() if found[i] != w} == {}
    assert len(set(wanted.values())) == 6


def lookup(folder: Path, **files: bytes):
    """The look-up of such lists as a function of addresses -> rows."""
    paths = {name: [put_file(folder / f"{name}.txt", data)] for name, data in files.items() if name != "lists"}
    paths["lists"] = [put_file(folder / name, data) for name, data in files.get("lists", {}).items()]
    work = folder / "index"
    work.mkdir()
    UrlListIndex(**{n: tuple(map(str, p)) for n, p in paths.items()}).run(Context(seed=0, work=work, refs=paths))
    held = MemorySource(paths={p.name: p for p in work.iterdir()})
    columns = UrlListLookup(index=".index").open(Context(seed=0, work=folder, refs={"index": held}))
    return lambda urls: columns(pa.record_batch({"url": pa.array(urls, pa.large_string())})).to_pylist()


def test_an_address_is_listed_whole_but_for_one_slash_and_else_by_a_beginning(tmp_path):
    said = lookup(tmp_path, lists={"c/urls": b"a.com/x?id=1\nb.com/y\n"})
    wanted = {"a.com/x?id=1": "url", "a.com/x?id=1/": "url", "a.com/x?id=1?": "prefix", "a.com/x?id=1&": "prefix",
              "a.com/x?id=1//": "prefix", "a.com/x?id=1;": None, "a.com/x?id=": None, "b.com/y?": "url",
              "b.com/y??": "prefix", "b.com/y/?": "url", "www.b.com/y/z": "prefix", "www.b.com/z": None}  # fmt: skip
    rows = said([f"http://{url}" for url in wanted])
    assert dict(zip(wanted, (row["url_listed"] for row in rows), strict=True)) == wanted


def test_words_and_pieces_of_any_length_are_found_as_python_finds_them(tmp_path):
    draw, letters = random.Random(8), "ab1Z"
    made = sorted({"".join(draw.choices(letters, k=draw.choice([1, 2, 3, 4, 18, 19]))).lower() for _ in range(24)})
    hard, soft, pieces = set(made[::2]), set(made[1::3]), sorted(set(made[2::4]) - set(letters.lower()))
    files = {"hard_words": hard, "soft_words": soft, "substrings": pieces}
    said = lookup(tmp_path, **{name: "\n".join(words).encode() for name, words in files.items()})
    tails = ["".join(draw.choices([*letters, "-", "/", "%20", *made], k=draw.randrange(12))) for _ in range(400)]
    urls = [f"http://q.{draw.choice(['b', 'com'])}/{tail}" for tail in tails]
    seen = 0
    for url, row in zip(urls, said(urls), strict=True):
        body = url.removeprefix("http://").lower()
        words, squashed = re.findall("[a-z0-9]+", body), re.sub("[^a-z0-9]", "", body)
        wanted = (len(hard & set(words)), next((w for w in words if w in hard), None), len(soft & set(words)))
        assert tuple(row[f"url_{name}"] for name in ("hard_words", "hard_word", "soft_words")) == wanted, url
        assert row["url_substrings"] == sum(p in squashed for p in pieces), url
        assert (row["url_substring"] in pieces) == (row["url_substrings"] > 0), url
        seen += row["url_substrings"] > 0
    assert 40 < seen < 360


def test_of_lists_with_one_entry_the_first_comes_first_whatever_the_batch(tmp_path):
    folders = {f"{name}/domains": b"a.com\nb.org\n" for name in ("zoo", "art", "mid")}
    said = lookup(tmp_path, lists=folders)
    urls = [f"http://{d.choice(['x.', ''])}{d.choice(['a.com', 'b.org', 'c.de'])}/" for d in [random.Random(4)]
            for _ in range(300)]  # fmt: skip
    rows = said(urls)
    assert {tuple(row["url_in_lists"]) for row in rows} == {(), ("zoo", "art", "mid")}  # as they are read
    assert {row["url_list"] for row in rows} == {None, "zoo"}
    assert [row for url in urls[:50] for row in said([url])] == rows[:50]


def test_expressions_run_in_linear_time_or_are_told(tmp_path):
    bomb = "http://a.org/" + "a" * 50_000
    put(tmp_path, {"x/expressions": b"(a+)+$\n(?=look)ahead\n\\.ru/\n"}, ["http://b.ru/", bomb, "http://c.com/"])
    ran = run(RECIPE.replace("LISTS", "x"), tmp_path, tmp_path / "root")
    assert sorted(map(str, ran.table("listed", "url_listed")["url_listed"].to_pylist())) == [
        "None",
        "expression",
        "expression",
    ]
    assert "(?=look)ahead" in " ".join(remarks_of(ran.plan.node("listed.index").operator, ran.manifest("listed.index")))


def test_more_files_than_a_task_names(tmp_path):
    lists = {f"many/{i:03d}/domains": f"site{i}.com\n".encode() for i in range(120)}
    put(tmp_path, lists, ["http://site7.com/", "http://site700.com/"])
    ran = run(RECIPE.replace("LISTS", "many"), tmp_path, tmp_path / "root")
    assert sorted(map(str, ran.table("listed", "url_list")["url_list"].to_pylist())) == ["007", "None"]


def test_what_cannot_work_is_refused(tmp_path):
    put(tmp_path, {"empty.txt": b"# nothing\n"}, ["http://a.org/"])
    with pytest.raises(ConfigError, match="no list is named"):
        run("stages:\n  docs: {use: jsonl, files: a.jsonl, columns: {url: string}}\n  l: {use: url_lists, inputs: docs}\n",
            tmp_path, tmp_path / "root")  # fmt: skip
    with pytest.raises(DataError, match="no entry that could match"):
        run("stages:\n  docs: {use: jsonl, files: a.jsonl, columns: {url: string}}\n"
            "  l: {use: url_lists, inputs: docs, lists: empty.txt}\n", tmp_path, tmp_path / "root")  # fmt: skip
    with pytest.raises(ConfigError, match="and no text"):
        UrlParts().check_types({"url": pa.int64()})


def test_a_site_with_most_documents_is_told(tmp_path):
    put(tmp_path, {"l.txt": b"a.com\n"}, ["http://a.com/"] * 9 + ["http://b.com/"])
    ran = run(RECIPE.replace("LISTS", "l.txt"), tmp_path, tmp_path / "root")
    (remark,) = remarks_of(ran.plan.node("sites").operator, ran.manifest("sites"))
    assert "a.com has 9 of 10 documents" in remark
    assert ran.manifest("sites").metrics["effective_sites"] == pytest.approx(100 / 82, abs=1e-3)
    assert pl.Series(ran.table("sites", "host_bytes")["host_bytes"]).to_list().count(2) == 1


def test_an_expression_that_begins_with_a_scheme_is_of_addresses_without_one():
    """Block lists write them so, and addresses are looked at without their schemes."""
    found = ListedNames()
    written = [r"^https?://adult[0-9]+\.net", r"http:\/\/x\.org", "(http|https)://y", "^adult", "httpx://"]
    found.expressions.add(pl.Series(written), 0)
    assert [text for text, _ in _regexes(found)[0]] == [r"^adult[0-9]+\.net", r"x\.org", "y", "^adult", "httpx://"]
