"""One connection to the daemon without an event loop: a request, then its reply.

Invariants:
- One request is under way at a time; a second thread gets BusyResourceError.
- A request ends with its reply, also when a signal handler raised in between (KeyboardInterrupt):
  a frame that has begun is finished, CANCEL is sent, and the reply, which says what happened, is
  given to `late` before the exception goes on. So the stream is never out of step.
- What a system call returned is stored by C code, in the same step: ``list.extend(map(recv, ...))``
  leaves no moment in which Python could run a signal handler and lose the bytes.
- The frame is parsed from bytes that are kept until the reply is returned; parsing can be repeated.

Elsewhere: how bytes come and go (inflow.py, outflow.py), whose what came is (sorting.py), why the
connection cannot be used any more (ending.py). It is longer than its neighbours because who uses
the socket just now, how that is interrupted and how it ends are one state.
"""

import socket
from collections.abc import Callable, Sequence

from kcoro_ipc import forks
from kcoro_ipc.blocking.ending import Ending, copy_of
from kcoro_ipc.blocking.inflow import FLAGS, NOW, ROOM_FOR_FILES, Inflow
from kcoro_ipc.blocking.outflow import Outflow
from kcoro_ipc.blocking.sorting import Sorting
from kcoro_ipc.blocking.timeouts import Bound
from kcoro_ipc.errors import (
    BusyResourceError,
    ClosedResourceError,
    ConnectionLost,
    InvalidArgument,
    KcoroError,
)
from kcoro_ipc.files import RECEIVE_FLAGS, Loose, rights
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.greeting import Greeting
from kcoro_ipc.protocol.replies import Reply, whole_reply
from kcoro_ipc.regions import Settings, Side
from kcoro_ipc.regions.loan import Loans

