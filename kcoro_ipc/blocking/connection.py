"""One connection to the daemon without an event loop: a request, then its reply.

Invariants:
- One request is under way at a time; a second thread gets BusyResourceError.
- A request ends with its reply, also when a signal handler raised in between (KeyboardInterrupt):
  a frame that has begun is finished, CANCEL is sent, and the reply, which says what happened, is
  given to `late` before the exception goes on. So the stream is never out of step.
- What a system call returned is stored by C code, in the same step: ``list.extend(map(recv, ...))``
  leaves no moment in which Python could run a signal handler and lose the bytes.
- The frame is parsed from bytes that are kept until the reply is returned; parsing can be repeated.
"""

import socket
from collections.abc import Callable

from kcoro_ipc import _wire, forks
from kcoro_ipc.blocking.timeouts import timeval, to_ms
from kcoro_ipc.errors import (
    BusyResourceError,
    ClosedResourceError,
    ConnectionLost,
    KcoroError,
    ProtocolError,
)
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply, ReplyReader, whole_reply
from kcoro_ipc.protocol.requests import FOREVER_MS

STREAM_READ_BYTES = 64 << 10
LARGE_READ_BYTES = 1 << 20
PACKET_READ_BYTES = 2 * _wire.MAX_SEQPACKET_FRAME_BYTES
CONTROL_SECONDS = 30.0  # the daemon answers these at once; after this long it is stuck
LAST_REQ_ID = 0xFFFFFFFF

Late = Callable[[Reply], None]


