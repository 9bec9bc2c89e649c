"""An end of a channel: what the Channels of both clients have in common, and nothing that waits."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kcoro_ipc import outgoing
from kcoro_ipc.codecs import Bytes, Codec
from kcoro_ipc.errors import InvalidArgument
from kcoro_ipc.files import HasFileno
from kcoro_ipc.protocol.channels import ChannelInfo
from kcoro_ipc.protocol.handles import BoundHandle
from kcoro_ipc.protocol.selects import Clause
from kcoro_ipc.regions import Side

if TYPE_CHECKING:
    from kcoro_ipc.inboxes import InboxEnd

Files = Iterable[int | HasFileno]
H = TypeVar("H", bound=BoundHandle)
I = TypeVar("I", bound="InboxEnd[Any, Any]")  # noqa: E741 (a type)


class ChannelEnd(Generic[H, I]):
    """`_inbox` makes the client's own Inbox."""

    _inbox: Callable[..., I]

    def __init__(self, handle: H, codec: Codec) -> None:
        self._handle = handle
        self._codec = codec
        self._plain = isinstance(codec, Bytes)
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
    def client_connection(self) -> Any:
        """By which it is used now."""
        return self._usable().connection

    @property
    def client_link(self) -> Any:
        """Whose channel this is: a select takes channels of one client, and no handle that was
        closed."""
        return self._usable().link

    @property
    def _side(self) -> Side:
        side: Side = self._handle.connection.side
        return side

    def acking(self, *, lease: bool = False, sender: bool = False) -> I:
        """Messages that stay in the channel until they are acknowledged; with `lease` each Job
        has a Lease, with `sender` its `sender`."""
        self._check_lease(lease)
        return self._inbox(self, self._usable(), self._codec, lease, sender)

    def receiving(
        self, *, lease: bool = False, message: bool = False, sender: bool = False
    ) -> Clause:
        """An arm of `Client.select` that receives; with `lease` its value is a Lease, with
        `message` a Message with its open files, with `sender` one that also has its `sender`."""
        self._usable().check_receive()
        self._check_lease(lease)
        message = message or sender
        if lease and message:
            raise InvalidArgument("a clause gives a lease or a message with its files, not both")
        return Clause(self, self._handle, self._codec, lease=lease, message=message, sender=sender)

    def sending(self, value: Any, *, files: Files = ()) -> Clause:
        """An arm of `Client.select` that sends `value` if it wins."""
        handle = self._usable()
        encoded = self._encode(value)
        if type(encoded) is bytes:
            self._side.check(handle, len(encoded))
        return Clause(self, handle, self._codec, encoded, files=list(files))

    def _encode(self, value: Any) -> Any:
        if type(value) is bytes and self._plain:
            return value
        return outgoing.encode(self._side, self._codec, value)

    def _check_lease(self, lease: bool) -> None:
        if lease and not self._plain:
            raise InvalidArgument("leases and arrays come from channels of bytes, without a codec")

    def _usable(self) -> H:
        if self._closed:
            raise self._handle.closed(f"this handle on channel {self._handle.label} is closed")
        return self._handle
