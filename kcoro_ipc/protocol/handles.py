"""A client's handle on one channel: what the daemon granted, shared by clones, without waiting."""

from typing import Any

from kcoro_ipc import _wire
from kcoro_ipc.errors import ERRORS, ErrorTable, KcoroError, MessageTooLong, error_for
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.channels import ChannelInfo, read_info
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.renewal import Origin
from kcoro_ipc.protocol.replies import Reply

NOT_ALLOWED = -1  # the longest element of a handle without the right to send


class Handle:
    """Rights on a channel of one connection; `users` clones hold it, the last one releases it."""

    errors: ErrorTable = ERRORS

    def __init__(self, info: ChannelInfo, rights: int, max_frame_bytes: int) -> None:
        self.users = 1
        self.rights = rights
        self.may_receive = bool(rights & _wire.FLAG_CHAN_READ)
        self.describe(info, max_frame_bytes)

    def describe(self, info: ChannelInfo, max_frame_bytes: int) -> None:
        """What the daemon said when it was opened, this time."""
        self.info = info
        self.chan_id = info.chan_id
        self.max_frame_bytes = max_frame_bytes
        may_send = self.rights & _wire.FLAG_CHAN_WRITE
        self.longest_element = info.longest_element(max_frame_bytes) if may_send else NOT_ALLOWED
        self._fixed_size = bool(info.flags & _wire.FLAG_CHAN_FIXED_SIZE)
        self.label = info.name if info.name is not None else str(info.chan_id)

    def check_length(self, length: int) -> None:
        """Here, so that too long an element costs neither a transfer nor the connection. A handle
        that may not send takes no length at all: the daemon knows what the whole connection may,
        this handle was asked to do less."""
        if self.longest_element == NOT_ALLOWED:
            raise self._denied("send", "write")
        if length > self.longest_element:
            raise MessageTooLong(
                f"an element of {length} bytes is over the {self.longest_element} that "
                f"channel {self.label} takes from here; send it in parts, or raise elem_size"
            )

    def check_range(self, length: int) -> None:
        """For shared memory: only a channel that was made for shorter elements bounds it."""
        if self.longest_element == NOT_ALLOWED:
            raise self._denied("send", "write")
        bounded = self.info.elem_size < _wire.MAX_ELEMENT_BYTES
        if length > self.info.elem_size and bounded:
            raise MessageTooLong(
                f"an element of {length} bytes is over the {self.info.elem_size} that "
                f"channel {self.label} takes; send it in parts, or raise elem_size"
            )

    def check_receive(self) -> None:
        if not self.may_receive:
            raise self._denied("receive", "read")

    def _denied(self, deed: str, right: str) -> KcoroError:
        message = f"this handle may not {deed}: it was opened with {right}=False; open another one"
        return error_for(_wire.KC_EACCES, message, table=self.errors, channel=self.label)

    def closed(self, message: str) -> KcoroError:
        return error_for(_wire.KC_EBADF, message, table=self.errors)

    def failure(self, reply: Reply, side: str = "") -> KcoroError:
        message = ""
        if reply.result == _wire.KC_EINVAL and side == "send" and self._fixed_size:
            message = f"an element of this channel has exactly {self.info.elem_size} bytes"
        return failure_of(reply, side, self.errors, self.label, message)

    def control_frame(self, cmd: int, req_id: int, *pairs: tuple[int, object]) -> bytes:
        return requests.control(cmd, req_id, [(_wire.ATTR_CHAN_ID, self.chan_id), *pairs])

    def release_frame(self, req_id: int) -> bytes:
        return requests.release_handle(req_id, self.chan_id, self.rights)


class BoundHandle(Handle):
    """One that belongs to a connection of a client, and to the next if that is lost."""

    def __init__(self, link: Any, connection: Any, origin: Origin, reply: Reply) -> None:
        info = read_info(origin.name, reply.attributes)
        super().__init__(info, origin.rights, connection.max_frame_bytes)
        self.link = link
        self.origin = origin
        self._bind(connection)

    def bind(self, connection: Any, reply: Reply) -> None:
        self.describe(read_info(self.origin.name, reply.attributes), connection.max_frame_bytes)
        self._bind(connection)

    def _bind(self, connection: Any) -> None:
        """Bytes up to `longest_inline` are sent without a second thought."""
        self.longest_inline: int = connection.side.longest_inline(self)
        self.connection = connection
