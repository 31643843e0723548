"""Questions asked together: kept answers first, the others at once, each kept as it arrives, none paid for twice.

A question is tried again, after a wait that grows and is drawn, until its patience is over; a `Retry-After` holds all
questions of the process back. What is under way when something stops is waited for and kept, so that a run that is
started again asks only what nobody has answered. A kill loses what was under way: at most `concurrency` per process.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from winnow.core.endpoint.ledger import NONE, Ledger, Use
from winnow.core.endpoint.question import Answer, Question, Refused, unpacked
from winnow.core.endpoint.settings import Asks
from winnow.core.endpoint.transport import Failed, Transport
from winnow.core.errors import ConfigError, UnansweredError
from winnow.core.operators.contract import Context
from winnow.core.operators.records import MemoryRecords, Records

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
LOTS = secrets.SystemRandom()  # of waits and of the order in which one asks: nothing that comes out hangs on them
ASKED, KEPT, RETRIES = "questions_asked", "answers_kept_before", "tries_that_failed"  # counters
TOKENS_IN, TOKENS_OUT, GUESSED = "tokens_in", "tokens_out", "answers_without_usage"

NO_ANSWER = "run again: answers so far are kept; raise `patience_s`, or `unanswered: skip` leaves such documents out"


@dataclass(frozen=True, kw_only=True)
class Unanswered:
    """No try was answered while there was patience."""

    message: str


Outcome = Answer | Refused | Unanswered


@dataclass(kw_only=True)
class Asker:
    """Asks the endpoint of a stage; one per process."""

    settings: Asks
    transport: Transport
    records: Records
    ledger: Ledger
    alive: Callable[[], None]
    count: Callable[[str, int], None]
    stopped: threading.Event = field(default_factory=threading.Event)
    quiet_until: float = 0.0  # the endpoint asked to be left alone until then
    failed: list[str] = field(default_factory=list)  # tries since the last count

    @classmethod
    def opened(cls, settings: Asks, ctx: Context) -> Asker:
        """The asker of a task. Raises ConfigError where the key or a library is missing."""
        transport = Transport.to(settings.endpoint, key=settings.key(), connections=settings.concurrency)
        records = ctx.records if ctx.records is not None else MemoryRecords()
        ledger = Ledger(records=records, scope=scope_of(settings), me=secrets.token_hex(8))
        return cls(settings=settings, transport=transport, records=records, ledger=ledger, alive=ctx.alive,
                   count=ctx.count)  # fmt: skip

    def question(self, text: str, **parameters: object) -> Question:
        """A question of one message."""
        return Question(asked_of=self.settings.asked_of(), model=self.settings.model, messages=(("user", text),),
                        parameters=self.settings.parameters(**parameters))  # fmt: skip

    def ask(self, questions: Sequence[Question]) -> list[Outcome]:
        """The outcome of every question, in their order; equal questions are asked once.

        Raises:
            ConfigError: the cap is reached, or the endpoint refuses altogether; answers so far are kept.
            UnansweredError: a question had no answer within `patience_s`, and `unanswered` is "stop".
        """
        self.transport = replace(self.transport, key=self.settings.key())  # as the environment has it now
        wanted = {question.digest(): question for question in questions}
        known: dict[str, Outcome] = {}
        for digest in wanted:
            if (held := self._kept(digest)) is not None:
                known[digest] = held
        self.count(KEPT, len(known))
        left = [(digest, question) for digest, question in wanted.items() if digest not in known]
        LOTS.shuffle(left)  # drivers that work on the same part ask for other things first
        known |= self._asked(left)
        return [known[question.digest()] for question in questions]

    def _asked(self, left: Sequence[tuple[str, Question]]) -> dict[str, Outcome]:
        if not left:
            return {}
        self.stopped.clear()
        outcomes: dict[str, Outcome] = {}
        errors: list[BaseException] = []
        with ThreadPoolExecutor(max_workers=min(self.settings.concurrency, len(left))) as pool:
            waiting: dict[Future[Outcome], str] = {pool.submit(self._guarded, d, q): d for d, q in left}
            try:
                while waiting:
                    done, _ = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._collect(future, waiting.pop(future), outcomes, errors)
                        self.alive()
            finally:
                self.stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
        self._tell(outcomes)
        for error in errors:
            raise error
        return outcomes

    def _collect(self, future: Future[Outcome], digest: str, outcomes: dict[str, Outcome],
                 errors: list[BaseException]) -> None:  # fmt: skip
        error = None if future.cancelled() else future.exception()
        if error is not None:
            if not isinstance(error, _Stopped):
                errors.append(error)
        elif not future.cancelled():
            outcomes[digest] = future.result()

    def _tell(self, outcomes: dict[str, Outcome]) -> None:
        answers = [one for one in outcomes.values() if isinstance(one, Answer)]
        self.count(ASKED, len(outcomes))
        self.count(RETRIES, len(self.failed))
        self.count(TOKENS_IN, sum(one.tokens_in for one in answers))
        self.count(TOKENS_OUT, sum(one.tokens_out for one in answers))
        self.count(GUESSED, sum(one.estimated for one in answers))
        self.failed.clear()

    def _kept(self, digest: str) -> Answer | None:
        key = f"{digest[:2]}/{digest}.json"
        data = self.records.get(key)
        return None if data is None else unpacked(data, where=f"answers/{key}")

    def _guarded(self, digest: str, question: Question) -> Outcome:
        """`_one`; where it fails for good nothing more is sent, not even by this thread.

        Raises: UnansweredError where no answer stops the stage.
        """
        try:
            outcome = self._one(digest, question)
            if isinstance(outcome, Unanswered) and self.settings.unanswered == "stop":
                raise UnansweredError(outcome.message, where="endpoint", hint=NO_ANSWER)
            return outcome
        except BaseException:
            self.stopped.set()
            raise

    def _one(self, digest: str, question: Question) -> Outcome:
        """One question until it is answered, or patience is over. Raises: see `ask`."""
        until = time.monotonic() + self.settings.patience_s
        number, last = 0, "nothing was tried"
        while True:
            if not self._wait(self.quiet_until - time.monotonic(), until):
                return self._unanswered(number, last)
            if (held := self._kept(digest)) is not None:  # another driver's
                return held
            try:
                return self._try(digest, question, until)
            except Failed as error:
                number, last = number + 1, error.why
                self.failed.append(last)
                grown = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number) * LOTS.uniform(0.5, 1.0)
                if error.wait_s:
                    self.quiet_until = max(self.quiet_until, time.monotonic() + error.wait_s)
                    last += f" (wants to be left alone for {error.wait_s:g} s)"
                if not self._wait(grown, until):  # the other wait is at the beginning, for every question
                    return self._unanswered(number, last)

    def _try(self, digest: str, question: Question, until: float) -> Answer | Refused:
        self._hold(digest, question)
        used: Use = NONE
        try:
            seconds = max(0.001, min(self.settings.request_s, until - time.monotonic()))
            outcome = self.transport.ask(question, seconds=seconds)
            if isinstance(outcome, Refused):
                return outcome
            used = (outcome.tokens_in, outcome.tokens_out)
            key = f"{digest[:2]}/{digest}.json"
            if not self.records.put_new(key, outcome.packed()):
                return self._kept(digest) or outcome
            return outcome
        except Failed as error:
            used = (question.tokens_in(), question.tokens_out()) if error.maybe_paid else NONE
            raise
        finally:
            self.ledger.settle(digest, used)

    def _hold(self, digest: str, question: Question) -> None:
        """Note what the question may use. Raises ConfigError where the cap is too near."""
        settings, most = self.settings, (question.tokens_in(), question.tokens_out())

        def fits(use: Use) -> bool:
            tokens = settings.token_cap is None or sum(use) <= settings.token_cap
            return tokens and (settings.cost_cap is None or settings.cost(*use) <= settings.cost_cap)

        used = self.ledger.hold(digest, most, fits=fits)
        if used is None:
            return
        money = (
            settings.cost_cap is not None and settings.cost(used[0] + most[0], used[1] + most[1]) > settings.cost_cap
        )
        where = "cost_cap" if money else "token_cap"
        amounts = (
            f"{settings.cost(*used):,.4g} of {settings.cost_cap:,.4g}, the next question may cost "
            f"{settings.cost(*most):,.2g}"
            if money else f"{sum(used):,} of {settings.token_cap:,} tokens, the next question may use {sum(most):,}"
        )  # fmt: skip
        hint = f"raise `{where}` and run again: answers so far are kept, none is asked for twice"
        raise ConfigError(f"the cap is reached: {settings.model} has used {amounts}", where=where, hint=hint)

    def _wait(self, seconds: float, until: float) -> bool:
        """Wait; False where that would take longer than patience lasts. Raises `_Stopped` where all stops."""
        if time.monotonic() + max(seconds, 0.0) >= until:
            return False
        if self.stopped.wait(seconds) if seconds > 0 else self.stopped.is_set():
            raise _Stopped
        return True

    def _unanswered(self, tries: int, last: str) -> Unanswered:
        return Unanswered(message=f"no answer in {self.settings.patience_s:g} s and {tries} tries, last: {last}")


def scope_of(settings: Asks) -> str:
    """The name of what all stages over one model at one endpoint use together."""
    return blake2b(f"{settings.asked_of()}\n{settings.model}".encode(), digest_size=16).hexdigest()


class _Stopped(Exception):  # noqa: N818 - another question has failed for good
    """Nothing more is to be asked."""
