"""One connection to the daemon under trio: a reader, a writer, and tasks that wait for replies.

It moves frames and matches replies; what they mean is said by those above it.

Invariants:
- The reader never waits for a consumer: a reply goes to the task that asked, by rescheduling it.
- A frame that has begun is finished, cancelled or not: see outflow.
- A cancelled request is not forgotten. Its CANCEL goes out and the task goes on waiting, because
  only the reply knows what happened (Abort.FAILED; trio's own backend for Windows does the same).
  Without a reply within `cancel_grace` seconds the connection counts as broken.
- Reader and writer are shielded: in a cancelled scope they still bring the replies by which the
  cancelled tasks end. They end with the client.
"""

import math
import socket
from collections.abc import Callable

import trio
from trio.lowlevel import (
    ParkingLot,
    checkpoint_if_cancelled,
    current_task,
    enable_ki_protection,
    wait_readable,
    wait_task_rescheduled,
)

from kcoro_ipc import _wire, forks
from kcoro_ipc.client.outflow import Outflow, Outgoing
from kcoro_ipc.client.waiting import Asking, Waiting
from kcoro_ipc.errors import KC_ECANCELED, InvalidArgument, KcoroError
from kcoro_ipc.files import (
    ANCILLARY_BYTES,
    CUT_OFF,
    RECEIVE_FLAGS,
    TOO_MANY_FILES,
    Loose,
    collect,
)
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.exchange import EVENTS, SHARED_PLACES, SIDES, Exchange
from kcoro_ipc.protocol.greeting import Greeting
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.regions import Settings, Side
from kcoro_ipc.regions.loan import Loans
from kcoro_ipc.trio_errors import ClosedResourceError, ConnectionLost

STREAM_READ_BYTES = 64 << 10
LARGE_READ_BYTES = 1 << 20
# A packet is lost when it does not fit, so this is over the largest one.
PACKET_READ_BYTES = 2 * _wire.MAX_SEQPACKET_FRAME_BYTES
READS_PER_WAKE = 16
CANCELLED_BY_US = (None, "", "cancelled")


