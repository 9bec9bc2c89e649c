"""Receiving with acknowledgement under trio: a message stays in its channel until it is done."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import trio

from kcoro_ipc import _wire
from kcoro_ipc.client.connection import Connection
from kcoro_ipc.client.handle import Handle
from kcoro_ipc.codecs import Codec
from kcoro_ipc.errors import UnknownDelivery
from kcoro_ipc.files import File, Sender, take
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.batches import batch_size
from kcoro_ipc.protocol.deliveries import WithFiles, deliveries_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.requests import FOREVER_MS, TRY_MS
from kcoro_ipc.protocol.selects import Clause
from kcoro_ipc.regions import Lease
from kcoro_ipc.trio_errors import ClosedResourceError, ConnectionLost

if TYPE_CHECKING:
    from kcoro_ipc.client.channel import Channel

Settle = Callable[[int, Sequence[int]], bytes]


class Job:
    """One message that is held for you until `ack` (done) or `nack` (somebody else's again).

    `redelivered` says that it had been delivered before, `attempts` how often. As a context
    manager it is acknowledged at the end of the block and given back if the block raised. `sender`
    says who sent it if the inbox was asked for senders. `lease`
    is there if the inbox was asked for leases: `data` is then its view, and it is released with
    the context manager or by you.
    """

    lease: Lease | None = None

    def __init__(
        self,
        inbox: "Inbox",
        body: Any,
        delivery_id: int,
        attempts: int,
        sender: Sender | None = None,
    ) -> None:
        self._inbox = inbox
        self._files = body.files if isinstance(body, WithFiles) else None
        self.data = body
        self.delivery_id = delivery_id
        self.attempts = attempts
        self.sender = sender

    def __repr__(self) -> str:
        return f"<Job {self.delivery_id:#x} attempts {self.attempts}: {self.data!r}>"

    @property
    def redelivered(self) -> bool:
        return self.attempts > 0

    def take_files(self) -> list[File]:
        """The open files that came with it, from now on yours; others are closed with the job."""
        return take(self._files) if self._files is not None else []

    async def ack(self) -> None:
        """The message is done and gone when this returns."""
        await self._inbox.ack(self)

    async def nack(self) -> None:
        """The message goes back to its old place, flagged as redelivered."""
        await self._inbox.nack(self)

    async def __aenter__(self) -> "Job":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.delivery_id in self._inbox.open_jobs:
            settle = self._inbox.ack if kind is None else self._inbox.nack
            await settle(self)
        if self.lease is not None:
            self.lease.__exit__(kind, error, traceback)


class Inbox:
    """Jobs of one channel: `async with channel.acking() as inbox: async for job in inbox: ...`.

    What is neither acknowledged nor given back when the block ends is given back then, also when
    the block was cancelled. The inbox does not close the channel's handle.
    """

    def __init__(
        self,
        channel: "Channel",
        handle: Handle,
        codec: Codec,
        lease: bool = False,
        sender: bool = False,
    ) -> None:
        self._channel = channel
        self._handle = handle
        self._codec = codec
        self._lease = lease
        self._sender = sender
        self._flags = _wire.FLAG_RECV_ACK | (_wire.FLAG_RECV_SENDER if sender else 0)
        self._closed = False
        self.open_jobs: dict[int, Job] = {}

    async def __aenter__(self) -> "Inbox":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> "Inbox":
        return self

    async def __anext__(self) -> Job:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def receive(self) -> Job:
        """The next job. EndOfChannel once the channel is closed and nothing can come back."""
        return (await self._receive(FOREVER_MS, 0, "receive"))[0]

    async def try_receive(self) -> Job:
        """As `receive`, but WouldBlock instead of waiting."""
        return (await self._receive(TRY_MS, 0, ""))[0]

    async def receive_many(self, max_items: int = _wire.MAX_ITEMS) -> list[Job]:
        """Waits for one job and returns it with what else is there, `max_items` at most."""
        return await self._receive(FOREVER_MS, batch_size(max_items), "receive")

    def receiving(self) -> Clause:
        """An arm of `Client.select` whose value is a Job."""
        self._connection()
        self._handle.check_receive()
        return Clause(self._channel, self._handle, self._codec, inbox=self, sender=self._sender)

    async def ack(self, *jobs: Job) -> None:
        """Acknowledges several jobs with one request."""
        await self._settle(requests.ack, jobs)

    async def nack(self, *jobs: Job) -> None:
        """Gives several jobs back with one request."""
        await self._settle(requests.nack, jobs)

    async def aclose(self) -> None:
        """Gives back what is open. Idempotent, and done even when cancelled."""
        self._closed = True
        self._handle.connection.end_waits(self)
        try:
            await self.nack(*self.open_jobs.values())
        except (UnknownDelivery, ConnectionLost, ClosedResourceError):
            pass  # what ended with its connection or its channel was given back by that

    def jobs(self, reply: Reply) -> list[Job]:
        """Registers deliveries, all before the first is decoded: one that does not decode stays
        open, as do those after it, until the inbox is closed."""
        jobs = [Job(self, *delivery) for delivery in deliveries_of(reply)]
        self.open_jobs.update((job.delivery_id, job) for job in jobs)
        mappings = self._handle.connection.side.mappings
        if self._lease:
            for job in jobs:
                job.lease = mappings.lease(job.data)
                job.data = job.lease.data
            return jobs
        bodies = [job.data for job in jobs]
        for job, element in zip(jobs, mappings.copies(bodies), strict=True):
            job.data = element
        mappings.give_back(bodies)
        for job in jobs:
            job.data = self._codec.decode(job.data)
        return jobs

    async def _receive(self, timeout_ms: int, max_items: int, place: str) -> list[Job]:
        connection = self._connection()
        self._handle.check_receive()
        req_id = connection.new_id()
        frame = requests.receive(req_id, self._handle.chan_id, timeout_ms, max_items, self._flags)
        reply = await connection.request(req_id, frame, place, (self, self._channel))
        if reply.result:
            raise self._handle.failure(reply, "receive")
        return self.jobs(reply)

    async def _settle(self, build: Settle, jobs: tuple[Job, ...]) -> None:
        """Goes out in a cancelled scope too: the work on these jobs is over."""
        ids = [job.delivery_id for job in jobs]
        for delivery_id in ids:
            self.open_jobs.pop(delivery_id, None)
        if not ids:
            await trio.lowlevel.checkpoint()
            return
        connection = self._handle.connection
        req_id = connection.new_id()
        reply = await connection.request(req_id, build(req_id, ids), must_go=True)
        if reply.result:
            raise self._handle.failure(reply, "ack")

    def _connection(self) -> Connection:
        """ClosedResourceError once this inbox or its channel's handle was closed."""
        if self._closed:
            raise ClosedResourceError("this inbox is closed; open another with acking()")
        return self._channel.client_connection
