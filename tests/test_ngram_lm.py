"""N-gram language models: what a file or a fit says of a text, against plain implementations and KenLM itself."""

import gzip
import json
import math
import random

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from winnow.core.errors import DataError
from winnow.core.words import backoff_kernels as kernels
from winnow.core.words.arpa import read_arpa
from winnow.core.words.backoff_model import TABLE, TextForm, model_of
from winnow.core.words.ngram_files import open_ngram

WORDS = ["the", "cat", "sat", "on", "mat", "dog", "größe", "語", "a" * 40, "<b>"]
DOCUMENT = TextForm(sentences="document")


def arpa_of(grams: dict, *, exponent=False) -> str:
    """The file of {n-gram: (log10 p, log10 back-off)}."""
    order = max(map(len, grams))
    listed = [[g for g in grams if len(g) == n] for n in range(1, order + 1)]
    lines = ["\\data\\", *(f"ngram {n}={len(one)}" for n, one in enumerate(listed, start=1)), ""]
    for n, one in enumerate(listed, start=1):
        lines += [f"\\{n}-grams:"]
        for gram in one:
            prob, weight = (f"{x:.9e}" if exponent else f"{x:.9f}" for x in grams[gram])
            lines += ["\t".join([prob, " ".join(gram), *([weight] if n < order else [])])]
        lines += [""]
    return "\n".join([*lines, "\\end\\", ""])


def made_up(order: int, seed: int, *, holes=False) -> dict:
    """Back-off models with arbitrary numbers; every n-gram's beginning and (without `holes`) its ending are n-grams."""
    draw = random.Random(seed)
    grams = {(w,): (-draw.uniform(1, 3), -draw.uniform(0, 1)) for w in ["<unk>", "<s>", "</s>", *WORDS[:-2]]}
    for n in range(2, order + 1):
        before = [g for g in grams if len(g) == n - 1 and g[-1] != "</s>"]
        for g in before:
            for (w,) in [u for u in grams if len(u) == 1 and u[0] not in ("<s>", "<unk>")]:
                if draw.random() < 0.4 and (holes or (*g[1:], w) in grams):
                    grams[*g, w] = (-draw.uniform(0.1, 2), -draw.uniform(0, 1) if n < order else 0.0)
    return grams


def plain_log10(grams: dict, words: list[str]) -> list[float]:
    """log10 of every word of a sentence and of its end: the longest n-gram there is, else back-off weights."""
    order = max(map(len, grams))

    def prob(history, word):
        if (*history, word) in grams:
            return grams[*history, word][0]
        return grams.get(history, (0, 0))[1] + prob(history[1:], word)

    known = [w if (w,) in grams and w not in ("<s>", "</s>") else "<unk>" for w in words]
    sentence = ["<s>", *known, "</s>"]
    return [prob(tuple(sentence[max(0, at - order + 1) : at]), sentence[at]) for at in range(1, len(sentence))]


def some_texts(seed: int, count=60) -> list[str]:
    draw = random.Random(seed)
    gaps = [" ", "  ", "\t", "\r\n", " \0 ", "\x0b"]
    return [
        draw.choice(["", " ", "\n"])
        + "".join(draw.choice(WORDS) + draw.choice(gaps) for _ in range(draw.randrange(1, 30)))
        for _ in range(count)
    ]


def strings(texts) -> pa.Array:
    return pa.array(texts, pa.large_string())


def split(text: str) -> list[str]:
    return [w.decode() for w in text.replace("\0", " ").encode().split()]


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("order", [1, 2, 3, 5, 6])
def test_texts_cost_what_the_file_says_by_longest_match_and_back_off(tmp_path, order, holes):
    grams = made_up(min(order, 4), seed=order, holes=holes) if order < 5 else _sparse(order, holes)
    (tmp_path / "m.arpa").write_text(arpa_of(grams, exponent=order == 2))
    model = read_arpa(tmp_path / "m.arpa", DOCUMENT)
    assert model.closed is (not holes or order <= 2)
    texts = some_texts(order)
    found, (starts, each) = model.score(strings(texts)), model.token_nats(strings(texts))
    for row, text in enumerate(texts):
        plain = plain_log10(grams, split(text))
        assert found.nats[row] == pytest.approx(-sum(plain) * math.log(10), abs=1e-5)
        assert found.tokens[row] == len(plain)
        assert found.unknown[row] == sum((w,) not in grams for w in split(text))
        np.testing.assert_allclose(each[starts[row] : starts[row + 1]], -np.array(plain) * math.log(10), atol=1e-5)