class Connection:
    """Takes the connected, greeted, non-blocking socket over."""

    def __init__(
        self,
        sock: socket.socket,
        exchange: Exchange[Asking],
        greeting: Greeting,
        cancel_grace: float,
        settings: Settings,
        loans: Loans,
    ) -> None:
        self.max_frame_bytes = greeting.max_frame_bytes
        caps, quota = greeting.caps, greeting.region_quota
        self.side = Side(settings, caps, self.tell, self.hear, quota, loans)
        self._releases = self.side.releases
        self.registering = trio.Lock()
        self._sock = sock
        self._packets = sock.type == socket.SOCK_SEQPACKET
        self._exchange = exchange
        self._cancel_grace = cancel_grace
        self._outflow = Outflow(sock, self._refuse)
        self._files = Loose()
        self._lots = {side: ParkingLot() for side in SIDES}
        self._deadlines: dict[int, float] = {}  # of cancelled requests, earliest first
        self._reading = trio.CancelScope(shield=True)
        self._writing = trio.CancelScope(shield=True)
        self._why_ended: Callable[[], KcoroError] | None = None
        self._generation = forks.generation
        self.new_id = exchange.new_id
        exchange.on_notice = self.side.notice

    # --- requests ---

    @enable_ki_protection
    async def request(
        self,
        req_id: int,
        frame: bytes,
        side: str = "",
        owners: tuple[object, ...] = (),
        must_go: bool = False,
        files: Loose | None = None,
    ) -> Reply:
        """Sends `frame`, `files` with its first byte, and returns its reply, whatever its RESULT.

        Raises Cancelled only if nothing happened; ClosedResourceError if one of `owners` was
        closed meanwhile and nothing happened; ConnectionLost if the connection ended first:
        `in_doubt` if a byte of it had left, else it did not happen. `must_go`: clean-up, sent even
        in a cancelled scope.
        """
        if not must_go:
            await checkpoint_if_cancelled()
        if len(self._exchange.in_flight) >= SHARED_PLACES:
            while not self._exchange.has_place(side):
                await self._lots[side].park()
        if self._why_ended is not None or self._generation != forks.generation:
            raise self._why_unusable()
        if self._releases.dropped or self._releases.owed:
            self._releases.end_dropped()
        waiting = Waiting(self.ask_cancel, req_id, current_task(), owners)
        self._exchange.add(req_id, waiting, side)
        alone = len(self._exchange.in_flight) == 1
        outgoing = Outgoing(frame, files, req_id) if files else frame
        waiting.begins = self._outflow.put(outgoing, alone)
        reply: Reply = await wait_task_rescheduled(waiting.abort)
        if reply.result == KC_ECANCELED and (waiting.raise_cancel or waiting.ended):
            self._raise_if_nothing_happened(waiting, reply)
        return reply

    @staticmethod
    def _raise_if_nothing_happened(waiting: Waiting, reply: Reply) -> None:
        """A destroyed channel and a lost message answer ECANCELED too, with a reason of theirs,
        which may be any text: FLAGS say that the message was taken."""
        sent = reply.cmd == _wire.CMD_CHAN_SEND
        taken = sent and reply.get(_wire.ATTR_FLAGS) & _wire.FLAG_SENT_TAKEN
        if taken or reply.get(_wire.ATTR_REASON, None) not in CANCELLED_BY_US:
            return
        if waiting.raise_cancel is not None:
            waiting.raise_cancel()
        raise ClosedResourceError("this handle was closed while the operation waited")

    def listen(self, asking: Asking, frame: bytes) -> None:
        """Sends a request that is answered again and again; `asking` hears all of it."""
        if self.ended:
            raise self._why_unusable()
        self._exchange.add(asking.req_id, asking, EVENTS)
        asking.begins = self._outflow.put(frame)

    def tell(self, frame: bytes) -> None:
        """Sends what has no answer."""
        if not self.ended:
            self._outflow.put(frame)

    def ask_cancel(self, req_id: int) -> None:
        """Sends CANCEL; from now on the reply is due within the grace."""
        if req_id in self._deadlines or req_id not in self._exchange.in_flight:
            return
        self._outflow.put(requests.cancel(req_id))
        self._deadlines[req_id] = trio.current_time() + self._cancel_grace
        self._set_grace()

    def end_waits(self, owner: object) -> None:
        """Cancels whatever `owner` waits for; what has happened meanwhile still says so."""
        for waiting, _ in self._exchange.in_flight.values():
            if owner in waiting.owners:
                waiting.ended = True
                self.ask_cancel(waiting.req_id)

    def _set_grace(self) -> None:
        self._reading.deadline = next(iter(self._deadlines.values()), math.inf)

    # --- the end ---

    @property
    def ended(self) -> bool:
        return self._why_ended is not None or self._generation != forks.generation

    def _why_unusable(self) -> KcoroError:
        if self._why_ended is not None and self._generation == forks.generation:
            return self._why_ended()
        return ClosedResourceError(
            "this client belongs to the parent process; open another one after fork()"
        )

    def check_usable(self) -> None:
        """Before something is prepared for it."""
        if self.ended:
            raise self._why_unusable()

    def close(self) -> None:
        """Ends the connection; whoever still waits gets ClosedResourceError. Safe twice.

        In a child of fork() it only closes the child's copy of the descriptor.
        """
        if self._generation != forks.generation:
            self._sock.close()
            return
        self._end(lambda: ClosedResourceError("this client is closed; open another one"))
        self.side.mappings.close()

    def _lose(self, why: str) -> None:
        self._end(lambda: ConnectionLost(why))

    def _end(self, why: Callable[[], KcoroError]) -> None:
        if self._why_ended is not None:
            return
        self._why_ended = why
        for waiting in self._exchange.drain():
            error = why()
            error.in_doubt = waiting.begins < self._outflow.sent_bytes
            waiting.fail(error)
        for lot in self._lots.values():
            lot.unpark_all()
        self._reading.cancel()
        self._writing.cancel()
        self.side.close()
        self._files.close()
        self._exchange.reader.close()
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()

    # --- reading ---

    @enable_ki_protection
    async def read_replies(self) -> None:
        """The reader task."""
        with self._reading:
            while self._why_ended is None:
                await wait_readable(self._sock)
                self._receive()
        if self._why_ended is None:
            self._lose(
                f"the daemon did not answer a cancelled request within {self._cancel_grace} s"
            )

    def hear(self) -> None:
        """What has arrived by now, without waiting for the reader's turn."""
        if not self.ended:
            self._receive()

    def _receive(self) -> None:
        """Takes what has arrived, up to a bound, so that other tasks get their turn."""
        for _ in range(READS_PER_WAKE):
            size = self._read_bytes()
            try:
                data, ancillary, flags, _ = self._sock.recvmsg(size, ANCILLARY_BYTES, RECEIVE_FLAGS)
            except BlockingIOError:
                break
            except OSError as error:
                self._lose(f"the connection to the daemon broke: {error.strerror}")
                break
            if not data:
                self._lose("the daemon closed the connection")
                break
            if ancillary or flags & CUT_OFF:
                collect(ancillary, self._files)
                if flags & CUT_OFF:
                    self._lose(TOO_MANY_FILES)
                    break
            self._deliver(data)
            if self._why_ended is not None or (len(data) < size and not self._packets):
                break

    def _read_bytes(self) -> int:
        if self._packets:
            return PACKET_READ_BYTES
        wanted = self._exchange.reader.wanted_bytes
        return STREAM_READ_BYTES if wanted <= STREAM_READ_BYTES else min(wanted, LARGE_READ_BYTES)

    def _deliver(self, data: bytes) -> None:
        arrived = self._exchange.feed(data, self._files)
        for waiting, reply in arrived:
            if waiting.req_id in self._deadlines:
                del self._deadlines[waiting.req_id]
                self._set_grace()
            waiting.take(reply)
        for side, lot in self._lots.items():
            if lot and self._exchange.has_place(side):
                lot.unpark(count=len(arrived))
        if self._exchange.failure is not None:
            self._lose(f"the daemon ended the connection: {self._exchange.failure}")

    # --- writing ---

    @enable_ki_protection
    async def write_requests(self) -> None:
        """The writer task."""
        with self._writing:
            try:
                while self._why_ended is None:
                    await self._outflow.write_next()
            except OSError:
                # The reader sees the end too, after the replies that were sent before it.
                await trio.sleep_forever()

    def _refuse(self, req_id: int, error: OSError) -> None:
        waiting = self._exchange.forget(req_id)
        self._deadlines.pop(req_id, None)
        self._set_grace()
        waiting.fail(InvalidArgument(f"the system does not pass these files on: {error.strerror}"))
