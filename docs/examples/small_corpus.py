"""A small invented corpus for the examples: 600 records with `text` and `url`, the same bytes every time.

python small_corpus.py docs.jsonl

Five subjects of plain English, and what a crawl brings along: exact copies, near copies, German, stubs, cookie
banners, tables of numbers and code. `stars.jsonl` and `stars_eval.jsonl` beside it hold 60 more texts each about one
subject: documents one wants more of, and others to measure on.
"""

import json
import random
import sys
from pathlib import Path

# fmt: off
SUBJECTS = {
    "bread": "baker dough oven crust flour yeast loaf starter kitchen bench apron basket rye malt salt knife shelf tin mill bran",
    "stars": "astronomer telescope comet galaxy orbit planet nebula eclipse mirror spectrum dome pulsar meteor moon lens dwarf "
             "cluster horizon observatory quasar",
    "harbour": "captain ferry pilot crew tide lighthouse crane net channel quay rope buoy dock gull wreck cargo mast tug pier fog",
    "garden": "gardener seed hedge compost orchard root blossom spade greenhouse pear fence mulch bulb rake vine lawn path pond "
              "bean thorn",
    "bicycle": "rider wheel chain brake saddle spoke frame gear tyre workshop pedal pump lamp bell valve fork hub rack lever cable",
}
ADJECTIVES = (  # noqa: SIM905
    "slow bright narrow patient heavy quiet soft careful common deep distant gentle tall plain warm cold thin wide sharp dull "
    "small rare modern broken hidden famous cheap dry wet simple strange stubborn hollow round bitter loose"
).split()
VERBS = (  # noqa: SIM905
    "follows reaches holds changes measures turns carries needs shows keeps crosses covers touches lifts finds meets guards "
    "bends cleans moves feeds joins marks pulls"
).split()
TIMES = (
    "in the morning", "after the rain", "for most of the year", "before anyone notices", "within an hour", "once in a decade",
    "at dusk", "on the second day", "by candlelight", "every other week", "without a word", "at low cost", "in early spring",
    "from time to time", "under a clear sky", "long before noon",
)
REASONS = (
    "as the books say", "but few agree", "and people forget it", "so be careful", "if there is time", "though it costs little",
    "when the light is right", "and the names stay", "unless it is wrong", "since nobody asked",
)
FRAMES = (
    "The {a} {n} {v} the {m} {t}, {r}.",
    "Every {n} that {v} a {b} {m} is worth the {a} {o} {t}.",
    "{T} the {n} {v} what the {a} {m} and the {b} {o} leave, {r}.",
    "People with a {a} {n} often say that the {b} {m} {v} more than the {o}.",
    "There is a {a} {m} behind each {n}, and it {v} the {b} {o} {t}.",
    "To understand the {n}, look at the {b} {m}: it {v} the {a} {o} {t}.",
    "Nobody who {v} a {n} forgets the {a} {m}, and the {b} {o} {v} it {t}.",
)
# fmt: on
GERMAN = (
    "Der Zug fährt am frühen Morgen durch das Tal und hält nur an den großen Bahnhöfen.",
    "Wer die Karte liest, findet den Weg über den Hügel, auch wenn es regnet.",
    "Die alte Brücke wurde nach dem Krieg wieder aufgebaut und ist seitdem geöffnet.",
    "Im Winter schließen die meisten Läden schon am Nachmittag, weil niemand mehr kommt.",
    "Das Wasser steht höher als im letzten Jahr, und die Felder bleiben lange nass.",
    "Man kann den Turm besteigen, muss aber vorher im Rathaus nach dem Schlüssel fragen.",
)
BANNER = "We use cookies to improve your experience. Accept all | Reject all | Settings"

lots = random.Random()


def pick(items):
    return items[int(lots.random() * len(items))]


def sentence(subject):
    nouns = SUBJECTS[subject].split()
    n, m, o = pick(nouns), pick(nouns), pick(nouns)
    words = {
        "n": n,
        "m": m,
        "o": o,
        "a": pick(ADJECTIVES),
        "b": pick(ADJECTIVES),
        "v": pick(VERBS),
        "t": pick(TIMES),
        "r": pick(REASONS),
    }
    return pick(FRAMES).format(**words, T=words["t"].capitalize())


def article(subject, low=8, high=24):
    count = low + int(lots.random() * (high - low))
    sentences = [sentence(subject) for _ in range(count)]
    return "\n\n".join(" ".join(sentences[i : i + 5]) for i in range(0, count, 5))


def near_copy(text):
    words = text.split(" ")
    for _ in range(2):
        words[int(lots.random() * len(words))] = pick(ADJECTIVES)
    return " ".join(words)


def stub():
    return pick(["Page not found.", "Coming soon!", "Login required to see this page.", ""])


def table():
    return "\n".join(f"{int(lots.random() * 9999)};{lots.random():.4f};#{int(lots.random() * 99)}" for _ in range(40))


def code():
    names = [pick(SUBJECTS["bicycle"].split()) for _ in range(12)]
    return "\n".join(f"function {name}_{i}(x) {{ return x + {i}; }}" for i, name in enumerate(names))


def corpus():
    """(kind, text) of 600 records, shuffled."""
    prose = [(subject, article(subject)) for subject in SUBJECTS for _ in range(72)]
    records = [(f"{subject}.example", text) for subject, text in prose]
    records += [("mirror.example", prose[int(lots.random() * len(prose))][1]) for _ in range(40)]
    records += [("reprint.example", near_copy(prose[int(lots.random() * len(prose))][1])) for _ in range(60)]
    records += [("bahn.example", " ".join(pick(GERMAN) for _ in range(12))) for _ in range(40)]
    records += [("stub.example", stub()) for _ in range(30)]
    records += [("shop.example", "\n".join([BANNER] * 12 + [sentence("bread")])) for _ in range(30)]
    records += [("data.example", table()) for _ in range(20)]
    records += [("paste.example", code()) for _ in range(20)]
    return sorted(((lots.random(), *record) for record in records), key=lambda r: r[0])


def write(path):
    """docs.jsonl at `path`, stars.jsonl and stars_eval.jsonl beside it."""
    path = Path(path)
    lots.seed(7)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as sink:
        for number, (_, site, text) in enumerate(corpus()):
            sink.write(json.dumps({"text": text, "url": f"https://{site}/{number:03d}"}, ensure_ascii=False) + "\n")
    for name in ("stars.jsonl", "stars_eval.jsonl"):
        with path.with_name(name).open("w", encoding="utf-8") as sink:
            for number in range(60):
                url = f"https://{name[:-6]}.example/{number:03d}"
                sink.write(json.dumps({"text": article("stars"), "url": url}) + "\n")


if __name__ == "__main__":
    write(sys.argv[1] if len(sys.argv) > 1 else "docs.jsonl")