CONTROL_SECONDS = 30.0  # the daemon answers these at once; after this long it is stuck
LAST_REQ_ID = 0xFFFFFFFF
BUSY = "another thread is using this client; open one client for each thread"

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
        self._inflow = Inflow(sock)
        self._outflow = Outflow(sock)
        self._sorting = Sorting(self._inflow, self.side.notice, self._end)
        self.watches = self._sorting.watches
        self._bound = Bound(sock, cancel_grace)
        self._ending = Ending()
        self._last_id = 0
        self._under_way: list[int] | None = None

    def new_id(self) -> int:
        """Only watches are alive when an id comes round."""
        self._last_id = self._last_id + 1 if self._last_id < LAST_REQ_ID else 1
        return self._last_id if self._last_id not in self.watches else self.new_id()

    @property
    def ended(self) -> bool:
        return self._ending.has_come

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
            raise BusyResourceError(BUSY)
        self._under_way = sent
        try:
            ending = self._ending
            if ending.why is not None or ending.generation != forks.generation:
                raise ending.error()
            if self._releases.dropped or self._releases.owed:
                self._releases.end_dropped()  # with this request
            if timeout is not self._bound.limited_to:
                self._bound.limit(timeout)
            inflow = self._inflow
            raw = inflow.raw
            raw.clear()
            outflow = self._outflow
            told = 0
            if inflow.ahead or outflow.untold:
                self._sorting.catch_up()
                frame, told = outflow.behind_untold(frame, files)
            # What follows is the way of nearly every request: one send, one recvmsg, one struct.
            if files:
                sent.extend(map(self._sock.sendmsg, ([frame],), (rights(files),)))
            else:
                sent.extend(map(outflow.send_some, (frame,)))
            if sent[0] < len(frame):
                outflow.send(frame, sent)
            if told:  # interrupted before: told again, and a lease is ended only once
                del outflow.untold[:told]
            raw.extend(map(inflow.recvmsg, inflow.sizes, ROOM_FOR_FILES, FLAGS))
            data, ancillary, flags, _ = raw[0]
            if not (ancillary or inflow.rest or inflow.ahead) and flags == RECEIVE_FLAGS:
                reply = whole_reply(data)
                if reply is not None and reply.req_id == req_id:
                    return reply
            return self._sorting.reply(req_id)
        except OSError as error:
            if error.errno is None:  # a signal handler's own; the kernel's have one
                self._interrupted(req_id, frame, sent, late)
                raise
            if files and not sent and not isinstance(error, ConnectionError):
                why = f"the system does not pass these files on: {error.strerror}"
                raise InvalidArgument(why) from None
            raise self._lose(error, in_doubt=bool(sent)) from None
        except KcoroError as error:
            error.in_doubt = bool(sent) and self._ending.why is not None
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
            raise BusyResourceError(BUSY)
        self._under_way = []
        try:
            if self.ended:
                raise self._ending.error()
            self._bound.limit(timeout)
            self._inflow.raw.clear()
            self._sorting.catch_up()
            frames = b"".join(frame for _, frame in requests_of)
            frames, told = self._outflow.behind_untold(frames, None)
            self._outflow.send(frames, [])
            del self._outflow.untold[:told]
            replies = []
            for req_id, _ in requests_of:
                self._sorting.forget_answered()
                replies.append(self._sorting.reply(req_id))
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

    # --- frames that are not answered, notices and events that nobody asked for ---

    def tell(self, frame: bytes) -> None:
        """Sends what has no answer. From within a request it goes with the next one."""
        if self.ended:
            return
        if self._under_way is not None:
            self._outflow.untold.append(frame)
            return
        sent: list[int] = []
        self._under_way = sent
        try:
            sent.extend(map(self._outflow.send_some, (frame,)))
            self._outflow.send(frame, sent)
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
                self._outflow.send(frame, sent)
        except OSError as error:
            self._lose(error)

    def hear(self) -> None:
        """The notices that have arrived by now."""
        if self.ended or self._under_way is not None:
            return
        self._under_way = []
        try:
            self._inflow.raw.clear()
            self._sorting.forget_answered()
            while self._sorting.next() is None:
                self._inflow.receive(NOW)
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno is None:
                raise
            raise self._lose(error) from None
        finally:
            self._under_way = None

    def listen(self, heard: Callable[[], bool], seconds: float) -> None:
        """Takes what comes until `heard` says that it is enough. `seconds`: as a request's timeout.
        Interrupted, it may be called again."""
        if self._under_way is not None:
            raise BusyResourceError(BUSY)
        self._under_way = []
        try:
            if self.ended:
                raise self._ending.error()
            self._bound.limit(seconds)
            self._inflow.raw.clear()
            self._sorting.forget_answered()
            while (reply := self._sorting.next()) is None and not heard():
                self._inflow.receive()
            if reply is not None:
                self._sorting.checked(reply, 0)
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

    # --- an interrupted request ---

    def _interrupted(self, req_id: int, frame: bytes, sent: list[int], late: Late | None) -> None:
        """Brings the stream back in step: nothing was sent, or the reply is waited for."""
        if not sent or self._ending.why is not None:
            return
        try:
            self._bound.limit(self._bound.grace)
            self._outflow.send(frame, sent)
            if self._sorting.next() is None:
                self._outflow.send(requests.cancel(req_id), [])
            reply = self._sorting.reply(req_id)
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
        self._sorting.forget_answered()
        self._outflow.send(build(req_id), [])
        self._sorting.reply(req_id)

    # --- ends ---

    def close(self) -> None:
        """Ends the connection; idempotent. In a child of fork() only its copy of the socket."""
        if self._ending.why is None:
            self._end(ClosedResourceError("this client is closed; open another one"))
        self.side.mappings.close()

    def _lose(self, error: OSError, in_doubt: bool = False) -> KcoroError:
        why = error.strerror or str(error)
        if isinstance(error, BlockingIOError):
            why = f"no answer within {self._bound.seconds} s"
        lost = self._end(ConnectionLost(f"the connection to the daemon broke: {why}"))
        lost.in_doubt = in_doubt
        return lost

    def _end(self, why: KcoroError) -> KcoroError:
        self._ending.why = why
        self._sock.close()
        self.side.close()
        self._inflow.close()
        return copy_of(why)

    def check_usable(self) -> None:
        """Before something is prepared for it."""
        if self.ended:
            raise self._ending.error()
