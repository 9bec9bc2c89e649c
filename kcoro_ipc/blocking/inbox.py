"""Receiving with acknowledgement, blocking: a message stays in its channel until it is done."""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kcoro_ipc import _wire
from kcoro_ipc.blocking.connection import CONTROL_SECONDS, Connection
from kcoro_ipc.blocking.handle import Handle
from kcoro_ipc.blocking.timeouts import to_ms
from kcoro_ipc.codecs import Codec
from kcoro_ipc.errors import ClosedResourceError, EndOfChannel, KcoroError, UnknownDelivery
from kcoro_ipc.files import File, Sender, take
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.batches import batch_size
from kcoro_ipc.protocol.deliveries import WithFiles, deliveries_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.selects import Clause
from kcoro_ipc.regions import Lease

if TYPE_CHECKING:
    from kcoro_ipc.blocking.channel import Channel

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

    def ack(self) -> None:
        """The message is done and gone when this returns."""
        self._inbox.ack(self)

    def nack(self) -> None:
        """The message goes back to its old place, flagged as redelivered."""
        self._inbox.nack(self)

    def __enter__(self) -> "Job":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.delivery_id in self._inbox.open_jobs:
            settle = self._inbox.ack if kind is None else self._inbox.nack
            settle(self)
        if self.lease is not None:
            self.lease.__exit__(kind, error, traceback)


class Inbox:
    """Jobs of one channel: `with channel.acking() as inbox: for job in inbox: ...`.

    What is neither acknowledged nor given back when the block ends is given back then. The inbox
    does not close the channel's handle.
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

    def __enter__(self) -> "Inbox":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.aclose()

    def __iter__(self) -> Iterator[Job]:
        while True:
            try:
                job = self.receive()
            except EndOfChannel:
                return
            yield job

    def receive(self, *, timeout: float | None = None) -> Job:
        """The next job. EndOfChannel once the channel is closed and nothing can come back;
        TimedOut (WouldBlock for timeout 0) if none came. Interrupted: a job that came all the
        same is given back."""
        return self._receive(timeout, 0)[0]

    def try_receive(self) -> Job:
        """As `receive`, but WouldBlock instead of waiting."""
        return self.receive(timeout=0)

    def receive_many(
        self, max_items: int = _wire.MAX_ITEMS, *, timeout: float | None = None
    ) -> list[Job]:
        """Waits for one job and returns it with what else is there, `max_items` at most."""
        return self._receive(timeout, batch_size(max_items))

    def receiving(self) -> Clause:
        """An arm of `Client.select` whose value is a Job."""
        self._connection()
        self._handle.check_receive()
        return Clause(self._channel, self._handle, self._codec, inbox=self, sender=self._sender)

    def ack(self, *jobs: Job) -> None:
        """Acknowledges several jobs with one request."""
        self._settle(requests.ack, jobs)

    def nack(self, *jobs: Job) -> None:
        """Gives several jobs back with one request."""
        self._settle(requests.nack, jobs)

    def aclose(self) -> None:
        """Gives back what is open. Idempotent."""
        self._closed = True
        try:
            self.nack(*self.open_jobs.values())
        except UnknownDelivery:
            pass  # what ended with its channel was given back by that
        except KcoroError:
            if not self._handle.connection.ended:
                raise

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

    def give_back_late(self, reply: Reply) -> None:
        """Deliveries that came for a request that was interrupted, from within it."""
        if reply.result:
            return
        found = deliveries_of(reply)
        ids = [delivery.delivery_id for delivery in found]
        connection = self._handle.connection
        connection.side.mappings.give_back([delivery.body for delivery in found])
        connection.late_request(lambda req_id: requests.nack(req_id, ids))

    def give_back(self, reply: Reply) -> None:
        """Deliveries of a request that was over, but whose caller was interrupted."""
        ids = [delivery.delivery_id for delivery in deliveries_of(reply)]
        for delivery_id in ids:
            self.open_jobs.pop(delivery_id, None)
        self._settle_ids(requests.nack, ids)

    def _receive(self, timeout: float | None, max_items: int) -> list[Job]:
        connection = self._connection()
        self._handle.check_receive()
        req_id = connection.new_id()
        frame = requests.receive(
            req_id, self._handle.chan_id, to_ms(timeout), max_items, self._flags
        )
        reply = connection.request(req_id, frame, timeout, self.give_back_late)
        if reply.result:
            raise self._handle.failure(reply, "receive")
        try:
            return self.jobs(reply)
        except KcoroError:
            raise
        except BaseException:
            self.give_back(reply)
            raise

    def _settle(self, build: Settle, jobs: tuple[Job, ...]) -> None:
        ids = [job.delivery_id for job in jobs]
        for delivery_id in ids:
            self.open_jobs.pop(delivery_id, None)
        if ids:
            self._settle_ids(build, ids)

    def _settle_ids(self, build: Settle, ids: list[int]) -> None:
        connection = self._handle.connection
        req_id = connection.new_id()
        reply = connection.request(req_id, build(req_id, ids), CONTROL_SECONDS)
        if reply.result:
            raise self._handle.failure(reply, "ack")

    def _connection(self) -> Connection:
        """ClosedResourceError once this inbox or its channel's handle was closed."""
        if self._closed:
            raise ClosedResourceError("this inbox is closed; open another with acking()")
        return self._channel.client_connection
