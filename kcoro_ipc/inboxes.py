"""Jobs and their inbox: what both clients' have in common, and nothing that waits."""

from typing import Any, Generic, TypeVar

from kcoro_ipc.codecs import Codec
from kcoro_ipc.files import File, take
from kcoro_ipc.protocol.deliveries import WithFiles, deliveries_of
from kcoro_ipc.protocol.handles import Handle
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.selects import Clause
from kcoro_ipc.regions import Lease

H = TypeVar("H", bound=Handle)
J = TypeVar("J", bound="HeldMessage")


class HeldMessage:
    """A message that is held for its receiver until it is settled; see the clients' Job."""

    lease: Lease | None = None

    def __init__(self, inbox: Any, body: Any, delivery_id: int, attempts: int) -> None:
        self._inbox = inbox
        self._files = body.files if isinstance(body, WithFiles) else None
        self.data = body
        self.delivery_id = delivery_id
        self.attempts = attempts

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

    def __init__(self, channel: Any, handle: H, codec: Codec, lease: bool = False) -> None:
        self._channel = channel
        self._handle = handle
        self._codec = codec
        self._lease = lease
        self._closed = False
        self.open_jobs: dict[int, J] = {}

    def receiving(self) -> Clause:
        """An arm of `Client.select` whose value is a Job."""
        self._connection()
        self._handle.check_receive()
        return Clause(self._channel, self._handle, self._codec, inbox=self)

    def jobs(self, reply: Reply) -> list[J]:
        """Registers deliveries, all before the first is decoded: one that does not decode stays
        open, as do those after it, until the inbox is closed."""
        jobs = [self._job(self, *delivery) for delivery in deliveries_of(reply)]
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

    def _connection(self) -> Any:
        """ClosedResourceError once this inbox or its channel's handle was closed."""
        if self._closed:
            raise self._handle.closed("this inbox is closed; open another with acking()")
        return self._channel.client_connection
