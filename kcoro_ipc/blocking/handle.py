"""A handle on one channel for the blocking client."""

from kcoro_ipc.blocking.connection import CONTROL_SECONDS, Connection
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.protocol import handles
from kcoro_ipc.protocol.channels import ChannelInfo
from kcoro_ipc.protocol.replies import Reply


class Handle(handles.Handle):
    connection: Connection

    def __init__(self, connection: Connection, info: ChannelInfo, rights: int) -> None:
        super().__init__(info, rights, connection.max_frame_bytes)
        self.connection = connection
        self.longest_inline = connection.side.longest_inline(self)

    def control(self, cmd: int, *pairs: tuple[int, object]) -> Reply:
        """A request about the channel that is answered at once; raises if it was refused."""
        req_id = self.connection.new_id()
        frame = self.control_frame(cmd, req_id, *pairs)
        reply = self.connection.request(req_id, frame, CONTROL_SECONDS)
        if reply.result:
            raise self.failure(reply)
        return reply

    def release(self) -> None:
        """One user less; the last one gives the rights back. A daemon that is gone has them."""
        self.users -= 1
        if self.users or self.connection.ended:
            return
        req_id = self.connection.new_id()
        try:
            self.connection.request(req_id, self.release_frame(req_id), CONTROL_SECONDS)
        except KcoroError:
            if not self.connection.ended:
                raise
