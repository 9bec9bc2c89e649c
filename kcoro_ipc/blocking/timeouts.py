"""Seconds as callers give them: as milliseconds for the wire, as struct timeval for the socket."""

import math
import socket
import struct
from time import monotonic

from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.protocol.requests import FOREVER_MS, TRY_MS

LONGEST_MS = 2**31 - 1


def to_ms(timeout: float | None) -> int:
    """Seconds as the wire's TIMEOUT_MS: rounded up, so that a deadline never comes early."""
    if timeout is None:
        return FOREVER_MS
    if timeout == 0:
        return TRY_MS
    if math.isnan(timeout):
        raise InvalidArgument("a timeout is a number of seconds, or None to wait for ever")
    if timeout < 0 or timeout * 1000 > LONGEST_MS:
        return FOREVER_MS
    return math.ceil(timeout * 1000)


def timeval(seconds: float | None) -> bytes:
    """For SO_RCVTIMEO and SO_SNDTIMEO; None: no bound."""
    if seconds is None:
        return struct.pack("@ll", 0, 0)
    microseconds = max(1, int(seconds * 1e6))
    return struct.pack("@ll", *divmod(microseconds, 1_000_000))


class Deadline:
    """One timeout for several requests."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        bounded = timeout is not None and timeout > 0
        self._end = monotonic() + timeout if bounded and timeout is not None else None

    def left(self) -> float | None:
        """Seconds until it passes, at least a moment: the daemon says that the time is over."""
        if self._end is None:
            return self._timeout
        return max(0.001, self._end - monotonic())


class Bound:
    """How long recv(2) may take on one socket: as long as the daemon may, and `grace` more.

    SO_RCVTIMEO needs no further call per request as long as the bound stays the same; Python's own
    timeouts cost a poll(2) each time. `limited_to`: the timeout that was given last.
    """

    def __init__(self, sock: socket.socket, grace: float) -> None:
        self.grace = grace
        self.limited_to: float | None = None
        self.seconds: float | None = None
        self._sock = sock

    def limit(self, timeout: float | None) -> None:
        self.limited_to = timeout
        bound = None
        if timeout is not None and to_ms(timeout) != FOREVER_MS:  # infinite and huge are for ever
            bound = timeout + self.grace
        if bound == self.seconds:
            return
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval(bound))
        self.seconds = bound
