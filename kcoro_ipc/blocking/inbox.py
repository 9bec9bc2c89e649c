"""Receiving with acknowledgement, blocking: a message stays in its channel until it is done."""

from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from kcoro_ipc import _wire
from kcoro_ipc.blocking.connection import CONTROL_SECONDS, Connection
from kcoro_ipc.blocking.handle import Handle
from kcoro_ipc.blocking.timeouts import to_ms
from kcoro_ipc.errors import ConnectionLost, EndOfChannel, KcoroError, UnknownDelivery
from kcoro_ipc.inboxes import HeldMessage, InboxEnd
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.batches import batch_size
from kcoro_ipc.protocol.deliveries import deliveries_of
from kcoro_ipc.protocol.replies import Reply

if TYPE_CHECKING:
    pass

Settle = Callable[[int, Sequence[int]], bytes]


class Job(HeldMessage):
    """One message that is held for you until `ack` (done) or `nack` (somebody else's again).

    `redelivered` says that it had been delivered before, `attempts` how often. As a context
    manager it is acknowledged at the end of the block and given back if the block raised. `sender`
    says who sent it if the inbox was asked for senders. `lease` is there if it was asked for
    leases: `data` is then its view, and it is released with the context manager or by you.
    """

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
        if self in self._inbox.open_jobs:
            settle = self._inbox.ack if kind is None else self._inbox.nack
            settle(self)
        if self.lease is not None:
            self.lease.__exit__(kind, error, traceback)


class Inbox(InboxEnd[Handle, Job]):
    """Jobs of one channel: `with channel.acking() as inbox: for job in inbox: ...`.

    What is neither acknowledged nor given back when the block ends is given back then. The inbox
    does not close the channel's handle.
    """

    _job = Job

    def __enter__(self) -> "Inbox":
        return self

    def __exit__(self, *raised: object) -> None:
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
            self.nack(*self.open_jobs)
        except UnknownDelivery:
            pass  # what ended with its channel was given back by that
        except KcoroError as error:
            if not self._handle.connection.ended and not isinstance(error, ConnectionLost):
                raise

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
        connection = self._handle.connection
        ids = {delivery.delivery_id for delivery in deliveries_of(reply)}
        for job in list(self.open_jobs):
            if job.delivery_id in ids and job.connection is connection:
                self.open_jobs.pop(job)
        self._settle_ids(requests.nack, connection, list(ids))

    def _receive(self, timeout: float | None, max_items: int) -> list[Job]:
        reply = self._reply(timeout, max_items)
        try:
            return self.jobs(reply)
        except KcoroError:
            raise
        except BaseException:
            self.give_back(reply)
            raise

    def _reply(self, timeout: float | None, max_items: int) -> Reply:
        handle = self._handle
        handle.check_receive()
        while True:
            connection: Connection = self._connection()
            req_id = connection.new_id()
            frame = requests.receive(req_id, handle.chan_id, to_ms(timeout), max_items, self._flags)
            try:
                reply = connection.request(req_id, frame, timeout, self.give_back_late)
            except ConnectionLost as error:
                timeout = handle.recover(connection, error, "acking", timeout)
                continue
            if reply.result:
                raise handle.failure(reply, "receive")
            return reply

    def _settle(self, build: Settle, jobs: tuple[Job, ...]) -> None:
        for connection, ids in self._taken(jobs):
            self._settle_ids(build, connection, ids)

    def _settle_ids(self, build: Settle, connection: Connection, ids: list[int]) -> None:
        req_id = connection.new_id()
        try:
            reply = connection.request(req_id, build(req_id, ids), CONTROL_SECONDS)
        except ConnectionLost as error:
            raise self._delivery_lost(error) from None
        if reply.result:
            raise self._handle.failure(reply, "ack")
