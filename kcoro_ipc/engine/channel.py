"""A channel inside one trio program: trio's promises, the engine's kinds, any Python object.

An operation either happens or raises, and then the channel is unchanged; Cancelled is no exception
to that. Waiting is first come, first served on each side. The names are those of
kcoro_ipc.client.Channel, and trio's send_nowait and receive_nowait besides.
"""

from typing import Any

import trio
from trio.lowlevel import checkpoint

from kcoro_ipc.engine.handle import Handle
from kcoro_ipc.engine.select import Clause
from kcoro_ipc.metrics import ChannelSnapshot, snapshot


class Channel(Handle, trio.abc.Channel[Any]):
    """A handle; `clone` makes another. For tasks of one trio program, not for several threads."""

    def __repr__(self) -> str:
        state = "closed " if self.closed else ""
        return f"<{state}in-process channel {self._state.name or hex(self._state.chan)}>"

    @property
    def name(self) -> str | None:
        return self._state.name

    def send_nowait(self, value: Any) -> bool:
        """Sends at once or raises WouldBlock; False if the channel's policy dropped the value."""
        return self._send_nowait(value)

    async def send(self, value: Any) -> bool:  # type: ignore[override]
        """Sends one value; False if the channel's policy (drop_newest) dropped it."""
        return await self._send(value)

    async def try_send(self, value: Any) -> bool:
        """As `send_nowait`, and a checkpoint."""
        await checkpoint()
        return self._send_nowait(value)

    def receive_nowait(self) -> Any:
        """The next message, or WouldBlock."""
        return self._receive_nowait()

    async def receive(self) -> Any:
        """The next message. EndOfChannel once the channel is closed and empty."""
        return await self._receive()

    async def try_receive(self) -> Any:
        """As `receive_nowait`, and a checkpoint."""
        await checkpoint()
        return self._receive_nowait()

    def receiving(self) -> Clause:
        """An arm of `Engine.select` that receives."""
        return Clause(self, self._usable())

    def sending(self, value: Any) -> Clause:
        """An arm of `Engine.select` that sends `value` if it wins."""
        return Clause(self, self._usable(), sends=True, value=value)

    async def statistics(self) -> ChannelSnapshot:
        """The channel's counters at this moment."""
        await checkpoint()
        state = self._usable()
        values = state.engine.native.chan_stats(state.chan)
        return snapshot(dict(enumerate(values)), state.chan, state.name)

    async def close(self) -> None:
        """Closes the channel for all: no new sends, what was accepted still drains. Idempotent."""
        await checkpoint()
        state = self._usable()
        state.engine.native.chan_close(state.chan)
        self._port.drain()

    async def destroy(self, reason: str = "") -> None:
        """Ends the channel for all, at once: who waits gets OperationCancelled with `reason`."""
        await checkpoint()
        self._usable().destroy(reason)

    async def purge(self) -> int:
        """Drops what waits in the channel; returns how many messages that were."""
        await checkpoint()
        state = self._usable()
        count = state.engine.native.chan_purge(state.chan)
        self._port.drain()
        state.release_dropped()
        return count

    def clone(self) -> "Channel":
        """Another handle on the same channel, to be closed on its own."""
        return Channel(self._usable())

    async def aclose(self) -> None:
        """Gives this handle back; the last one takes the channel with it. Idempotent.

        Its own waiting calls end with ClosedResourceError and their values stay the caller's.
        """
        if self._leave() and self._state.handles == 0:
            self._state.drop()
        await checkpoint()
