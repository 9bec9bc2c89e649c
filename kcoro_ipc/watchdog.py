"""Telling the service manager again and again that the daemon is alive, and what it does.

WATCHDOG=1 is no bare timer's: each is sent by a trio task that has just rung the pump's bell and
then seen a turn of the engine return and its report dealt with. A loop that hangs, in Python or in
C, says nothing, and the manager kills and restarts it. In thread mode trio may go round while the
turn hangs: then no turn is seen either.

Invariant: this is the only thing that wakes an idle daemon, once in half of WatchdogSec=. Without a
watchdog, only turns that happen anyway refresh the status line, and a rate is followed down to 0.
"""

import time
from collections.abc import Callable

import trio

from kcoro_ipc import service
from kcoro_ipc.daemon import Daemon

STATUS_S = 5.0  # between two status lines without a watchdog


class Pulse:
    """One for a daemon, `run` beside it."""

    def __init__(
        self,
        daemon: Daemon,
        watchdog_ns: int | None,
        notify: Callable[[str], object] = service.notify,
    ) -> None:
        """`watchdog_ns`: what the manager waits between two signs of life; None: it does not."""
        self._daemon = daemon
        self._watched = watchdog_ns is not None
        self._pause_s = STATUS_S if watchdog_ns is None else watchdog_ns / 2e9
        self._notify = notify
        self._status = ""
        self._turns = self._messages = 0
        self._measured_ns = time.monotonic_ns()
        self._rate = 0

    async def run(self) -> None:
        """Until cancelled."""
        self._tell([])
        while True:
            await trio.sleep(self._pause_s)
            await self._turn()
            self._tell(["WATCHDOG=1"] if self._watched else [])

    async def _turn(self) -> None:
        """Watched, a turn that was asked for; no checkpoint stands between bell and park. Else the
        next one that comes, unless there was one already or a rate is to be followed."""
        if self._watched:
            self._daemon.pump.wake()
            await self._daemon.turned.park()
        elif not self._rate and self._turns == self._daemon.broker.books.turns:
            await self._daemon.turned.park()

    def _tell(self, said: list[str]) -> None:
        status = self._line()
        if status != self._status:
            self._status = status
            said = [*said, f"STATUS={status}"]
        if said:
            self._notify("\n".join(said))

    def _line(self) -> str:
        registry = self._daemon.broker.registry
        self._measure()
        parts = [
            counted(len(registry.channels), "channel"),
            counted(len(registry.peers), "connection"),
            f"{self._rate} messages/s",
        ]
        return ("draining: " if self._daemon.broker.draining else "") + ", ".join(parts)

    def _measure(self) -> None:
        now_ns, messages = time.monotonic_ns(), self._daemon.engine.accepted()
        passed_ns = max(1, now_ns - self._measured_ns)
        self._rate = round((messages - self._messages) * 1e9 / passed_ns)
        self._turns, self._messages = self._daemon.broker.books.turns, messages
        self._measured_ns = now_ns


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
