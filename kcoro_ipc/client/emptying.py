"""Emptying a channel on purpose, under trio: one message after the other until nothing waits."""

from typing import TYPE_CHECKING, Any

import trio

from kcoro_ipc.errors import EndOfChannel, WouldBlock

if TYPE_CHECKING:
    from kcoro_ipc.client.channel import Channel


class Drain:
    """Made by `Channel.drain`. Cancelled or broken off, it has lost nothing: what it had not given
    out is in the channel."""

    def __init__(self, channel: "Channel") -> None:
        self._channel = channel

    def __aiter__(self) -> "Drain":
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._next()
        except (WouldBlock, EndOfChannel):
            raise StopAsyncIteration from None

    async def _next(self) -> Any:
        """Acknowledged where that exists, for a channel may refuse plain receives."""
        if self._channel.info.kind == "conflated":
            return await self._channel.try_receive()
        job = await self._channel.acking().try_receive()
        with trio.CancelScope(shield=True):  # one round trip, and the message is ours for good
            await job.ack()
        return job.data
