"""A channel of the daemon for programs without an event loop.

The names are those of kcoro_ipc.client without `await`; what waits takes `timeout` in seconds (None
for ever, 0 not at all). What an operation's end means is the same too: one that raised did nothing,
except ConnectionLost (in doubt) and Unconfirmed (taken, not yet acknowledged).
It is longer than its neighbours because a channel's methods are easier to find in one place.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kcoro_ipc import _wire
from kcoro_ipc.blocking.connection import Connection
from kcoro_ipc.blocking.handle import Handle
from kcoro_ipc.blocking.inbox import Inbox
from kcoro_ipc.blocking.timeouts import Deadline, to_ms
from kcoro_ipc.codecs import Bytes, Codec, DecodeError, decode_many, encode_many
from kcoro_ipc.errors import ClosedResourceError, ConnectionLost, EndOfChannel, KcoroError
from kcoro_ipc.protocol import batches, requests
from kcoro_ipc.protocol.channels import ChannelInfo, read_stats
from kcoro_ipc.protocol.deliveries import elements_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.protocol.requests import FOREVER_MS
from kcoro_ipc.protocol.selects import Clause

if TYPE_CHECKING:
    from kcoro_ipc.metrics import ChannelSnapshot


class Channel:
    """A handle on a named channel. Made by `Client.open_channel` and `clone`.

    A receive that is interrupted (KeyboardInterrupt, or whatever a signal handler raises) is
    cancelled; a message that came all the same is kept for this handle's next receive.
    """

    def __init__(self, handle: Handle, codec: Codec) -> None:
        self._handle = handle
        self._codec = codec
        self._plain = isinstance(codec, Bytes)
        self._kept: deque[bytes] = deque()
        self._closed = False

    def __repr__(self) -> str:
        state = "closed " if self._closed else ""
        return f"<{state}kcoro channel {self._handle.label} ({self.info.kind})>"

    @property
    def info(self) -> ChannelInfo:
        """Name, chan_id, kind, capacity, elem_size and overflow, as the daemon said at opening."""
        return self._handle.info

    @property
    def name(self) -> str | None:
        return self._handle.info.name

    @property
    def chan_id(self) -> int:
        return self._handle.info.chan_id

    @property
    def client_connection(self) -> Connection:
        """Whose channel this is: a select takes channels of one connection, and no handle that
        was closed."""
        return self._usable().connection

    # --- sending ---

    def send(self, value: Any, *, timeout: float | None = None, confirm: bool = False) -> bool:
        """Sends one value; False if the channel's policy (drop_newest) dropped it.

        TimedOut (WouldBlock for timeout 0): it was not sent. With `confirm` it returns when a
        receiver has acknowledged the message; a timeout after it was taken raises Unconfirmed.
        Interrupted: it was sent or not, `statistics` may tell.
        """
        handle = self._usable()
        element = self._encode(value)
        flags = _wire.FLAG_SEND_COMPLETE_ACK if confirm else 0
        timeout_ms = FOREVER_MS if timeout is None else to_ms(timeout)
        connection = handle.connection
        req_id = connection.new_id()
        frame = requests.send(req_id, handle.chan_id, timeout_ms, element, flags)
        reply = connection.request(req_id, frame, timeout)
        if reply.result:
            raise handle.failure(reply, "send")
        return not (reply.attributes and reply.get(_wire.ATTR_DROPPED))

    def try_send(self, value: Any) -> bool:
        """As `send`, but WouldBlock instead of waiting for a receiver or for room."""
        return self.send(value, timeout=0)

    def send_many(self, values: Iterable[Any], *, timeout: float | None = None) -> int:
        """Sends in order, waiting as `send` does, with one deadline for all; returns how many
        values from the front are settled (accepted, taken, or dropped by policy).

        Fewer than given means that the next one failed, and the rest was not sent. If already the
        first one fails its error is raised.
        """
        handle = self._usable()
        elements = encode_many(self._codec, values)
        handle.check_length(max(map(len, elements), default=0))
        deadline = Deadline(timeout)
        settled = 0
        for run in batches.split(elements, handle.max_frame_bytes):
            try:
                count = self._send_run(run, deadline.left())
            except KcoroError as error:
                if settled and not isinstance(error, ConnectionLost):
                    return settled
                raise
            settled += count
            if count < len(run):
                break
        return settled

    def _send_run(self, run: Any, timeout: float | None) -> int:
        handle = self._handle
        req_id = handle.connection.new_id()
        frame = requests.send_many(req_id, handle.chan_id, to_ms(timeout), run)
        reply = handle.connection.request(req_id, frame, timeout)
        if reply.result:
            raise handle.failure(reply, "send")
        count: int = reply.get(_wire.ATTR_COUNT, len(run))
        return count

    def _encode(self, value: Any) -> bytes:
        element: bytes = (
            value if self._plain and type(value) is bytes else self._codec.encode(value)
        )
        if len(element) > self._handle.longest_element:
            self._handle.check_length(len(element))
        return element

    # --- receiving ---

    def receive(self, *, timeout: float | None = None) -> Any:
        """The next message. EndOfChannel once the channel is closed and empty; TimedOut
        (WouldBlock for timeout 0) if none came."""
        if self._kept:
            self._usable()
            return self._decode_kept(1)[0]
        elements = self._receive(timeout, 0)
        # From the return of a call to the next one no signal handler runs: the message is safe.
        if self._plain:
            return elements[0]
        self._kept.extend(elements)
        return self._decode_kept(1)[0]

    def try_receive(self) -> Any:
        """As `receive`, but WouldBlock instead of waiting."""
        return self.receive(timeout=0)

    def receive_many(
        self, max_items: int = _wire.MAX_ITEMS, *, timeout: float | None = None
    ) -> list[Any]:
        """Waits for one message and returns it with what else is there, `max_items` at most."""
        most = batches.batch_size(max_items)
        if not self._kept:
            self._kept.extend(self._receive(timeout, most))
        self._usable()
        return self._decode_kept(most)

    def __iter__(self) -> Iterator[Any]:
        """Messages until the end of the channel."""
        while True:
            try:
                value = self.receive()
            except EndOfChannel:
                return
            yield value

    def _receive(self, timeout: float | None, max_items: int) -> Sequence[bytes]:
        handle = self._usable()
        if not handle.may_receive:
            handle.check_receive()
        connection = handle.connection
        req_id = connection.new_id()
        timeout_ms = FOREVER_MS if timeout is None else to_ms(timeout)
        frame = requests.receive(req_id, handle.chan_id, timeout_ms, max_items)
        reply = connection.request(req_id, frame, timeout, self.keep)
        if reply.result:
            raise handle.failure(reply, "receive")
        if not reply.elements:
            elements_of(reply)  # says what is wrong
        return reply.elements

    def keep(self, reply: Reply) -> None:
        """Elements that came for a receive that was interrupted."""
        self._kept.extend(reply.elements)

    def _decode_kept(self, max_items: int) -> list[Any]:
        elements = [self._kept.popleft() for _ in range(min(max_items, len(self._kept)))]
        try:
            return decode_many(self._codec, elements)
        except DecodeError:
            raise
        except BaseException:
            self._kept.extendleft(reversed(elements))
            raise

    def acking(self) -> Inbox:
        """Messages that stay in the channel until they are acknowledged."""
        return Inbox(self, self._usable(), self._codec)

    # --- select ---

    def receiving(self) -> Clause:
        """An arm of `Client.select` that receives."""
        self._usable().check_receive()
        return Clause(self, self._handle, self._codec)

    def sending(self, value: Any) -> Clause:
        """An arm of `Client.select` that sends `value` if it wins."""
        self._usable()
        return Clause(self, self._handle, self._codec, self._encode(value))

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
            self._handle.release()

    def __enter__(self) -> "Channel":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.aclose()

    def _usable(self) -> Handle:
        if self._closed:
            raise ClosedResourceError(f"this handle on channel {self._handle.label} is closed")
        return self._handle