def _sparse(order: int, holes: bool) -> dict:
    """N-grams out of some sentences, so that long ones occur again; with `holes` some endings are left out."""
    draw, grams = random.Random(order), {("<unk>",): (-3.0, 0.0), ("<s>",): (0.0, -0.5)}
    for text in some_texts(order)[:30]:
        sentence = ["<s>", *(w for w in split(text) if w != "<b>"), "</s>"]
        for n in range(1, order + 1):
            for at in range(len(sentence) - n + 1):
                gram = tuple(sentence[at : at + n])
                grams.setdefault(gram, (-draw.uniform(0.1, 2), -draw.uniform(0, 1) if n < order else 0.0))
    if holes:
        begun = {g[:n] for g in grams for n in range(1, len(g))}
        inner = [g for g in grams if 2 <= len(g) < order and g[0] != "<s>" and g not in begun]
        grams = {g: v for g, v in grams.items() if g not in set(inner[::3])}
    return grams


def test_lines_are_sentences_of_their_own_and_blank_ones_are_none(tmp_path):
    grams = made_up(3, seed=9)
    (tmp_path / "m.arpa").write_text(arpa_of(grams))
    model = read_arpa(tmp_path / "m.arpa", TextForm())
    texts = ["the cat\nsat on\n\n \t\nmat\n", "\n\nthe\r\ncat", "the cat", "", "\n", None, "\0"]
    found = model.score(strings(texts))
    for row, text in enumerate(texts):
        lines = [split(line) for line in (text or "").split("\n")]
        plain = [p for line in lines if line for p in plain_log10(grams, line)]
        assert found.nats[row] == pytest.approx(-sum(plain) * math.log(10), abs=1e-5)
        assert found.tokens[row] == len(plain)
    assert not np.signbit(found.nats).any()


def test_characters_are_tokens_and_white_space_is_one(tmp_path):
    grams = {g: v for g, v in made_up(1, seed=3).items() if g[0] in ("<unk>", "<s>", "</s>")}
    grams |= {(c,): (-1 - at / 8, 0.0) for at, c in enumerate("語aé")}
    (tmp_path / "m.arpa").write_text(arpa_of(grams))
    cost = {g[0]: v[0] for g, v in grams.items()}
    texts = ["語語a", " aé \t語\n語 ", "a b", "語\n\n\na"]
    unk, end = cost["<unk>"], cost["</s>"]
    wanted = {
        "line": [2 * cost["語"] + cost["a"] + end, cost["a"] + cost["é"] + unk + 2 * cost["語"] + 2 * end,
                 cost["a"] + 2 * unk + end, cost["語"] + cost["a"] + 2 * end],
        "document": [2 * cost["語"] + cost["a"] + end, cost["a"] + cost["é"] + 2 * unk + 2 * cost["語"] + end,
                     cost["a"] + 2 * unk + end, cost["語"] + unk + cost["a"] + end],
    }  # fmt: skip
    for sentences, plain in wanted.items():
        model = read_arpa(tmp_path / "m.arpa", TextForm(unit="characters", sentences=sentences))
        np.testing.assert_allclose(model.score(strings(texts)).nats, -np.array(plain) * math.log(10), atol=1e-5)


def test_lower_case_is_that_of_unicode(tmp_path):
    (tmp_path / "m.arpa").write_text(arpa_of(made_up(2, seed=1)))
    model = read_arpa(tmp_path / "m.arpa", TextForm(lower_case=True))
    found = model.score(strings(["THE GRÖSSE GRÖßE", "the grösse größe"]))
    assert found.nats[0] == found.nats[1]
    assert found.unknown.tolist() == [1, 1]


def test_markers_in_a_text_are_unknown_words_and_end_nothing(tmp_path):
    (tmp_path / "m.arpa").write_text(arpa_of(made_up(3, seed=2)))
    model = read_arpa(tmp_path / "m.arpa", DOCUMENT)
    found = model.score(strings(["the <s> cat", "the </s> cat", "the <unk> cat", "the zzz cat", "the <UNK> cat"]))
    assert len(set(found.nats.tolist())) == 1
    assert found.unknown.tolist() == [1] * 5


def test_a_file_without_unk_gives_unknown_words_what_kenlm_gives_them(tmp_path):
    grams = {g: v for g, v in made_up(2, seed=2).items() if g != ("<unk>",)}
    (tmp_path / "m.arpa").write_text(arpa_of(grams))
    _, each = read_arpa(tmp_path / "m.arpa", DOCUMENT).token_nats(strings(["zzz"]))
    assert each[0] == pytest.approx((100 - grams["<s>",][1]) * math.log(10), rel=1e-6)


