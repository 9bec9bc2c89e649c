"""Files that nobody wants any more are closed in threads, because close(2) may wait for others.

A file that lingers (a socket with SO_LINGER, a file of a FUSE server that hangs) keeps its thread,
and the files behind it in the same batch, until it is done. A batch holds files of one uid, and no
uid has more than a quarter of the threads (KC_FILE_TAKERS), so what hangs is its sender's loss: the
files stay charged to that uid until they are closed, and what is over the limit of threads waits
with the engine. Where the system starts no thread (RLIMIT_NPROC, TasksMax=) a batch waits, charged,
and tries again: never in the daemon's own thread, which a hanging file would stop.
"""

import logging
from typing import Protocol

import trio

from kcoro_ipc.logs import say
from kcoro_ipc.pump import close_files
from kcoro_ipc.reports import Batch

THREADS = 16
FILES_AT_ONCE = 256  # more of them wait for the next thread
PAUSE_S = 1.0  # until a thread is asked for again
QUIET_S = 10.0  # between two log lines about that


class Taker(Protocol):
    """The pump, as far as files are concerned."""

    def take_files(self, most: int) -> Batch: ...

    def files_closed(self, account: int, count: int) -> None: ...

    def wake(self) -> None: ...


class Closer:
    """Invariant: the pump is touched in `look` and `leave` alone, between two turns."""

    def __init__(self, pump: Taker) -> None:
        self._pump = pump
        self._limiter = trio.CapacityLimiter(THREADS)
        self._nursery: trio.Nursery | None = None
        self._closing: list[Batch] = []  # in threads, or on their way there
        self._unbegun: dict[int, Batch] = {}  # of those, by id: no thread has begun with them
        self._closed: list[Batch] = []  # to be told
        self._stuck: list[Batch] = []  # of the latter: no thread was to be had
        self._left: list[int] = []  # at the end: told, and not closed
        self._quiet_until_s = float("-inf")

    async def run(self) -> None:
        """Until it is cancelled. What is being closed then is left to its threads."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def look(self, waiting: int) -> None:
        """After each turn: tells what is closed; hands what waits to threads, if some are free."""
        waiting += len(self._closed)  # a uid may have another thread now
        self._tell(self._closed)
        while waiting and self._nursery is not None and len(self._closing) < THREADS:
            batch = self._pump.take_files(FILES_AT_ONCE)
            if not batch.files:
                break
            self._closing.append(batch)
            self._unbegun[id(batch)] = batch
            self._nursery.start_soon(self._close, batch)

    def _tell(self, closed: list[Batch]) -> None:
        while closed:
            batch = closed.pop()
            self._pump.files_closed(batch.account, len(batch.files))

    async def _close(self, batch: Batch) -> None:
        while not await self._is_closed(batch):
            self._stuck.append(batch)
            self._say_stuck()
            await trio.sleep(PAUSE_S)
            self._stuck.remove(batch)
        self._closing.remove(batch)
        self._closed.append(batch)
        self._pump.wake()

    async def _is_closed(self, batch: Batch) -> bool:
        """False: no thread could be started, or it had no memory and closed nothing."""
        try:
            return await trio.to_thread.run_sync(
                self._begin, batch, abandon_on_cancel=True, limiter=self._limiter
            )
        except RuntimeError:
            return False

    def _begin(self, batch: Batch) -> bool:
        """In a thread, perhaps after `leave`: `pop` decides whose the files are."""
        if self._unbegun.pop(id(batch), None) is None:
            return True
        try:
            close_files(batch.files)
        except MemoryError:  # before the first one: its list of numbers is made then
            self._unbegun[id(batch)] = batch
            return False
        return True

    def _say_stuck(self) -> None:
        if self._quiet_until_s <= trio.current_time():
            self._quiet_until_s = trio.current_time() + QUIET_S
            say_no_thread(sum(len(batch.files) for batch in self._stuck))

    def leave(self) -> None:
        """At the end: what waits is left to a thread that nobody waits for, or, if there is none,
        to the end of the process. Safe twice."""
        for key in list(self._unbegun):
            if (unbegun := self._unbegun.pop(key, None)) is not None:
                self._left += unbegun.files
        self._stuck.clear()
        self._tell(self._closed)
        self._tell(self._closing)
        while (batch := self._pump.take_files(FILES_AT_ONCE)).files:
            self._left += batch.files
            self._tell([batch])
        if self._left:
            self._leave_to_thread()

    def _leave_to_thread(self) -> None:
        left = tuple(self._left)
        try:
            trio.lowlevel.start_thread_soon(lambda: close_files(left), lambda _: None)
        except RuntimeError:
            say_no_thread(len(left))
        else:
            self._left.clear()


def say_no_thread(files: int) -> None:
    why = "no thread could be started: raise TasksMax= of the service, or ulimit -u"
    say(logging.WARNING, "files not closed", why=why, files=files)
