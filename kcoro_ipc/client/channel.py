"""A channel of the daemon as a trio channel.

What an operation's end means (contract 4.9 to 4.11): a send that returned was accepted (buffered)
or taken by a receiver (rendezvous); a receive that returned has the message; an operation that
raised did nothing, except ConnectionLost (in doubt) and Unconfirmed (taken, not yet acknowledged).
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import trio

from kcoro_ipc import _wire, outgoing
from kcoro_ipc.client.connection import Connection
from kcoro_ipc.client.emptying import Drain
from kcoro_ipc.client.handle import Handle
from kcoro_ipc.client.inbox import Inbox
from kcoro_ipc.client.shipping import ship, ship_run
from kcoro_ipc.codecs import Bytes, Codec, decode_many
from kcoro_ipc.errors import InvalidArgument, KcoroError
from kcoro_ipc.files import HasFileno, Message, take
from kcoro_ipc.protocol import batches, requests
from kcoro_ipc.protocol.channels import ChannelInfo, read_stats, ttl_ms_of
from kcoro_ipc.protocol.deliveries import Body, WithFiles, bodies_of, sender_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.requests import FOREVER_MS, TRY_MS
from kcoro_ipc.protocol.selects import Clause
from kcoro_ipc.regions import Lease
from kcoro_ipc.trio_errors import ClosedResourceError, ConnectionLost

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot

Files = Iterable[int | HasFileno]


class Channel(trio.abc.Channel[Any]):
    """A handle on a named channel. Made by `Client.open_channel` and `clone`; any number of tasks
    may use it at once.

    Everything that waits is cancelled the way trio does it: after Cancelled nothing has happened.
    A message that came all the same is returned, and Cancelled is raised by the next checkpoint.
    """

    def __init__(self, handle: Handle, codec: Codec) -> None:
        self._handle = handle
        self._codec = codec
        self._plain = isinstance(codec, Bytes)
        self._side = handle.connection.side
        self._longest_inline = self._side.longest_inline(handle)
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

    async def send(  # type: ignore[override]
        self, value: Any, *, confirm: bool = False, files: Files = (), ttl: float | None = None
    ) -> bool:
        """Sends one value; False if the channel's policy (drop_newest) dropped it.

        The view of a loan is handed over: it can no longer be used afterwards. `files` are open
        files (numbers, or objects with `fileno()`) that go with the message; yours stay yours.
        With `confirm` it returns when a receiver has acknowledged the message. Cancelled after it
        was taken, that raises Unconfirmed: the message is no longer yours, only the waiting ended.
        With `ttl` the message is not delivered later than so many seconds from now: it goes where
        undelivered ones go (OperationCancelled, "expired", for who waits with `confirm`). If it was
        not even accepted in that time, TimedOut: it was not sent.
        """
        flags = _wire.FLAG_SEND_COMPLETE_ACK if confirm else 0
        return await self._send(value, FOREVER_MS, flags, "send", files, ttl)

    async def try_send(self, value: Any, *, files: Files = (), ttl: float | None = None) -> bool:
        """As `send`, but WouldBlock instead of waiting for a receiver or for room."""
        return await self._send(value, TRY_MS, 0, "", files, ttl)

    async def _send(
        self,
        value: Any,
        timeout_ms: int,
        flags: int,
        place: str,
        files: Files,
        ttl: float | None,
    ) -> bool:
        handle = self._usable()
        ttl_ms = 0 if ttl is None else ttl_ms_of(ttl)
        connection = handle.connection
        encoded = self._encode(value)
        if type(encoded) is bytes and len(encoded) <= self._longest_inline and not files:
            req_id = connection.new_id()
            frame = requests.send(req_id, handle.chan_id, timeout_ms, encoded, flags, ttl_ms)
            reply = await connection.request(req_id, frame, place, (self,))
        else:
            parcel = outgoing.parcel_of(self._side, handle, encoded, files)
            parcel.ttl_ms = ttl_ms
            reply = await ship(handle, parcel, timeout_ms, flags, place, self)
        if reply.result:
            raise handle.failure(reply, "send")
        return not reply.get(_wire.ATTR_DROPPED)

    async def send_many(self, values: Iterable[Any], *, ttl: float | None = None) -> int:
        """Sends in order, waiting as `send` does; returns how many values from the front are
        settled (accepted, taken, or dropped by policy). `ttl` as for `send`, for each frame of
        them from when it goes out.

        Fewer than given means that the next one failed or that the task was cancelled: the rest
        was not sent. If already the first one fails its error is raised.
        """
        handle = self._usable()
        given = list(values)
        ttl_ms = ttl_ms_of(ttl)
        if not given:
            await trio.lowlevel.checkpoint()
        settled = 0
        found = outgoing.runs(self._side, handle, self._codec, given, self._longest_inline)
        with closing(found) as runs:
            while (run := next(runs, None)) is not None:
                try:
                    count = await self._send_run(run, ttl_ms)
                except (trio.Cancelled, KcoroError) as error:
                    if settled and not isinstance(error, ConnectionLost):
                        return settled  # cancelled: the next checkpoint says so again
                    raise
                settled += count
                if count < run.length:
                    break
        return settled

    async def _send_run(self, run: outgoing.Run, ttl_ms: int) -> int:
        handle = self._handle
        for parcel in run.parcels:
            parcel.ttl_ms = ttl_ms
        if run.parcels:
            return await ship_run(handle, run.parcels, self)
        req_id = handle.connection.new_id()
        frame = requests.send_many(req_id, handle.chan_id, FOREVER_MS, run.elements, ttl_ms)
        reply = await handle.connection.request(req_id, frame, "send", (self,))
        if reply.result:
            raise handle.failure(reply, "send")
        count: int = reply.get(_wire.ATTR_COUNT, run.length)
        return count

    def _encode(self, value: Any) -> Any:
        if type(value) is bytes and self._plain:
            return value
        return outgoing.encode(self._side, self._codec, value)

    # --- receiving ---

    async def receive(self) -> Any:
        """The next message. EndOfChannel once the channel is closed and empty."""
        return self._codec.decode((await self._receive(FOREVER_MS, 0, "receive"))[0])

    async def try_receive(self) -> Any:
        """As `receive`, but WouldBlock instead of waiting."""
        return self._codec.decode((await self._receive(TRY_MS, 0, ""))[0])

    async def receive_many(
        self, max_items: int = _wire.MAX_ITEMS, *, lease: bool = False
    ) -> list[Any]:
        """Waits for one message and returns it with what else is there, `max_items` at most; with
        `lease` a list of Leases."""
        most = batches.batch_size(max_items)
        if not lease:
            return decode_many(self._codec, await self._receive(FOREVER_MS, most, "receive"))
        bodies = await self._lease_bodies(FOREVER_MS, most)
        mappings = self._side.mappings
        return [mappings.lease(body) for body in bodies]

    async def receive_lease(self) -> Lease:
        """The next message where it lies: in its sender's memory, if it was sent from there."""
        (body,) = await self._lease_bodies(FOREVER_MS, 0)
        return self._side.mappings.lease(body)

    async def receive_message(self, *, sender: bool = False) -> Message:
        """The next message with the open files that came with it, which are then yours; with
        `sender` also who sent it, as the kernel says."""
        flags = _wire.FLAG_RECV_SENDER if sender else 0
        return self._message(await self._ask(FOREVER_MS, 0, "receive", flags))

    def _message(self, reply: Reply) -> Message:
        (body,) = bodies_of(reply)
        files = take(body.files) if isinstance(body, WithFiles) else []
        (element,) = self._side.mappings.elements([body])
        return Message.signed(self._codec.decode(element), files, sender_of(reply))

    async def receive_array(self) -> Any:
        """The next message as a NumPy array, read only, in its sender's memory if it was sent from
        there; that is given back when the array and its views are gone."""
        from kcoro_ipc import arrays

        return arrays.received(self._side.mappings, await self.receive_lease())

    async def _lease_bodies(self, timeout_ms: int, max_items: int) -> Sequence[Body]:
        self._check_lease(True)
        self._side.mappings.release_dropped()
        return bodies_of(await self._ask(timeout_ms, max_items, "receive"))

    async def _receive(self, timeout_ms: int, max_items: int, place: str) -> Sequence[bytes]:
        reply = await self._ask(timeout_ms, max_items, place)
        if reply.elements and not reply.file_count:
            return reply.elements
        return self._side.mappings.elements(bodies_of(reply))

    async def _ask(self, timeout_ms: int, max_items: int, place: str, flags: int = 0) -> Reply:
        handle = self._usable()
        handle.check_receive()
        req_id = handle.connection.new_id()
        frame = requests.receive(req_id, handle.chan_id, timeout_ms, max_items, flags)
        reply = await handle.connection.request(req_id, frame, place, (self,))
        if reply.result:
            raise handle.failure(reply, "receive")
        return reply

    def acking(self, *, lease: bool = False, sender: bool = False) -> Inbox:
        """Messages that stay in the channel until they are acknowledged; with `lease` each Job
        has a Lease, with `sender` its `sender`."""
        self._check_lease(lease)
        return Inbox(self, self._usable(), self._codec, lease, sender)

    def drain(self) -> Drain:
        """What is in the channel, until it is empty: `async for value in channel.drain()`. Each is
        taken when it is given to you. Messages that others hold are not waited for."""
        return Drain(self)

    def _check_lease(self, lease: bool) -> None:
        if lease and not self._plain:
            raise InvalidArgument("leases and arrays come from channels of bytes, without a codec")

    # --- select ---

    def receiving(self, *, lease: bool = False, sender: bool = False) -> Clause:
        """An arm of `Client.select` that receives; with `lease` its value is a Lease, with `sender`
        a Message."""
        self._usable().check_receive()
        self._check_lease(lease)
        return Clause(self, self._handle, self._codec, lease=lease, sender=sender)

    def sending(self, value: Any, *, files: Files = ()) -> Clause:
        """An arm of `Client.select` that sends `value` if it wins."""
        handle = self._usable()
        encoded = self._encode(value)
        if type(encoded) is bytes:
            self._side.check(handle, len(encoded))
        return Clause(self, handle, self._codec, encoded, files=list(files))

    def selected(self, clause: Clause, reply: Reply) -> Any:
        """What the winning clause of a select brought."""
        if clause.encoded is not None:
            return None
        if clause.inbox is not None:
            return clause.inbox.jobs(reply)[0]
        if clause.sender:
            return self._message(reply)
        mappings = self._side.mappings
        body = bodies_of(reply)[0]
        if clause.lease:
            return mappings.lease(body)
        return self._codec.decode(mappings.elements([body])[0])

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