def test_numbers_of_a_file_are_read_as_python_reads_them(tmp_path):
    draw = random.Random(4)
    written = ["-99", "-inf", "0", "-0.0", "-1e-3", "-1.5E+1", "-.5", "-7.", "-12345678901234567890e-19", "-1e-30"]
    written += [f"{-draw.expovariate(0.3):.{draw.randrange(1, 18)}g}" for _ in range(300)]
    lines = "\n".join(f"{x}\tw{at}" for at, x in enumerate(written))
    (tmp_path / "m.arpa").write_text(f"\\data\\\nngram 1={len(written)}\n\n\\1-grams:\n{lines}\n\n\\end\\\n")
    starts, each = read_arpa(tmp_path / "m.arpa", DOCUMENT).token_nats(
        strings([f"w{at}" for at in range(len(written))])
    )
    with np.errstate(over="ignore"):
        wanted = np.array(written, dtype=np.float64).astype(np.float32) * np.float32(-math.log(10))
    np.testing.assert_array_equal(each[starts[:-1]], wanted)


def test_compressed_files_are_the_same_model(tmp_path):
    text = arpa_of(made_up(4, seed=5)).encode()
    (tmp_path / "plain.arpa").write_bytes(text)
    (tmp_path / "one.arpa.gz").write_bytes(gzip.compress(text))
    (tmp_path / "two.arpa.zst").write_bytes(zstandard.compress(text))
    tables = [read_arpa(path, DOCUMENT).table for path in sorted(tmp_path.iterdir())]
    assert all(np.array_equal(tables[0], other) for other in tables[1:])


def test_files_are_read_in_pieces_of_any_size(tmp_path, monkeypatch):
    (tmp_path / "m.arpa").write_text(arpa_of(made_up(4, seed=6)))
    whole = read_arpa(tmp_path / "m.arpa", DOCUMENT).table
    for size in (7, 64, 1001):
        monkeypatch.setattr("winnow.core.words.arpa.PIECE", size)
        np.testing.assert_array_equal(read_arpa(tmp_path / "m.arpa", DOCUMENT).table, whole)


def test_lines_of_the_table_are_whole_and_keys_past_a_full_one_are_found():
    """Keys with one home fill lines to the end of the table and go on at its beginning."""
    first = np.uint64(0xFFFF_FFFF_0000_0000)
    keys = np.concatenate([np.array([kernels.UNK, kernels.BOS]), first + np.arange(9, dtype=np.uint64)])
    probs = -np.arange(len(keys), dtype=np.float32)
    model = model_of(keys, probs, probs * 2, order=1, form=DOCUMENT, about={})
    assert len(model.table) % 4 == 0
    assert model.table.ctypes.data % 64 == 0
    found = [kernels.find(model.table, key) for key in keys]
    assert model.table[found, 0].tolist() == keys.tolist()
    assert model.table.view(np.float32)[found, 2:].tolist() == np.stack([probs, probs * 2], axis=1).tolist()
    assert found[2:6] == list(range(len(model.table) - 4, len(model.table)))
    assert kernels.find(model.table, first + np.uint64(99)) == -1
    assert kernels.find(model.table, np.uint64(99)) == -1


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 15, 16, 17, 40])
def test_words_end_where_white_space_does_and_at_no_other_byte(tmp_path, size):
    """Bytes below 33 that separate nothing, high bytes, and ends at every place of eight."""
    word = ("a\x01\x1fé\x7f!" * 9)[:size]
    (tmp_path / "m.arpa").write_bytes(f"\\data\\\nngram 1=1\n\n\\1-grams:\n-1\t{word}\n\n\\end\\\n".encode())
    model = read_arpa(tmp_path / "m.arpa", DOCUMENT)
    for gap in " \t\n\v\f\r\0":
        found = model.score(strings([word, gap + word + gap, gap.join([word] * 5), word + gap + "\x1f"]))
        assert found.tokens.tolist() == [2, 2, 6, 3]
        assert found.unknown.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 12, 15, 16, 17, 31, 40])
def test_a_word_has_one_key_wherever_it_stands_and_every_byte_of_it_counts(size):
    """At the end of the text, where no eight bytes can be read, and with anything before and behind it."""
    draw = np.random.default_rng(size)
    word = draw.integers(97, 123, size).astype(np.uint8)

    def key(before: bytes, behind: bytes, word=word) -> int:
        text = np.frombuffer(before + word.tobytes() + behind, dtype=np.uint8)
        return int(kernels.word_key(text, len(before), len(before) + size))

    assert {key(a, b) for a in (b"", b"x ", b"\n") for b in (b"", b" ", b"\n\xff", b" and more of it")} == {
        key(b"", b"")
    }
    changed = [
        np.where(np.arange(size) == at, word + by, word).astype(np.uint8) for at in range(size) for by in (1, 128)
    ]
    keys = [key(b"", b"", other) for other in changed]
    parts = [int(kernels.word_key(word, 0, end)) for end in range(1, size + 1)]
    assert len({*keys, *parts}) == len(keys) + size
    assert min(*keys, *parts) >= kernels.FIRST_FREE


