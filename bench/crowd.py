"""Many connections to one server from this process, for memory, idle and scale.

Connections are opened in flocks: all say HELLO and CHAN_MAKE before the first answer is read, so
that ten thousand take seconds. Not a load: nothing here is timed.
"""

from __future__ import annotations

import resource
from types import TracebackType

from bench import raw
from bench.model import SkippedError
from kcoro_ipc import _wire

FLOCK = 256
SPARE_DESCRIPTORS = 256
CAPACITY = 64


def room_for(descriptors: int) -> None:
    """Raises this process's limit of open files; SkippedError when the machine allows fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = descriptors + SPARE_DESCRIPTORS
    if soft < wanted:
        if wanted > hard:
            raise SkippedError(f"needs {wanted} open files, the hard limit is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Crowd:
    """Connections that hold one channel each. A context manager: all leave at its end."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.links: list[raw.Link] = []
        self.channels: list[int] = []

    def __enter__(self) -> Crowd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        for link in self.links:
            link.close()
        self.links.clear()

    def join(self, count: int, channel: str) -> None:
        """Opens `count` more connections, each with a handle of the channel."""
        room_for(len(self.links) + count)
        while count:
            flock = [raw.Link(self.path) for _ in range(min(FLOCK, count))]
            self.links += flock
            count -= len(flock)
            for link in flock:
                link.socket.sendall(raw.make_frame(channel, CAPACITY))
            for link in flock:
                made = raw.succeeded(link.read_frame())
                self.channels.append(raw.number(made, _wire.ATTR_CHAN_ID))

    def park(self, timeout_ms: int = raw.FOR_EVER, first: int = 1, each: int = 1) -> None:
        """Every connection asks for `each` receives; PING's answer says that they were read."""
        requests = range(first, first + each)
        for link, channel in zip(self.links, self.channels, strict=True):
            waits = b"".join(raw.recv_frame(i, channel, 0, timeout_ms) for i in requests)
            link.socket.sendall(waits + ping(first + each))
        for link in self.links:
            raw.succeeded(link.read_frame())


def ping(request: int) -> bytes:
    return raw.frame(_wire.CMD_PING, raw.u32(_wire.ATTR_REQ_ID, request))
