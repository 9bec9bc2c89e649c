"""One connection to the daemon without an event loop: a request, then its reply.

Invariants:
- One request is under way at a time; a second thread gets BusyResourceError.
- A request ends with its reply, also when a signal handler raised in between (KeyboardInterrupt):
  a frame that has begun is finished, CANCEL is sent, and the reply, which says what happened, is
  given to `late` before the exception goes on. So the stream is never out of step.
- What a system call returned is stored by C code, in the same step: ``list.extend(map(recv, ...))``
  leaves no moment in which Python could run a signal handler and lose the bytes.
- The frame is parsed from bytes that are kept until the reply is returned; parsing can be repeated.

It is longer than its neighbours because a request, its interruption and the end are one state.
"""

import socket
from collections.abc import Callable, Sequence

from kcoro_ipc import forks
from kcoro_ipc.blocking.inflow import FLAGS, NOW, ROOM_FOR_FILES, Inflow
from kcoro_ipc.blocking.timeouts import timeval, to_ms
from kcoro_ipc.errors import (
    BusyResourceError,
    ClosedResourceError,
    ConnectionLost,
    InvalidArgument,
    KcoroError,
    ProtocolError,
)
from kcoro_ipc.files import RECEIVE_FLAGS, Loose, rights
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.greeting import Greeting
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply, whole_reply
from kcoro_ipc.protocol.requests import FOREVER_MS
from kcoro_ipc.protocol.watches import Watched
from kcoro_ipc.regions import Settings, Side
from kcoro_ipc.regions.loan import Loans

CONTROL_SECONDS = 30.0  # the daemon answers these at once; after this long it is stuck
LAST_REQ_ID = 0xFFFFFFFF

Late = Callable[[Reply], None]


