"""What a model has used in a run root, over all workers and drivers: nobody asks where that would pass the cap.

Every process writes a file of its own: what its answers used, and the most that its questions under way may use. A
question is noted before it is sent, and only then the notes of all are added up, so that of two processes which take
the last of a budget at once at least one sees the other. What a killed process had under way stays noted: it may have
been paid for.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from winnow.core.errors import StoreError
from winnow.core.operators.records import Records

Use = tuple[int, int]  # tokens of questions and of answers
Fits = Callable[[Use], bool]
NONE: Use = (0, 0)


def plus(one: Use, two: Use) -> Use:
    """Both together."""
    return one[0] + two[0], one[1] + two[1]


@dataclass(kw_only=True)
class Ledger:
    """The notes of this process among those of all; `scope` says of which model."""

    records: Records
    scope: str
    me: str  # a name that no other process has
    used: Use = NONE
    held: dict[str, Use] = field(default_factory=dict)  # questions under way
    lock: threading.Condition = field(default_factory=threading.Condition)

    def hold(self, name: str, most: Use, *, fits: Fits) -> Use | None:
        """Note a question that may use `most`: None, or what is used already where the cap is too near.

        Waits for questions of this process that are under way, of which most use less than they may.
        """
        with self.lock:
            while True:
                self.held[name] = most
                self._write()
                if fits(self.total()):
                    return None
                del self.held[name]
                self._write()
                if not self.held:
                    return self.total()
                self.lock.wait(1.0)

    def settle(self, name: str, used: Use) -> None:
        """The question is answered, or was not: so much it used."""
        with self.lock:
            self.held.pop(name, None)
            self.used = plus(self.used, used)
            self._write()
            self.lock.notify_all()

    def total(self) -> Use:
        """What all have used and hold."""
        out = plus(self.used, self._under_way())
        for key in self.records.names(self._folder()):
            if key != self._mine():
                out = plus(out, self._of(key))
        return out

    def _under_way(self) -> Use:
        return sum(u for u, _ in self.held.values()), sum(u for _, u in self.held.values())

    def _of(self, key: str) -> Use:
        data = self.records.get(key)
        try:
            noted = json.loads(data or b"")
            return plus(tuple(noted["used"]), tuple(noted["held"]))
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError("what was spent cannot be read", where=key,
                             hint="restore the file; without it the cap would not hold") from error  # fmt: skip

    def _write(self) -> None:
        noted = {"used": self.used, "held": self._under_way()}
        self.records.put(self._mine(), json.dumps(noted).encode())

    def _folder(self) -> str:
        return f"spent/{self.scope}"

    def _mine(self) -> str:
        return f"{self._folder()}/{self.me}.json"
