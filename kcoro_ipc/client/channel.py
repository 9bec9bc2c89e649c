"""A channel of the daemon as a trio channel.

What an operation's end means (contract 4.9 to 4.11): a send that returned was accepted (buffered)
or taken by a receiver (rendezvous); a receive that returned has the message; an operation that
raised did nothing, except ConnectionLost (in doubt) and Unconfirmed (taken, not yet acknowledged).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import trio

from kcoro_ipc import _wire
from kcoro_ipc.client.connection import Connection
from kcoro_ipc.client.handle import Handle
from kcoro_ipc.client.inbox import Inbox
from kcoro_ipc.codecs import Codec, decode_many, encode_many
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.protocol import batches, requests
from kcoro_ipc.protocol.channels import ChannelInfo, read_stats
from kcoro_ipc.protocol.deliveries import elements_of
from kcoro_ipc.protocol.requests import FOREVER_MS, TRY_MS
from kcoro_ipc.protocol.selects import Clause
from kcoro_ipc.trio_errors import ClosedResourceError, ConnectionLost

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot


class Channel(trio.abc.Channel[Any]):
    """A handle on a named channel. Made by `Client.open_channel` and `clone`; any number of tasks
    may use it at once.

    Everything that waits is cancelled the way trio does it: after Cancelled nothing has happened.
    A message that came all the same is returned, and Cancelled is raised by the next checkpoint.
    """

    def __init__(self, handle: Handle, codec: Codec) -> None:
        self._handle = handle
        self._codec = codec
        self._closed = False

    def __repr__(self) -> str:
        state = "closed " if self._closed else ""
        return f"<{state}kcoro channel {self._handle.label} ({self.info.kind})>"

    @property
    def info(self) -> ChannelInfo:
        """Name, chan_id, kind, capacity, elem_size and overflow, as the daemon said at opening."""
        return self._handle.info

    @property
    def name(self) -> str | None:
        return self._handle.info.name

    @property
    def chan_id(self) -> int:
        return self._handle.info.chan_id

    @property
    def client_connection(self) -> Connection:
        """Whose channel this is: a select takes channels of one connection, and no handle that
        was closed."""
        return self._usable().connection

    # --- sending ---

    async def send(self, value: Any, *, confirm: bool = False) -> bool:  # type: ignore[override]
        """Sends one value; False if the channel's policy (drop_newest) dropped it.

        With `confirm` it returns when a receiver has acknowledged the message. Cancelled after it
        was taken, that raises Unconfirmed: the message is no longer yours, only the waiting ended.
        """
        flags = _wire.FLAG_SEND_COMPLETE_ACK if confirm else 0
        return await self._send(value, FOREVER_MS, flags, "send")

    async def try_send(self, value: Any) -> bool:
        """As `send`, but WouldBlock instead of waiting for a receiver or for room."""
        return await self._send(value, TRY_MS, 0, "")

    async def _send(self, value: Any, timeout_ms: int, flags: int, place: str) -> bool:
        handle = self._usable()
        element = self._encode(value)
        req_id = handle.connection.new_id()
        frame = requests.send(req_id, handle.chan_id, timeout_ms, element, flags)
        reply = await handle.connection.request(req_id, frame, place, (self,))
        if reply.result:
            raise handle.failure(reply, "send")
        return not reply.get(_wire.ATTR_DROPPED)

    async def send_many(self, values: Iterable[Any]) -> int:
        """Sends in order, waiting as `send` does; returns how many values from the front are
        settled (accepted, taken, or dropped by policy).

        Fewer than given means that the next one failed or that the task was cancelled: the rest
        was not sent. If already the first one fails its error is raised.
        """
        handle = self._usable()
        elements = encode_many(self._codec, values)
        handle.check_length(max(map(len, elements), default=0))
        if not elements:
            await trio.lowlevel.checkpoint()
        settled = 0
        for run in batches.split(elements, handle.connection.max_frame_bytes):
            try:
                count = await self._send_run(run)
            except (trio.Cancelled, KcoroError) as error:
                if settled and not isinstance(error, ConnectionLost):
                    return settled  # cancelled: the next checkpoint says so again
                raise
            settled += count
            if count < len(run):
                break
        return settled

    async def _send_run(self, run: Any) -> int:
        handle = self._handle
        req_id = handle.connection.new_id()
        frame = requests.send_many(req_id, handle.chan_id, FOREVER_MS, run)
        reply = await handle.connection.request(req_id, frame, "send", (self,))
        if reply.result:
            raise handle.failure(reply, "send")
        count: int = reply.get(_wire.ATTR_COUNT, len(run))
        return count

    def _encode(self, value: Any) -> bytes:
        element = self._codec.encode(value)
        self._handle.check_length(len(element))
        return element

    # --- receiving ---

    async def receive(self) -> Any:
        """The next message. EndOfChannel once the channel is closed and empty."""
        return self._codec.decode((await self._receive(FOREVER_MS, 0, "receive"))[0])

    async def try_receive(self) -> Any:
        """As `receive`, but WouldBlock instead of waiting."""
        return self._codec.decode((await self._receive(TRY_MS, 0, ""))[0])

    async def receive_many(self, max_items: int = _wire.MAX_ITEMS) -> list[Any]:
        """Waits for one message and returns it with what else is there, `max_items` at most."""
        elements = await self._receive(FOREVER_MS, batches.batch_size(max_items), "receive")
        return decode_many(self._codec, elements)

    async def _receive(self, timeout_ms: int, max_items: int, place: str) -> Sequence[bytes]:
        handle = self._usable()
        handle.check_receive()
        req_id = handle.connection.new_id()
        frame = requests.receive(req_id, handle.chan_id, timeout_ms, max_items)
        reply = await handle.connection.request(req_id, frame, place, (self,))
        if reply.result:
            raise handle.failure(reply, "receive")
        return elements_of(reply)

    def acking(self) -> Inbox:
        """Messages that stay in the channel until they are acknowledged."""
        return Inbox(self, self._usable(), self._codec)

    # --- select ---

    def receiving(self) -> Clause:
        """An arm of `Client.select` that receives."""
        self._usable().check_receive()
        return Clause(self, self._handle, self._codec)

    def sending(self, value: Any) -> Clause:
        """An arm of `Client.select` that sends `value` if it wins."""
        self._usable()
        return Clause(self, self._handle, self._codec, self._encode(value))

    # --- the channel itself ---

    async def statistics(self) -> "ChannelSnapshot":
        """The channel's counters at this moment; docs/CHANNEL_METRICS.md names them."""
        from kcoro_ipc.metrics import snapshot

        reply = await self._usable().control(_wire.CMD_GET_STATS)
        return snapshot(read_stats(reply), self.chan_id, self.name)

    async def close(self) -> None:
        """Closes the channel for all: no new sends, what was accepted still drains. Idempotent."""
        await self._usable().control(_wire.CMD_CHAN_CLOSE)

    async def destroy(self, reason: str = "") -> None:
        """Ends the channel for all, at once: who waits gets OperationCancelled with `reason`."""
        pairs = [(_wire.ATTR_REASON, reason)] if reason else []
        await self._usable().control(_wire.CMD_CHAN_DESTROY, *pairs)

    async def purge(self) -> int:
        """Drops what waits in the channel; returns how many messages that were."""
        reply = await self._usable().control(_wire.CMD_CHAN_PURGE)
        count: int = reply.get(_wire.ATTR_COUNT)
        return count

    # --- this handle ---

    def clone(self) -> "Channel":
        """Another handle on the same channel with the same rights, to be closed on its own."""
        self._usable().users += 1
        return Channel(self._handle, self._codec)

    async def aclose(self) -> None:
        """Gives this handle back; the channel lives on for others.

        Its own waiting calls end with ClosedResourceError and their values stay the caller's, or
        with what has happened meanwhile. Idempotent, and done even when cancelled.
        """
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        self._handle.connection.end_waits(self)
        await self._handle.release()

    def _usable(self) -> Handle:
        if self._closed:
            raise ClosedResourceError(f"this handle on channel {self._handle.label} is closed")
        return self._handle
