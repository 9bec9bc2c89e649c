"""What a conformance case speaks to: users who start operations on channels and learn how they end.

A *subject* is one implementation of the contract (docs/ARCHITECTURE.md, section 4): the engine
itself, the pump on arrays of bytes, the daemon behind either kind of socket. A *user* is one party
with its own life: a scope of the engine, a connection. Each adapter stands in its own file.

Invariants the cases rely on:
- An operation was carried out, or is parked, when the call that starts it returns. `waiting` and
  `now` therefore never race with anything, and no case needs to sleep.
- `wait` lets time pass: a clock that is set by hand jumps to the next deadline, a real one runs.
- Every operation ends at most once; a second end is an assertion of this file.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from kcoro_ipc import _wire

FOREVER = -1
TRY = 0
STAT_INDEX = {name: place for place, name in enumerate(_wire.STAT_NAMES)}

OK = _wire.KC_OK
EAGAIN, ETIME, EPIPE = _wire.KC_EAGAIN, _wire.KC_ETIME, _wire.KC_EPIPE
ECANCELED, EINVAL, ENOENT = _wire.KC_ECANCELED, _wire.KC_EINVAL, _wire.KC_ENOENT
EMSGSIZE, EINPROGRESS, EDQUOT = _wire.KC_EMSGSIZE, _wire.KC_EINPROGRESS, _wire.KC_EDQUOT


class Outcome(NamedTuple):
    """How an operation ended.

    `data` is what a receive got; `delivery` names an acked receive; `attempts` counts earlier
    deliveries of that message; `index` is the winning or failing clause of a select, -1 if none.
    Batches fill `items`, `count` and `dropped` (how many drop_newest dropped). `sender` is the uid
    and pid that a receive asked for, None if it did not.
    """

    code: int = OK
    data: bytes | None = None
    index: int = -1
    dropped: int = 0
    attempts: int = 0
    delivery: int = 0
    reason: str = ""
    count: int = 0
    items: tuple[bytes, ...] = ()
    sender: tuple[int, int] | None = None


class Arm(NamedTuple):
    """One clause of a select: a send of `data`, or a receive."""

    chan: int
    data: bytes | None = None
    ack: bool = False


class Operation:
    """One started operation."""

    def __init__(self, user: "User", label: str) -> None:
        self.user = user
        self.label = label
        self.key: Any = None
        self._outcome: Outcome | None = None

    def __repr__(self) -> str:
        return f"<{self.label}: {self._outcome or 'waiting'}>"

    def end(self, outcome: Outcome) -> None:
        assert self._outcome is None, f"{self!r} ended again with {outcome}"
        self._outcome = outcome

    @property
    def ended(self) -> bool:
        """As far as this user has been told; asks nobody."""
        return self._outcome is not None

    @property
    def waiting(self) -> bool:
        self.user.collect()
        return self._outcome is None

    def now(self) -> Outcome:
        """The outcome of what must have ended already."""
        assert not self.waiting, f"{self!r} should have ended"
        assert self._outcome is not None
        return self._outcome

    def wait(self) -> Outcome:
        """The outcome of what ends by its deadline."""
        while self.waiting:
            self.user.pass_time()
        return self.now()

    # What most cases want to know, as one call.

    def ok(self) -> Outcome:
        outcome = self.now()
        assert outcome.code == OK, f"{self!r} should have succeeded"
        return outcome

    @property
    def data(self) -> bytes:
        outcome = self.ok()
        assert outcome.data is not None, f"{self!r} received nothing"
        return outcome.data

    @property
    def code(self) -> int:
        return self.now().code


class User(ABC):
    """One party. `timeout_ms`: 0 tries, negative waits for ever. `ttl_ms`: 0 is for ever."""

    @property
    @abstractmethod
    def identity(self) -> tuple[int, int]:
        """The uid and pid that receivers of its messages are to be told."""

    @abstractmethod
    def send(
        self,
        chan: int,
        data: bytes,
        timeout_ms: int = FOREVER,
        confirm: bool = False,
        ttl_ms: int = 0,
    ) -> Operation: ...

    @abstractmethod
    def receive(
        self, chan: int, timeout_ms: int = FOREVER, ack: bool = False, sender: bool = False
    ) -> Operation: ...

    @abstractmethod
    def select(
        self, arms: Sequence[Arm], timeout_ms: int = FOREVER, biased: bool = False
    ) -> Operation: ...

    def try_send(self, chan: int, data: bytes) -> Operation:
        return self.send(chan, data, TRY)

    def try_receive(self, chan: int, ack: bool = False) -> Operation:
        return self.receive(chan, TRY, ack)

    @abstractmethod
    def cancel(self, operation: Operation) -> None:
        """Asks for it; how the operation ends says whether that came in time."""

    @abstractmethod
    def ack(self, delivery: int) -> int:
        """0, or ENOENT for a delivery that is not this user's (any more)."""

    @abstractmethod
    def nack(self, delivery: int) -> int: ...

    @abstractmethod
    def close(self, chan: int) -> int: ...

    @abstractmethod
    def destroy(self, chan: int, reason: str = "") -> int: ...

    @abstractmethod
    def purge(self, chan: int) -> int:
        """How many messages were dropped."""

    @abstractmethod
    def statistics(self, chan: int) -> dict[str, int]: ...

    @abstractmethod
    def die(self) -> None:
        """Gone without a word, as a killed process; it is known to be gone when this returns."""

    @abstractmethod
    def collect(self) -> None:
        """Learns what has been decided so far."""

    @abstractmethod
    def pass_time(self) -> None:
        """Lets time pass until something more is decided."""


