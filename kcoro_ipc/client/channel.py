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
from kcoro_ipc.client.emptying import Drain
from kcoro_ipc.client.handle import Handle
from kcoro_ipc.client.inbox import Inbox
from kcoro_ipc.client.shipping import ship, ship_run
from kcoro_ipc.client.watching import Watch
from kcoro_ipc.codecs import decode_many
from kcoro_ipc.ends import ChannelEnd, Files
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.files import Message, take
from kcoro_ipc.protocol import batches, requests
from kcoro_ipc.protocol.channels import read_stats, ttl_ms_of
from kcoro_ipc.protocol.deliveries import Body, WithFiles, bodies_of, sender_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.requests import FOREVER_MS, TRY_MS
from kcoro_ipc.protocol.selects import Clause
from kcoro_ipc.regions import Lease
from kcoro_ipc.trio_errors import ConnectionLost

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot


class Channel(ChannelEnd[Handle, Inbox], trio.abc.Channel[Any]):
    """A handle on a named channel. Made by `Client.open_channel` and `clone`; any number of tasks
    may use it at once.

    Everything that waits is cancelled the way trio does it: after Cancelled nothing has happened.
    A message that came all the same is returned, and Cancelled is raised by the next checkpoint.
    """

    _inbox = Inbox

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
        files = list(files) if files else ()
        ttl_ms = 0 if ttl is None else ttl_ms_of(ttl)
        while True:
            handle = self._usable()
            connection = handle.connection
            encoded = self._encode(value)
            try:
                if type(encoded) is bytes and len(encoded) <= handle.longest_inline and not files:
                    req_id = connection.new_id()
                    chan = handle.chan_id
                    frame = requests.send(req_id, chan, timeout_ms, encoded, flags, ttl_ms)
                    reply = await connection.request(req_id, frame, place, (self,))
                else:
                    connection.check_usable()
                    parcel = outgoing.parcel_of(self._side, handle, encoded, files)
                    parcel.ttl_ms = ttl_ms
                    reply = await ship(handle, parcel, timeout_ms, flags, place, self)
            except ConnectionLost as error:
                await handle.recover(connection, error, "send")
                continue
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
        given = list(values)
        ttl_ms = ttl_ms_of(ttl)
        if not given:
            await trio.lowlevel.checkpoint()
        while True:
            handle = self._usable()
            connection = handle.connection
            try:
                connection.check_usable()
                return await self._send_runs(handle, given, ttl_ms)
            except ConnectionLost as error:
                await handle.recover(connection, error, "send")

    async def _send_runs(self, handle: Handle, given: list[Any], ttl_ms: int) -> int:
        settled = 0
        found = outgoing.runs(self._side, handle, self._codec, given, handle.longest_inline)
        with closing(found) as runs:
            while (run := next(runs, None)) is not None:
                try:
                    count = await self._send_run(run, ttl_ms)
                except (trio.Cancelled, KcoroError) as error:
                    if settled and not getattr(error, "in_doubt", False):
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
        self._side.releases.end_dropped(again=True)
        return bodies_of(await self._ask(timeout_ms, max_items, "receive"))

    async def _receive(self, timeout_ms: int, max_items: int, place: str) -> Sequence[bytes]:
        reply = await self._ask(timeout_ms, max_items, place)
        if reply.elements and not reply.file_count:
            return reply.elements
        return self._side.mappings.elements(bodies_of(reply))

    async def _ask(self, timeout_ms: int, max_items: int, place: str, flags: int = 0) -> Reply:
        while True:
            handle = self._usable()
            handle.check_receive()
            connection = handle.connection
            req_id = connection.new_id()
            frame = requests.receive(req_id, handle.chan_id, timeout_ms, max_items, flags)
            try:
                reply = await connection.request(req_id, frame, place, (self,))
            except ConnectionLost as error:
                await handle.recover(connection, error, "receive")
                continue
            if reply.result:
                raise handle.failure(reply, "receive")
            return reply

    def drain(self) -> Drain:
        """What is in the channel, until it is empty: `async for value in channel.drain()`. Each is
        taken when it is given to you. Messages that others hold are not waited for."""
        return Drain(self)

    # --- select ---

    def selected(self, clause: Clause, reply: Reply) -> Any:
        """What the winning clause of a select brought."""
        if clause.encoded is not None:
            return None
        if clause.inbox is not None:
            return clause.inbox.jobs(reply)[0]
        if clause.message:
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

    def watch(self, interval: float) -> Watch:
        """As `Client.watch`, of this channel; it does not end with the handle."""
        return Watch(self._usable().connection, self.chan_id, interval)

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
