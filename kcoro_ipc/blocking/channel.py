"""A channel of the daemon for programs without an event loop.

The names are those of kcoro_ipc.client without `await`; what waits takes `timeout` in seconds (None
for ever, 0 not at all). What an operation's end means is the same too: one that raised did nothing,
except ConnectionLost (in doubt) and Unconfirmed (taken, not yet acknowledged).
It is longer than its neighbours because a channel's methods are easier to find in one place.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from kcoro_ipc import _wire, outgoing
from kcoro_ipc.blocking.handle import Handle
from kcoro_ipc.blocking.inbox import Inbox
from kcoro_ipc.blocking.kept import Kept
from kcoro_ipc.blocking.shipping import ship, ship_run
from kcoro_ipc.blocking.timeouts import Deadline, to_ms
from kcoro_ipc.blocking.watching import Watch
from kcoro_ipc.codecs import Codec
from kcoro_ipc.ends import ChannelEnd, Files
from kcoro_ipc.errors import (
    ConnectionLost,
    EndOfChannel,
    KcoroError,
    WouldBlock,
)
from kcoro_ipc.files import Message, Sender
from kcoro_ipc.protocol import batches, requests
from kcoro_ipc.protocol.channels import read_stats, ttl_ms_of
from kcoro_ipc.protocol.deliveries import Body, bodies_of, sender_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.requests import FOREVER_MS
from kcoro_ipc.protocol.selects import Clause
from kcoro_ipc.regions import Lease

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot


class Channel(ChannelEnd[Handle, Inbox]):
    """A handle on a named channel. Made by `Client.open_channel` and `clone`.

    A receive that is interrupted (KeyboardInterrupt, or whatever a signal handler raises) is
    cancelled; a message that came all the same is kept for this handle's next receive.
    """

    _inbox = Inbox

    def __init__(self, handle: Handle, codec: Codec) -> None:
        super().__init__(handle, codec)
        self._kept = Kept(codec)
        self._sender: Sender | None = None  # of what the last receive brought, if it was asked

    # --- sending ---

    def send(
        self,
        value: Any,
        *,
        timeout: float | None = None,
        confirm: bool = False,
        files: Files = (),
        ttl: float | None = None,
    ) -> bool:
        """Sends one value; False if the channel's policy (drop_newest) dropped it.

        The view of a loan is handed over: it can no longer be used afterwards. `files` are open
        files (numbers, or objects with `fileno()`) that go with the message; yours stay yours.
        TimedOut (WouldBlock for timeout 0): it was not sent. With `confirm` it returns when a
        receiver has acknowledged the message; a timeout after it was taken raises Unconfirmed.
        With `ttl` the message is not delivered later than so many seconds from now: it goes where
        undelivered ones go (OperationCancelled, "expired", for who waits with `confirm`). If it was
        not even accepted in that time, TimedOut: it was not sent.
        Interrupted: it was sent or not, `statistics` may tell, and so does the view of a loan.
        """
        flags = _wire.FLAG_SEND_COMPLETE_ACK if confirm else 0
        files = list(files) if files else ()
        ttl_ms = 0 if ttl is None else ttl_ms_of(ttl)
        while True:
            handle = self._usable()
            connection = handle.connection
            encoded = value if self._plain and type(value) is bytes else self._encode(value)
            try:
                if type(encoded) is bytes and len(encoded) <= handle.longest_inline and not files:
                    timeout_ms = FOREVER_MS if timeout is None else to_ms(timeout)
                    req_id = connection.new_id()
                    frame = requests.send(
                        req_id, handle.chan_id, timeout_ms, encoded, flags, ttl_ms
                    )
                    reply = connection.request(req_id, frame, timeout)
                else:
                    connection.check_usable()
                    parcel = outgoing.parcel_of(self._side, handle, encoded, files)
                    parcel.ttl_ms = ttl_ms
                    reply = ship(handle, parcel, timeout, flags)
            except ConnectionLost as error:
                timeout = handle.recover(connection, error, "send", timeout)
                continue
            if reply.result:
                raise handle.failure(reply, "send")
            return not (reply.attributes and reply.get(_wire.ATTR_DROPPED))

    def try_send(self, value: Any, *, files: Files = (), ttl: float | None = None) -> bool:
        """As `send`, but WouldBlock instead of waiting for a receiver or for room."""
        return self.send(value, timeout=0, files=files, ttl=ttl)

    def send_many(
        self, values: Iterable[Any], *, timeout: float | None = None, ttl: float | None = None
    ) -> int:
        """Sends in order, waiting as `send` does, with one deadline for all; returns how many
        values from the front are settled (accepted, taken, or dropped by policy). `ttl` as for
        `send`, for each frame of them from when it goes out.

        Fewer than given means that the next one failed, and the rest was not sent. If already the
        first one fails its error is raised.
        """
        given = list(values)
        ttl_ms = ttl_ms_of(ttl)
        while True:
            handle = self._usable()
            connection = handle.connection
            try:
                connection.check_usable()
                return self._send_runs(handle, given, Deadline(timeout), ttl_ms)
            except ConnectionLost as error:
                timeout = handle.recover(connection, error, "send", timeout)

    def _send_runs(
        self, handle: Handle, values: Sequence[Any], deadline: Deadline, ttl_ms: int
    ) -> int:
        settled = 0
        found = outgoing.runs(self._side, handle, self._codec, values, handle.longest_inline)
        with closing(found) as runs:
            for run in runs:
                try:
                    count = self._send_run(run, deadline.left(), ttl_ms)
                except KcoroError as error:
                    if settled and not error.in_doubt:
                        return settled
                    raise
                settled += count
                if count < run.length:
                    break
        return settled

    def _send_run(self, run: outgoing.Run, timeout: float | None, ttl_ms: int) -> int:
        handle = self._handle
        for parcel in run.parcels:
            parcel.ttl_ms = ttl_ms
        if run.parcels:
            return ship_run(handle, run.parcels, timeout)
        req_id = handle.connection.new_id()
        frame = requests.send_many(req_id, handle.chan_id, to_ms(timeout), run.elements, ttl_ms)
        reply = handle.connection.request(req_id, frame, timeout)
        if reply.result:
            raise handle.failure(reply, "send")
        count: int = reply.get(_wire.ATTR_COUNT, run.length)
        return count

    # --- receiving ---

    def receive(self, *, timeout: float | None = None) -> Any:
        """The next message. EndOfChannel once the channel is closed and empty; TimedOut
        (WouldBlock for timeout 0) if none came."""
        if self._kept:
            self._usable()
            return self._kept.decoded(1)[0]
        bodies = self._receive(timeout, 0)
        # From the return of a call to the next one no signal handler runs: the message is safe.
        body = bodies[0]
        if self._plain and type(body) is bytes:
            return body
        self._kept.keep(self._side.mappings, bodies)
        return self._kept.decoded(1)[0]

    def try_receive(self) -> Any:
        """As `receive`, but WouldBlock instead of waiting."""
        return self.receive(timeout=0)

    def receive_many(
        self,
        max_items: int = _wire.MAX_ITEMS,
        *,
        timeout: float | None = None,
        lease: bool = False,
    ) -> list[Any]:
        """Waits for one message and returns it with what else is there, `max_items` at most; with
        `lease` a list of Leases."""
        most = batches.batch_size(max_items)
        self._check_lease(lease)
        self._fill(timeout, most)
        return self._kept.leases(most) if lease else self._kept.decoded(most)

    def receive_lease(self, *, timeout: float | None = None) -> Lease:
        """The next message where it lies: in its sender's memory, if it was sent from there."""
        self._check_lease(True)
        self._fill(timeout, 0)
        return self._kept.leases(1)[0]

    def receive_message(self, *, timeout: float | None = None, sender: bool = False) -> Message:
        """The next message with the open files that came with it, which are then yours; with
        `sender` also who sent it, as the kernel says (None where a receive that was interrupted
        had taken it)."""
        self._sender = None
        self._fill(timeout, 0, _wire.FLAG_RECV_SENDER if sender else 0)
        return self._kept.message(self._sender)

    def receive_array(self, *, timeout: float | None = None) -> Any:
        """The next message as a NumPy array, read only, in its sender's memory if it was sent from
        there; that is given back when the array and its views are gone."""
        from kcoro_ipc import arrays

        return arrays.received(self._side.mappings, self.receive_lease(timeout=timeout))

    def _fill(self, timeout: float | None, max_items: int, flags: int = 0) -> None:
        """At least one message is kept afterwards."""
        self._usable()
        self._side.releases.end_dropped(again=True)
        if not self._kept:
            self._kept.keep(self._side.mappings, self._receive(timeout, max_items, flags))

    def __iter__(self) -> Iterator[Any]:
        """Messages until the end of the channel."""
        while True:
            try:
                value = self.receive()
            except EndOfChannel:
                return
            yield value

    def _receive(self, timeout: float | None, max_items: int, flags: int = 0) -> Sequence[Body]:
        while True:
            handle = self._usable()
            if not handle.may_receive:
                handle.check_receive()
            connection = handle.connection
            req_id = connection.new_id()
            timeout_ms = FOREVER_MS if timeout is None else to_ms(timeout)
            frame = requests.receive(req_id, handle.chan_id, timeout_ms, max_items, flags)
            try:
                reply = connection.request(req_id, frame, timeout, self.keep)
            except ConnectionLost as error:
                timeout = handle.recover(connection, error, "receive", timeout)
                continue
            if reply.result:
                raise handle.failure(reply, "receive")
            if flags:
                self._sender = sender_of(reply)
            if not reply.elements or reply.file_count:
                return bodies_of(reply)
            return reply.elements

    def keep(self, reply: Reply) -> None:
        """Messages that came for a receive that was interrupted."""
        if not reply.result:
            self._kept.keep(self._side.mappings, bodies_of(reply))

    def drain(self) -> Iterator[Any]:
        """What is in the channel, until it is empty. Each is taken when it is given to you.
        Messages that others hold are not waited for."""
        try:
            while True:
                yield self._take_one()
        except (WouldBlock, EndOfChannel):
            return

    def _take_one(self) -> Any:
        """Acknowledged where that exists, for a channel may refuse plain receives."""
        if self.info.kind == "conflated" or self._kept:
            return self.try_receive()
        job = self.acking().try_receive()
        job.ack()
        return job.data

    # --- select ---

    def selected(self, clause: Clause, reply: Reply) -> Any:
        """What the winning clause of a select brought."""
        if clause.encoded is not None:
            return None
        if clause.inbox is not None:
            return clause.inbox.jobs(reply)[0]
        self.keep(reply)
        if clause.sender:
            return self._kept.message(sender_of(reply))
        return self.take_kept(clause)

    def take_kept(self, clause: Clause) -> Any:
        """For a clause: what an interrupted receive left here, or a select has just brought."""
        if clause.message:
            return self._kept.message()
        return self._kept.leases(1)[0] if clause.lease else self._kept.decoded(1)[0]

    @property
    def has_kept(self) -> bool:
        """A message from an interrupted receive waits here: the next receive does not wait."""
        return bool(self._kept)

    # --- the channel itself ---

    def statistics(self) -> "ChannelSnapshot":
        """The channel's counters at this moment; docs/CHANNEL_METRICS.md names them."""
        from kcoro_ipc.metrics import snapshot

        reply = self._usable().control(_wire.CMD_GET_STATS)
        return snapshot(read_stats(reply), self.chan_id, self.name)

    def watch(self, interval: float) -> Watch:
        """As `Client.watch`, of this channel; it does not end with the handle."""
        return Watch(self._usable().connection, self.chan_id, interval)

    def close(self) -> None:
        """Closes the channel for all: no new sends, what was accepted still drains. Idempotent."""
        self._usable().control(_wire.CMD_CHAN_CLOSE)

    def destroy(self, reason: str = "") -> None:
        """Ends the channel for all, at once: who waits gets OperationCancelled with `reason`."""
        pairs = [(_wire.ATTR_REASON, reason)] if reason else []
        self._usable().control(_wire.CMD_CHAN_DESTROY, *pairs)

    def purge(self) -> int:
        """Drops what waits in the channel; returns how many messages that were."""
        count: int = self._usable().control(_wire.CMD_CHAN_PURGE).get(_wire.ATTR_COUNT)
        return count

    # --- this handle ---

    def clone(self) -> "Channel":
        """Another handle on the same channel with the same rights, to be closed on its own."""
        self._usable().users += 1
        return Channel(self._handle, self._codec)

    def aclose(self) -> None:
        """Gives this handle back; the channel lives on for others. Idempotent.

        What an interrupted receive left here is dropped with it.
        """
        if not self._closed:
            self._closed = True
            self._kept.discard()
            self._handle.release()

    def __enter__(self) -> "Channel":
        return self

    def __exit__(self, *raised: object) -> None:
        self.aclose()