GOOD = arpa_of(made_up(3, seed=7))


@pytest.mark.parametrize(("text", "said"), [
    ("", "ends within its head"),
    ("hello\n", "does not begin with"),
    (GOOD[: len(GOOD) // 2], "ends within"),
    (GOOD.replace("\\end\\", "\\4-grams:"), "should"),
    (GOOD.replace("\\2-grams:", "\\3-grams:"), "2-grams: should stand"),
    (GOOD.replace("ngram 2=", "ngram 2=1"), "2-grams are listed, the head says 1"),
    (GOOD.replace("語 mat on", "語 on"), "is no 3-gram"),
    (GOOD.replace("\tthe\t", "\tthe cat dog\t", 1), "is no 1-gram"),
    (GOOD.replace("\\1-grams:\n-", "\\1-grams:\nx", 1), "is no 1-gram"),
    (GOOD.replace("ngram 3=", "ngram 4="), "order 3 should be counted"),
    ("\\data\\\nngram 1=2\n\n\\1-grams:\n-1\ta\n-1\ta\n\n\\end\\\n", "two n-grams of the model are the same"),
    ("\\data\\\n" + "".join(f"ngram {n}=1\n" for n in range(1, 9)) + "\n", "orders are 1 to 6"),
])  # fmt: skip
def test_a_broken_file_is_refused_with_the_place(tmp_path, text, said):
    (tmp_path / "m.arpa").write_text(text)
    with pytest.raises(DataError) as error:
        read_arpa(tmp_path / "m.arpa", DOCUMENT)
    assert said in str(error.value)
    assert error.value.hint


def test_a_cut_archive_is_refused(tmp_path):
    (tmp_path / "m.arpa.gz").write_bytes(gzip.compress(GOOD.encode())[:-20])
    with pytest.raises(DataError, match="no whole ARPA file"):
        read_arpa(tmp_path / "m.arpa.gz", DOCUMENT)


def test_a_saved_model_is_mapped_and_says_the_same(tmp_path):
    (tmp_path / "m.arpa").write_text(arpa_of(made_up(4, seed=8, holes=True)))
    model = read_arpa(tmp_path / "m.arpa", TextForm(lower_case=True))
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    again = open_ngram(tmp_path / "saved")
    texts = strings(some_texts(8))
    np.testing.assert_array_equal(again.nats(texts)[0], model.nats(texts)[0])
    assert (again.order, again.form, again.closed, again.about) == (4, model.form, False, model.about)
    assert isinstance(again.table.base, np.memmap)


@pytest.mark.parametrize("spoil", ["missing", "version", "pickle", "shape"])
def test_what_is_no_saved_model_is_refused(tmp_path, spoil):
    (tmp_path / "m.arpa").write_text(GOOD)
    read_arpa(tmp_path / "m.arpa", DOCUMENT).save(tmp_path)
    if spoil == "missing":
        (tmp_path / TABLE).unlink()
    if spoil == "version":
        about = json.loads((tmp_path / "ngram.json").read_text())
        (tmp_path / "ngram.json").write_text(json.dumps(about | {"version": 99}))
    if spoil == "pickle":
        np.save(tmp_path / TABLE, np.array([{}], dtype=object), allow_pickle=True)
    if spoil == "shape":
        np.save(tmp_path / TABLE, np.zeros((4, 3), dtype=np.uint64))
    with pytest.raises(DataError):
        open_ngram(tmp_path)


def test_scores_do_not_depend_on_what_else_is_scored(tmp_path):
    (tmp_path / "m.arpa").write_text(GOOD)
    model = read_arpa(tmp_path / "m.arpa", TextForm())
    texts = some_texts(11)
    together = model.score(strings(texts)).nats
    alone = [model.score(strings([text])).nats[0] for text in texts]
    sliced = model.score(strings(["odd", *texts]).slice(1)).nats
    chunked = model.score(pa.chunked_array([strings(texts[:20]), strings(texts[20:])])).nats
    assert together.tolist() == alone == sliced.tolist() == chunked.tolist()


def test_many_texts_at_once_are_scored_as_each_alone(tmp_path):
    """More tokens than are looked up at a time, with sentences across the cuts."""
    (tmp_path / "m.arpa").write_text(arpa_of(made_up(4, seed=13)))
    model = read_arpa(tmp_path / "m.arpa", TextForm())
    texts = [text.replace("mat", "mat\n") for text in some_texts(13, count=700)]
    together = model.score(strings(texts))
    assert together.tokens.sum() > 8000
    assert together.nats.tolist() == [model.score(strings([text])).nats[0] for text in texts]
    starts, each = model.token_nats(strings(texts))
    np.testing.assert_allclose(np.add.reduceat(each.astype(np.float64), starts[:-1]), together.nats, rtol=1e-6)
