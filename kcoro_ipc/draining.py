"""Going away: nothing new comes in, receivers empty the channels, and what is left is counted.

Draining begins with the paths: a successor may take them at once. Who is connected may receive and
acknowledge; SEND, MAKE and OPEN hear "shutting down", and so does, at the end, all that is parked.
It is over when no message is left, when nobody is left to take one, or when the time is up. The
service manager hears of it once, when it begins or, without draining, at the end.
"""

import logging
from collections.abc import Callable

from kcoro_ipc import control
from kcoro_ipc.acceptor import Acceptor
from kcoro_ipc.broker import Broker
from kcoro_ipc.logs import say
from kcoro_ipc.records import Channel


class Drain:
    """One shutdown. `until_ns` is None before it began; `lost` is known after `count_lost`."""

    def __init__(
        self,
        broker: Broker,
        acceptor: Acceptor,
        seconds: float,
        stopping: Callable[[float], object] | None = None,
    ) -> None:
        self.broker = broker
        self.acceptor = acceptor
        self.seconds = seconds
        self.until_ns: int | None = None
        self.lost = 0
        self._stopping = stopping
        self._ending = False
        self._unread: list[Channel] = []

    def begin(self) -> None:
        self.until_ns = self.broker.clock() + int(self.seconds * 1e9)
        self._refuse_what_is_new()
        self._unread = list(self.broker.registry.channels.values())
        say(logging.INFO, "draining", messages=self._count_waiting(), seconds=self.seconds)

    def _refuse_what_is_new(self) -> None:
        if not self.broker.draining and self._stopping is not None:
            self._stopping(0.0 if self.until_ns is None else self.seconds)
        self.broker.draining = True
        self.acceptor.close()
        self.broker.pump.drain()
        control.end_waiting(self.broker, openings_only=True)

    def next_deadline_ns(self) -> int | None:
        """The end of the time to drain; None before and after."""
        return None if self._ending else self.until_ns

    def over(self) -> bool:
        if self.until_ns is None:
            return False
        if self.until_ns <= self.broker.clock() or not self.broker.registry.peers:
            return True
        return self._count_waiting() == 0 and self._recount() == 0

    def _recount(self) -> int:
        """All channels again: a message that came back or moved may be in one that was empty."""
        self._unread = list(self.broker.registry.channels.values())
        return self._count_waiting()

    def _count_waiting(self) -> int:
        """Messages in channels. One found empty is not looked at again until all are."""
        depths = {channel: self._depth(channel) for channel in self._unread}
        self._unread = [channel for channel, depth in depths.items() if depth]
        return sum(depths.values())

    def _depth(self, channel: Channel) -> int:
        known = channel.chan_id in self.broker.registry.channels
        return self.broker.channels.depth(channel) if known and not channel.destroyed else 0

    def end(self) -> None:
        """Everybody who waits for anything hears of it; a few turns flush the answers.

        Again after a turn that served frames: a receive that was on its way parks after the first.
        """
        self._ending = True
        self._refuse_what_is_new()
        control.end_waiting(self.broker, openings_only=False)
        self.broker.pump.cancel_all()

    def count_lost(self) -> None:
        """After the last turn: a line for each channel that still holds messages."""
        self.broker.talk.end()
        for channel in self.broker.registry.channels.values():
            depth = self._depth(channel)
            if depth:
                self.lost += depth
                who = {"chan_id": channel.chan_id, "name": channel.name, "uid": channel.uid}
                say(logging.WARNING, "messages lost", **who, count=depth)
        say(logging.INFO, "ended", messages_lost=self.lost)
