"""A handle on one channel under trio."""

from trio.lowlevel import checkpoint

from kcoro_ipc.client.connection import Connection
from kcoro_ipc.protocol import handles
from kcoro_ipc.protocol.channels import ChannelInfo
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.trio_errors import TRIO_ERRORS, ClosedResourceError, ConnectionLost


class Handle(handles.Handle):
    errors = TRIO_ERRORS
    connection: Connection

    def __init__(self, connection: Connection, info: ChannelInfo, rights: int) -> None:
        super().__init__(info, rights, connection.max_frame_bytes)
        self.connection = connection
        self.longest_inline = connection.side.longest_inline(self)

    async def control(self, cmd: int, *pairs: tuple[int, object]) -> Reply:
        """A request about the channel that is answered at once; raises if it was refused."""
        req_id = self.connection.new_id()
        reply = await self.connection.request(req_id, self.control_frame(cmd, req_id, *pairs))
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
        try:
            await self.connection.request(req_id, self.release_frame(req_id), must_go=True)
        except (ConnectionLost, ClosedResourceError):
            pass  # released all the same: the handle ended with its connection
