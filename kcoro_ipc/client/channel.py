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
from kcoro_ipc.client.handle import Handle
from kcoro_ipc.client.inbox import Inbox
from kcoro_ipc.client.shipping import ship, ship_run
from kcoro_ipc.client.watching import Watch
from kcoro_ipc.codecs import decode_many
from kcoro_ipc.ends import ChannelEnd, Files
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.files import Message, take
from kcoro_ipc.protocol import batches, requests
from kcoro_ipc.protocol.channels import read_stats
from kcoro_ipc.protocol.deliveries import Body, WithFiles, bodies_of
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
        self, value: Any, *, confirm: bool = False, files: Files = ()
    ) -> bool:
        """Sends one value; False if the channel's policy (drop_newest) dropped it.

        The view of a loan is handed over: it can no longer be used afterwards. `files` are open
        files (numbers, or objects with `fileno()`) that go with the message; yours stay yours.
        With `confirm` it returns when a receiver has acknowledged the message. Cancelled after it
        was taken, that raises Unconfirmed: the message is no longer yours, only the waiting ended.
        """
        flags = _wire.FLAG_SEND_COMPLETE_ACK if confirm else 0
        return await self._send(value, FOREVER_MS, flags, "send", files)

    async def try_send(self, value: Any, *, files: Files = ()) -> bool:
        """As `send`, but WouldBlock instead of waiting for a receiver or for room."""
        return await self._send(value, TRY_MS, 0, "", files)

    async def _send(
        self, value: Any, timeout_ms: int, flags: int, place: str, files: Files
    ) -> bool:
        files = list(files) if files else ()
        while True:
            handle = self._usable()
            connection = handle.connection
            encoded = self._encode(value)
            try:
                if type(encoded) is bytes and len(encoded) <= handle.longest_inline and not files:
                    req_id = connection.new_id()
                    frame = requests.send(req_id, handle.chan_id, timeout_ms, encoded, flags)
                    reply = await connection.request(req_id, frame, place, (self,))
                else:
                    connection.check_usable()
                    parcel = outgoing.parcel_of(self._side, handle, encoded, files)
                    reply = await ship(handle, parcel, timeout_ms, flags, place, self)
            except ConnectionLost as error:
                await handle.recover(connection, error, "send")
                continue
            if reply.result:
                raise handle.failure(reply, "send")
            return not reply.get(_wire.ATTR_DROPPED)

    async def send_many(self, values: Iterable[Any]) -> int:
        """Sends in order, waiting as `send` does; returns how many values from the front are
        settled (accepted, taken, or dropped by policy).

        Fewer than given means that the next one failed or that the task was cancelled: the rest
        was not sent. If already the first one fails its error is raised.
        """
        given = list(values)
        if not given:
            await trio.lowlevel.checkpoint()
        while True:
            handle = self._usable()
            connection = handle.connection
            try:
                connection.check_usable()
                return await self._send_runs(handle, given)
            except ConnectionLost as error:
                await handle.recover(connection, error, "send")

    async def _send_runs(self, handle: Handle, given: list[Any]) -> int:
        settled = 0
        found = outgoing.runs(self._side, handle, self._codec, given, handle.longest_inline)
        with closing(found) as runs:
            while (run := next(runs, None)) is not None:
                try:
                    count = await self._send_run(run)
                except (trio.Cancelled, KcoroError) as error:
                    if settled and not getattr(error, "in_doubt", False):
                        return settled  # cancelled: the next checkpoint says so again
                    raise
                settled += count
                if count < run.length:
                    break
        return settled

    async def _send_run(self, run: outgoing.Run) -> int:
        handle = self._handle
        if run.parcels:
            return await ship_run(handle, run.parcels, self)
        req_id = handle.connection.new_id()
        frame = requests.send_many(req_id, handle.chan_id, FOREVER_MS, run.elements)
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

    async def receive_message(self) -> Message:
        """The next message with the open files that came with it, which are then yours."""
        (body,) = bodies_of(await self._ask(FOREVER_MS, 0, "receive"))
        return self._message(body)

    def _message(self, body: Body) -> Message:
        files = take(body.files) if isinstance(body, WithFiles) else []
        (element,) = self._side.mappings.elements([body])
        return Message(self._codec.decode(element), files)

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

    async def _ask(self, timeout_ms: int, max_items: int, place: str) -> Reply:
        while True:
            handle = self._usable()
            handle.check_receive()
            connection = handle.connection
            req_id = connection.new_id()
            frame = requests.receive(req_id, handle.chan_id, timeout_ms, max_items)
            try:
                reply = await connection.request(req_id, frame, place, (self,))
            except ConnectionLost as error:
                await handle.recover(connection, error, "receive")
                continue
            if reply.result:
                raise handle.failure(reply, "receive")
            return reply

    # --- select ---

    def selected(self, clause: Clause, reply: Reply) -> Any:
        """What the winning clause of a select brought."""
        if clause.encoded is not None:
            return None
        if clause.inbox is not None:
            return clause.inbox.jobs(reply)[0]
        mappings = self._side.mappings
        body = bodies_of(reply)[0]
        if clause.lease:
            return mappings.lease(body)
        if clause.message:
            return self._message(body)
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
