"""This client's handle on one channel: what the daemon granted, shared by clones."""

from trio.lowlevel import checkpoint

from kcoro_ipc import _wire
from kcoro_ipc.client.connection import Connection
from kcoro_ipc.errors import KcoroError, MessageTooLong
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.channels import ChannelInfo
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.trio_errors import TRIO_ERRORS, ClosedResourceError, ConnectionLost


class Handle:
    """Rights on a channel of this connection; `users` clones hold it, the last one releases it."""

    def __init__(self, connection: Connection, info: ChannelInfo, rights: int) -> None:
        self.connection = connection
        self.info = info
        self.rights = rights
        self.users = 1
        self.chan_id = info.chan_id
        self.longest_element = info.longest_element(connection.max_frame_bytes)
        self.label = info.name if info.name is not None else str(info.chan_id)

    def check_length(self, length: int) -> None:
        """Here, so that too long an element costs neither a transfer nor the connection."""
        if length > self.longest_element:
            raise MessageTooLong(
                f"an element of {length} bytes is over the {self.longest_element} that "
                f"channel {self.label} takes from here; send it in parts, or raise elem_size"
            )

    def failure(self, reply: Reply, side: str = "") -> KcoroError:
        return failure_of(reply, side, TRIO_ERRORS, self.label)

    async def control(self, cmd: int, *pairs: tuple[int, object]) -> Reply:
        """A request about the channel that is answered at once; raises if it was refused."""
        req_id = self.connection.new_id()
        frame = requests.control(cmd, req_id, [(_wire.ATTR_CHAN_ID, self.chan_id), *pairs])
        reply = await self.connection.request(req_id, frame)
        if reply.result:
            raise self.failure(reply)
        return reply

    async def release(self) -> None:
        """One user less; the last one gives the rights back. A daemon that is gone has them."""
        self.users -= 1
        if self.users or self.connection.ended:
            await checkpoint()
            return
        req_id = self.connection.new_id()
        pairs = [(_wire.ATTR_CHAN_ID, self.chan_id), (_wire.ATTR_FLAGS, self.rights)]
        frame = requests.control(_wire.CMD_CHAN_RELEASE, req_id, pairs)
        try:
            await self.connection.request(req_id, frame, must_go=True)
        except (ConnectionLost, ClosedResourceError):
            pass  # released all the same: the handle ended with its connection
