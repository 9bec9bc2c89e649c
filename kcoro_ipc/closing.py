"""Files that nobody wants any more are closed in threads, because close(2) may wait for others.

A file that lingers (a socket with SO_LINGER, a file of a FUSE server that hangs) keeps its thread,
and the files behind it in the same batch, until it is done. There are a few threads; while all are
busy files wait with the engine. Files of messages are charged to their senders until a thread takes
them; those that were refused, or that no message named, are charged to nobody any more.
"""

import os
from collections.abc import Callable, Sequence

import trio

THREADS = 16
FILES_AT_ONCE = 256  # more of them wait for the next thread


class Closer:
    def __init__(self, take: Callable[[int], Sequence[int]], wake: Callable[[], None]) -> None:
        """`take`: up to so many files, ours from then on; `wake`: a thread has become free."""
        self._take = take
        self._wake = wake
        self._limiter = trio.CapacityLimiter(THREADS)
        self._nursery: trio.Nursery | None = None
        self._running = 0

    async def run(self) -> None:
        """Until it is cancelled. What is being closed then is left to its threads."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await trio.sleep_forever()

    def look(self) -> None:
        """After each turn: hands what waits to a thread, if one is free."""
        if self._nursery is not None and self._running < THREADS:
            files = self._take(FILES_AT_ONCE)
            if files:
                self._running += 1
                self._nursery.start_soon(self._close, files)

    async def _close(self, files: Sequence[int]) -> None:
        await trio.to_thread.run_sync(
            close_all, files, abandon_on_cancel=True, limiter=self._limiter
        )
        self._running -= 1
        self._wake()


def close_all(files: Sequence[int]) -> None:
    """Whatever close(2) says, the descriptor is gone (its manual page, "Dealing with errors")."""
    for file in files:
        try:
            os.close(file)
        except OSError:
            continue
