"""What a stage may take over from siblings: the newest receipt of the phase whose files all are there."""

from dataclasses import dataclass, field

from winnow.dags.shapes.siblings import still_there


@dataclass
class File:
    key: str

    def layers(self):
        return [self, File(f"{self.key}.beside")]


@dataclass
class Held:
    key: str
    phase: str = "part"
    files: list = field(default_factory=list)

    def layers(self):
        return self.files


class Store:
    def __init__(self, *keys):
        self.keys, self.looks = {*keys}, 0

    def exists(self, key):
        self.looks += 1
        return key in self.keys


def test_the_newest_that_is_whole_is_taken_and_nothing_else_is_looked_at():
    held = [Held(str(n), files=[File(f"f{n}")]) for n in range(4)]
    held[3].phase = "sample"
    whole = [f"f{n}{beside}" for n in range(2) for beside in ("", ".beside")]
    store = Store(*whole, "f2")  # the third lacks a layer
    assert still_there(store, held, "part") is held[1]
    assert store.looks == 4
    assert still_there(Store(), held, "part") is None
    assert still_there(Store(*whole), [], "part") is None
    assert still_there(Store("f3", "f3.beside"), held, "sample") is held[3]