class DeadLetter(NamedTuple):
    """A channel for what cannot be delivered; `option` is how another channel is told of it."""

    chan: int
    option: Any


class Subject(ABC):
    """One implementation. `check` asserts its inner invariants and that nothing is left over."""

    label: str
    batches = True  # whether users are `BatchUser`s
    most_bytes = 16 << 20  # of an element

    @abstractmethod
    def user(self) -> User: ...

    @abstractmethod
    def channel(
        self, kind: str = "rendezvous", capacity: int = 0, overflow: str = "suspend", **options: Any
    ) -> int:
        """A new channel, usable by every user. Options: undelivered, elem_size, max_attempts,
        dead_letter (a channel), ack_required, max_bytes, ttl_ms. KcoroError if refused."""

    @abstractmethod
    def dead_letter_channel(self) -> DeadLetter: ...

    @abstractmethod
    def check(self) -> None: ...

    @abstractmethod
    def finish(self) -> None: ...

    def users(self, count: int) -> list[User]:
        return [self.user() for _ in range(count)]


class Spec(NamedTuple):
    """A kind of channel that cases are repeated over."""

    label: str
    kind: str
    capacity: int = 0
    overflow: str = "suspend"

    def make(self, subject: Subject, **options: Any) -> int:
        return subject.channel(self.kind, self.capacity, self.overflow, **options)

    @property
    def room(self) -> int:
        """Messages that are accepted without a receiver, up to what a test is willing to send."""
        return {"rendezvous": 0, "buffered": self.capacity, "conflated": 1}.get(self.kind, 100)

    @property
    def blocks(self) -> bool:
        """Whether a send may have to wait."""
        return self.kind in ("rendezvous", "buffered") and self.overflow == "suspend"


RENDEZVOUS = Spec("rendezvous", "rendezvous")
BUFFERED = [Spec(f"buffered-{n}", "buffered", n) for n in (1, 2, 3, 7, 64)]
CONFLATED = Spec("conflated", "conflated")
UNLIMITED = Spec("unlimited", "unlimited")
DROP_NEWEST = [Spec(f"drop-newest-{n}", "buffered", n, "drop_newest") for n in (1, 2, 3, 7)]
DROP_OLDEST = [Spec(f"drop-oldest-{n}", "buffered", n, "drop_oldest") for n in (1, 2, 3, 7)]

BLOCKING = [RENDEZVOUS, *BUFFERED]
LOSSLESS = [*BLOCKING, UNLIMITED]
LOSSY = [CONFLATED, DROP_NEWEST[2], DROP_OLDEST[2]]
EVERY = [*LOSSLESS, *LOSSY]
