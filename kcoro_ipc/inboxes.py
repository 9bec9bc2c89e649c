"""Jobs and their inbox: what both clients' have in common, and nothing that waits."""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from kcoro_ipc import _wire
from kcoro_ipc.codecs import Codec
from kcoro_ipc.errors import ConnectionLost
from kcoro_ipc.files import File, Sender, take
from kcoro_ipc.protocol.deliveries import WithFiles, deliveries_of
from kcoro_ipc.protocol.handles import BoundHandle
from kcoro_ipc.protocol.renewal import what_is_known
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.selects import Clause
from kcoro_ipc.regions import Lease

H = TypeVar("H", bound=BoundHandle)
J = TypeVar("J", bound="HeldMessage")

DELIVERY_LOST = (
    "the delivery ended with it: the message is delivered again, unless the daemon lost it"
)


class HeldMessage:
    """A message that is held for its receiver until it is settled; see the clients' Job."""

    lease: Lease | None = None
    connection: Any = None  # that it came by, and ends with

    def __init__(
        self,
        inbox: Any,
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


class InboxEnd(Generic[H, J]):
    """`_job` is the client's own class of jobs."""

    _job: type[J]

    def __init__(
        self, channel: Any, handle: H, codec: Codec, lease: bool = False, sender: bool = False
    ) -> None:
        self._channel = channel
        self._handle = handle
        self._codec = codec
        self._lease = lease
        self._sender = sender
        self._flags = _wire.FLAG_RECV_ACK | (_wire.FLAG_RECV_SENDER if sender else 0)
        self._closed = False
        self.open_jobs: dict[J, None] = {}

    def receiving(self) -> Clause:
        """An arm of `Client.select` whose value is a Job."""
        self._connection()
        self._handle.check_receive()
        return Clause(self._channel, self._handle, self._codec, inbox=self, sender=self._sender)

    def jobs(self, reply: Reply) -> list[J]:
        """Registers deliveries, all before the first is decoded: one that does not decode stays
        open, as do those after it, until the inbox is closed."""
        connection = self._handle.connection
        jobs = [self._job(self, *delivery) for delivery in deliveries_of(reply)]
        for job in jobs:
            job.connection = connection
        self.open_jobs.update(dict.fromkeys(jobs))
        mappings = connection.side.mappings
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

    def _taken(self, jobs: Iterable[J]) -> list[tuple[Any, list[int]]]:
        """Their ids by the connection that they came by, those of lost ones last; none of them is
        open any more. A number of one connection means nothing on another."""
        found: dict[Any, list[int]] = {}
        for job in list(jobs):
            self.open_jobs.pop(job, None)
            found.setdefault(job.connection, []).append(job.delivery_id)
        return sorted(found.items(), key=lambda item: bool(item[0].ended))

    def _delivery_lost(self, error: ConnectionLost) -> ConnectionLost:
        """An ack or nack ended with its connection."""
        if error.in_doubt:
            return what_is_known(error, "settling", renews=True)
        return type(error)(f"{error.message}; {DELIVERY_LOST}")

    def _connection(self) -> Any:
        """ClosedResourceError once this inbox or its channel's handle was closed."""
        if self._closed:
            raise self._handle.closed("this inbox is closed; open another with acking()")
        return self._channel.client_connection
