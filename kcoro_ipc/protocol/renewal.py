"""After a connection was lost: what is known about a request, how to connect and open again.

Nothing here waits. A number that names a channel means nothing to another daemon, so only what was
opened by a name is opened again.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from kcoro_ipc import _wire
from kcoro_ipc.errors import ConnectionLost, NoDaemon
from kcoro_ipc.protocol.channels import RIGHTS, ChannelOptions, make_pairs, open_pairs

FIRST_SECONDS = 0.01
LONGEST_SECONDS = 1.0
RECONNECT_SECONDS = 30.0

NOT_SENT = "nothing of this request had left: it did not happen"
IN_DOUBT = {
    "send": "this send is in doubt: its message was accepted, or it was not",
    "receive": "this receive is in doubt: nothing of ours is lost, but a message that was on its "
    "way here is",
    "acking": "this receive is in doubt: a message that was on its way here is delivered again",
    "select": "this select is in doubt: one of its clauses took effect, or none did",
    "settling": "this is in doubt: the messages are settled, or they are delivered again",
    "": "this request is in doubt: the daemon did it, or it did not",
}


def _fraction() -> float:
    return int.from_bytes(os.urandom(2), "big") / 0x10000


def delays(fraction: Callable[[], float] = _fraction) -> Iterator[float]:
    """Seconds between attempts to connect: doubling up to a bound, each with jitter, so that the
    clients of a daemon that comes back do not all knock at the same moments."""
    longest = FIRST_SECONDS
    while True:
        yield longest * (0.5 + 0.5 * fraction())
        longest = min(2 * longest, LONGEST_SECONDS)


def what_is_known(error: ConnectionLost, side: str, renews: bool) -> ConnectionLost:
    """The same error with what it means for the request that it ended."""
    known = IN_DOUBT[side] if error.in_doubt else NOT_SENT
    advice = "" if renews else "; connect again"
    found = type(error)(f"{error.message}; {known}{advice}")
    found.in_doubt = error.in_doubt
    return found


def gave_up(error: NoDaemon, seconds: float) -> NoDaemon:
    return NoDaemon(f"{error.message} (tried for {seconds:.3g} s)")


class Origin(NamedTuple):
    """How a handle was opened: what to ask for, and what the answer has to agree with."""

    cmd: int
    name: str | None
    pairs: list[tuple[int, Any]]
    agrees: ChannelOptions
    number: int | None = None
    timeout: float | None = None

    @property
    def rights(self) -> int:
        flags: int = dict(self.pairs)[_wire.ATTR_FLAGS]
        return flags & RIGHTS

    @property
    def label(self) -> str | None:
        return self.name if self.number is None else str(self.number)

    @property
    def gone(self) -> str | None:
        """Why it cannot be opened by another connection."""
        if self.number is not None:
            return (
                f"channel {self.number} was opened by its number, by which another daemon may "
                "know another channel; open it again, better by its name"
            )
        if self.name is None:
            return "an anonymous channel ends with its connection; make it again"
        return None


def making(name: str | None, options: ChannelOptions, timeout: float | None = None) -> Origin:
    pairs = make_pairs(name, options)
    return Origin(_wire.CMD_CHAN_MAKE, name, pairs, {}, None, timeout)


def opening(
    target: str | int, options: ChannelOptions, timeout_ms: int, timeout: float | None = None
) -> Origin:
    make_pairs(None, options)  # refuses what no channel can have, before anything is asked
    pairs = open_pairs(target, options, timeout_ms)
    if isinstance(target, int):
        return Origin(_wire.CMD_CHAN_OPEN, None, pairs, options, target, timeout)
    return Origin(_wire.CMD_CHAN_OPEN, target, pairs, options, None, timeout)


def again(origin: Origin) -> Origin:
    """The same, but a channel that is there is no surprise any more."""
    pairs = [
        (number, value & ~_wire.FLAG_CHAN_EXCLUSIVE if number == _wire.ATTR_FLAGS else value)
        for number, value in origin.pairs
    ]
    return origin._replace(pairs=pairs)