class Connection:
    """Takes the connected, greeted, blocking socket over."""

    def __init__(self, sock: socket.socket, max_frame_bytes: int, cancel_grace: float) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._sock = sock
        self._socket_send = sock.send
        self._socket_recv = sock.recv
        self._packets = sock.type == socket.SOCK_SEQPACKET
        # A tuple, as `map` takes it.
        self._read_bytes = (PACKET_READ_BYTES if self._packets else STREAM_READ_BYTES,)
        self._cancel_grace = cancel_grace
        self._received: list[bytes] = []
        self._last_id = 0
        self._limited_to: float | None = None  # the timeout of the request before this
        self._bound: float | None = None
        self._under_way: list[int] | None = None
        self._why_ended: KcoroError | None = None
        self._generation = forks.generation

    def new_id(self) -> int:
        """No other request is alive when an id comes round."""
        self._last_id = self._last_id + 1 if self._last_id < LAST_REQ_ID else 1
        return self._last_id

    @property
    def ended(self) -> bool:
        return self._why_ended is not None or self._generation != forks.generation

    # --- a request ---

    def request(
        self, req_id: int, frame: bytes, timeout: float | None, late: Late | None = None
    ) -> Reply:
        """Sends `frame` and returns its reply, whatever its RESULT.

        `timeout` is what the frame itself says: the daemon keeps it, and without any reply for
        `cancel_grace` seconds longer the connection counts as broken. ConnectionLost: what the
        daemon did is not known.
        """
        sent: list[int] = []
        # The new list is also the token of this call. No other thread and no signal handler runs
        # between the test and the store: CPython lets them in at calls and at the end of loops.
        if self._under_way is not None:
            raise BusyResourceError(
                "another thread is using this client; open one client for each thread"
            )
        self._under_way = sent
        try:
            if self._why_ended is not None or self._generation != forks.generation:
                raise self._why_unusable()
            if timeout is not self._limited_to:
                self._limit(timeout)
            # What follows is the way of nearly every request: one send, one recv, one struct.
            received = self._received
            received.clear()
            sent.extend(map(self._socket_send, (frame,)))
            if sent[0] < len(frame):
                self._send(frame, sent)
            received.extend(map(self._socket_recv, self._read_bytes))
            reply = whole_reply(received[0])
            return reply if reply is not None and reply.req_id == req_id else self._reply(req_id)
        except OSError as error:
            if error.errno is None:  # a signal handler's own; the kernel's have one
                self._interrupted(req_id, frame, sent, late)
                raise
            raise self._lose(error) from None
        except KcoroError:
            raise
        except BaseException:
            self._interrupted(req_id, frame, sent, late)
            raise
        finally:
            self._under_way = None  # no call: what is to be returned cannot get lost here

    def _send(self, frame: bytes, sent: list[int]) -> None:
        """`sent` says how much of the frame the kernel has, whatever interrupts this."""
        while (done := sum(sent)) < len(frame):
            rest = memoryview(frame)[done:] if done else frame
            sent.extend(map(self._socket_send, (rest,)))

    def _reply(self, req_id: int) -> Reply:
        """The reply to `req_id`, from what was received already and what comes."""
        reader, fed = ReplyReader(), 0
        while True:
            while fed < len(self._received):
                data = self._received[fed]
                fed += 1
                if not data:
                    why = "the daemon closed the connection; connect again"
                    raise self._end(ConnectionLost(why))
                if replies := reader.feed(data):
                    return self._checked(replies[0], req_id)
                if reader.failure is not None:
                    raise self._end(reader.failure)
            self._receive(reader.wanted_bytes)

    def _receive(self, wanted_bytes: int) -> None:
        sizes = self._read_bytes
        if wanted_bytes > sizes[0] and not self._packets:
            sizes = (min(wanted_bytes, LARGE_READ_BYTES),)
        self._received.extend(map(self._socket_recv, sizes))

    def _checked(self, reply: Reply, req_id: int) -> Reply:
        if reply.req_id == req_id and reply.result is not None:
            return reply
        if reply.req_id == 0 and reply.result:
            raise self._end(failure_of(reply))
        raise self._end(ProtocolError(f"the daemon answered request {reply.req_id}, not {req_id}"))

    # --- an interrupted request ---

    def _interrupted(self, req_id: int, frame: bytes, sent: list[int], late: Late | None) -> None:
        """Brings the stream back in step: nothing was sent, or the reply is waited for."""
        if not sent or self._why_ended is not None:
            return
        try:
            self._limit(self._cancel_grace)
            self._send(frame, sent)
            if not self._has_arrived():
                self._send(requests.cancel(req_id), [])
            reply = self._reply(req_id)
            if late is not None and not reply.result:
                late(reply)
        except (OSError, KcoroError):
            self._end(ConnectionLost("the connection broke while a request was cancelled"))
        except BaseException:  # interrupted again: whoever does that does not want to wait
            self._end(ConnectionLost("a request was interrupted twice; connect again"))
            raise

    def _has_arrived(self) -> bool:
        """Whether the reply had come whole before the interrupt."""
        reader = ReplyReader()
        return any(reader.feed(data) for data in self._received)

    def late_request(self, build: Callable[[int], bytes]) -> None:
        """From within `late`: gives back what came too late."""
        req_id = self.new_id()
        self._received.clear()
        self._send(build(req_id), [])
        self._reply(req_id)

    # --- bounds and ends ---

    def _limit(self, timeout: float | None) -> None:
        """How long recv(2) may take. SO_RCVTIMEO needs no further call per request as long as the
        bound stays the same; Python's own timeouts cost a poll(2) each time."""
        self._limited_to = timeout
        bound = None
        if timeout is not None and to_ms(timeout) != FOREVER_MS:  # infinite and huge are for ever
            bound = timeout + self._cancel_grace
        if bound == self._bound:
            return
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval(bound))
        self._bound = bound

    def close(self) -> None:
        """Ends the connection; idempotent. In a child of fork() only its copy of the socket."""
        if self._why_ended is None:
            self._end(ClosedResourceError("this client is closed; open another one"))

    def _lose(self, error: OSError) -> KcoroError:
        why = error.strerror or str(error)
        if isinstance(error, BlockingIOError):
            why = f"no answer within {self._bound} s"
        return self._end(
            ConnectionLost(
                f"the connection to the daemon broke: {why}; connect again "
                "(a send under way is in doubt)"
            )
        )

    def _end(self, why: KcoroError) -> KcoroError:
        self._why_ended = why
        self._sock.close()
        return why

    def _why_unusable(self) -> KcoroError:
        if self._generation != forks.generation:
            return ClosedResourceError(
                "this client belongs to the parent process; open another one after fork()"
            )
        ended = self._why_ended
        assert ended is not None
        return type(ended)(str(ended))