class Connection:
    """Takes the connected, greeted, blocking socket over."""

    def __init__(
        self,
        sock: socket.socket,
        greeting: Greeting,
        cancel_grace: float,
        settings: Settings,
        loans: Loans,
    ) -> None:
        self.max_frame_bytes = greeting.max_frame_bytes
        caps, quota = greeting.caps, greeting.region_quota
        self.side = Side(settings, caps, self.tell, self.hear, quota, loans)
        self._releases = self.side.releases
        self._sock = sock
        self._socket_send = sock.send
        self._inflow = Inflow(sock)
        self._cancel_grace = cancel_grace
        self._watches: dict[int, Watched] = {}
        self._untold: list[bytes] = []  # frames without an answer that another request kept back
        self._answered: Reply | None = None
        self._last_id = 0
        self._limited_to: float | None = None  # the timeout of the request before this
        self._bound: float | None = None
        self._under_way: list[int] | None = None
        self._why_ended: KcoroError | None = None
        self._generation = forks.generation

    def new_id(self) -> int:
        """Only watches are alive when an id comes round."""
        self._last_id = self._last_id + 1 if self._last_id < LAST_REQ_ID else 1
        return self._last_id if self._last_id not in self._watches else self.new_id()

    @property
    def ended(self) -> bool:
        return self._why_ended is not None or self._generation != forks.generation

    # --- a request ---

    def request(
        self,
        req_id: int,
        frame: bytes,
        timeout: float | None,
        late: Late | None = None,
        files: Loose | None = None,
    ) -> Reply:
        """Sends `frame`, `files` with its first byte, and returns its reply, whatever its RESULT.

        `timeout` is what the frame itself says: the daemon keeps it, and without any reply for
        `cancel_grace` seconds longer the connection counts as broken. ConnectionLost: `in_doubt` if
        a byte of it had left, else it did not happen. `late` is given the reply of a request that
        was interrupted, whatever its RESULT.
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
            if self._releases.dropped or self._releases.owed:
                self._releases.end_dropped()  # with this request
            if timeout is not self._limited_to:
                self._limit(timeout)
            inflow = self._inflow
            raw = inflow.raw
            raw.clear()
            told = 0
            if inflow.ahead or self._untold:
                frame, told = self._catch_up(frame, files)
            # What follows is the way of nearly every request: one send, one recvmsg, one struct.
            if files:
                sent.extend(map(self._sock.sendmsg, ([frame],), (rights(files),)))
            else:
                sent.extend(map(self._socket_send, (frame,)))
            if sent[0] < len(frame):
                self._send(frame, sent)
            if told:  # interrupted before: told again, and a lease is ended only once
                del self._untold[:told]
            raw.extend(map(inflow.recvmsg, inflow.sizes, ROOM_FOR_FILES, FLAGS))
            data, ancillary, flags, _ = raw[0]
            if not (ancillary or inflow.rest or inflow.ahead) and flags == RECEIVE_FLAGS:
                reply = whole_reply(data)
                if reply is not None and reply.req_id == req_id:
                    return reply
            return self._reply(req_id)
        except OSError as error:
            if error.errno is None:  # a signal handler's own; the kernel's have one
                self._interrupted(req_id, frame, sent, late)
                raise
            if files and not sent and not isinstance(error, ConnectionError):
                why = f"the system does not pass these files on: {error.strerror}"
                raise InvalidArgument(why) from None
            raise self._lose(error, in_doubt=bool(sent)) from None
        except KcoroError as error:
            error.in_doubt = bool(sent) and self._why_ended is not None
            raise
        except BaseException:
            self._interrupted(req_id, frame, sent, late)
            raise
        finally:
            self._under_way = None  # no call: what is to be returned cannot get lost here

    def request_batch(
        self, requests_of: Sequence[tuple[int, bytes]], timeout: float
    ) -> list[Reply]:
        """Requests that the daemon answers at once: sent together, answered in their order.

        Nothing is told of those under way to whoever interrupts it: the connection ends then.
        """
        if self._under_way is not None:
            raise BusyResourceError(
                "another thread is using this client; open one client for each thread"
            )
        self._under_way = []
        try:
            if self.ended:
                raise self._why_unusable()
            self._limit(timeout)
            self._inflow.raw.clear()
            frames, told = self._catch_up(b"".join(frame for _, frame in requests_of), None)
            self._send(frames, [])
            del self._untold[:told]
            replies = []
            for req_id, _ in requests_of:
                self._forget_answered()
                replies.append(self._reply(req_id))
            return replies
        except KcoroError:
            raise
        except BaseException as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise self._lose(error) from None
            self._end(ConnectionLost("a batch of requests was interrupted; connect again"))
            raise
        finally:
            self._under_way = None

    def _send(self, frame: bytes, sent: list[int]) -> None:
        """`sent` says how much of the frame the kernel has, whatever interrupts this."""
        while (done := sum(sent)) < len(frame):
            rest = memoryview(frame)[done:] if done else frame
            sent.extend(map(self._socket_send, (rest,)))

    def _reply(self, req_id: int) -> Reply:
        """The reply to `req_id`, from what was received already and what comes."""
        inflow = self._inflow
        while True:
            reply = self._next()
            if reply is not None:
                self._answered = reply
                return self._checked(reply, req_id)
            inflow.receive()

    def _next(self) -> Reply | None:
        """The next frame that is no notice and no event, if it has arrived; what has ended the
        connection is raised. It stays where it is until the next request."""
        inflow = self._inflow
        try:
            while (reply := inflow.first()) is not None:
                if reply.req_id in self._watches:
                    self._take_event(reply)
                elif reply.is_notice:
                    self.side.notice(reply)
                else:
                    break
                inflow.drop_first()
        except ProtocolError as error:
            raise self._end(error) from None
        if reply is None and inflow.failure is not None:
            raise self._end(inflow.failure)
        return reply

    def _catch_up(self, frame: bytes, files: Loose | None) -> tuple[bytes, int]:
        """Looks at what came behind the last reply; `frame` behind what could not be sent before,
        and how many that are. Files go with the first byte, so with them nothing else does."""
        self._forget_answered()
        self._next()
        untold = [] if files else self._untold[:]
        return b"".join([*untold, frame]), len(untold)

    def _forget_answered(self) -> None:
        ahead = self._inflow.ahead
        if ahead and ahead[0] is self._answered:
            del ahead[0]

    # --- requests that are answered again and again ---

    def watch(self, watched: Watched) -> int:
        """Begins it; its events are taken whenever they come, also between other replies."""
        if self.ended:
            raise self._why_unusable()
        req_id = self.new_id()
        self._watches[req_id] = watched
        self.tell(watched.frame(req_id))
        return req_id

    def unwatch(self, req_id: int) -> None:
        """Ends it, and waits for its last word, so that nothing of it comes later."""
        watched = self._watches.get(req_id)
        if watched is not None and not self.ended:
            self.tell(requests.cancel(req_id))
            try:
                self._listen(lambda: watched.last is not None, CONTROL_SECONDS)
            except KcoroError:
                pass  # it ended with its connection

    def _take_event(self, reply: Reply) -> None:
        self._watches[reply.req_id].take(reply)
        if reply.result is not None:
            del self._watches[reply.req_id]

    def await_event(self, watched: Watched, interval: float) -> None:
        """Until `watched` has got an event or its end. Interrupted, it may be called again."""
        self._listen(lambda: watched.fresh or watched.last is not None, interval)

    def _listen(self, heard: Callable[[], bool], seconds: float) -> None:
        if self._under_way is not None:
            raise BusyResourceError(
                "another thread is using this client; open one client for each thread"
            )
        self._under_way = []
        try:
            if self.ended:
                raise self._why_unusable()
            self._limit(seconds)
            self._inflow.raw.clear()
            self._forget_answered()
            while (reply := self._next()) is None and not heard():
                self._inflow.receive()
            if reply is not None:
                self._checked(reply, 0)
        except OSError as error:
            self._inflow.parse()
            if error.errno is None:
                raise
            raise self._lose(error) from None
        except BaseException:
            self._inflow.parse()  # what came last would count as seen by the next request
            raise
        finally:
            self._under_way = None

    # --- frames that are not answered, notices that nobody asked for ---

    def tell(self, frame: bytes) -> None:
        """Sends what has no answer. From within a request it goes with the next one."""
        if self.ended:
            return
        if self._under_way is not None:
            self._untold.append(frame)
            return
        sent: list[int] = []
        self._under_way = sent
        try:
            sent.extend(map(self._socket_send, (frame,)))
            self._send(frame, sent)
        except OSError as error:
            if error.errno is None:
                self._finish(frame, sent)
                raise
            self._lose(error)  # whoever asks for something next is told
        except BaseException:
            self._finish(frame, sent)
            raise
        finally:
            self._under_way = None

    def _finish(self, frame: bytes, sent: list[int]) -> None:
        """A frame that has begun is finished, though its sender was interrupted."""
        try:
            if sent:
                self._send(frame, sent)
        except OSError as error:
            self._lose(error)

    def hear(self) -> None:
        """The notices that have arrived by now."""
        if self.ended or self._under_way is not None:
            return
        self._under_way = []
        try:
            self._inflow.raw.clear()
            self._forget_answered()
            while self._next() is None:
                self._inflow.receive(NOW)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno is None:
                raise
            raise self._lose(error) from None
        finally:
            self._under_way = None

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
            if self._next() is None:
                self._send(requests.cancel(req_id), [])
            reply = self._reply(req_id)
            if late is not None:
                late(reply)
        except (OSError, KcoroError):
            self._end(ConnectionLost("the connection broke while a request was cancelled"))
        except BaseException:  # interrupted again: whoever does that does not want to wait
            self._end(ConnectionLost("a request was interrupted twice; connect again"))
            raise

    def late_request(self, build: Callable[[int], bytes]) -> None:
        """From within `late`: gives back what came too late."""
        req_id = self.new_id()
        self._forget_answered()
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
        self.side.mappings.close()

    def _lose(self, error: OSError, in_doubt: bool = False) -> KcoroError:
        why = error.strerror or str(error)
        if isinstance(error, BlockingIOError):
            why = f"no answer within {self._bound} s"
        lost = self._end(ConnectionLost(f"the connection to the daemon broke: {why}"))
        lost.in_doubt = in_doubt
        return lost

    def _end(self, why: KcoroError) -> KcoroError:
        self._why_ended = why
        self._sock.close()
        self.side.close()
        self._inflow.close()
        return self._copy_of(why)

    def check_usable(self) -> None:
        """Before something is prepared for it."""
        if self.ended:
            raise self._why_unusable()

    def _why_unusable(self) -> KcoroError:
        if self._generation != forks.generation:
            return ClosedResourceError(
                "this client belongs to the parent process; open another one after fork()"
            )
        ended = self._why_ended
        assert ended is not None
        return self._copy_of(ended)

    @staticmethod
    def _copy_of(why: KcoroError) -> KcoroError:
        """To be raised: one that is kept here would keep the frames that it passed."""
        return type(why)(str(why))
