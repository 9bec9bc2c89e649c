"""Seconds as callers give them: as milliseconds for the wire, as struct timeval for the socket."""

import math
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
