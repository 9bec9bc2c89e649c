"""A handle on one channel under trio, which is opened again after its connection was lost."""

import trio
from trio.lowlevel import checkpoint

from kcoro_ipc.client.connection import Connection
from kcoro_ipc.client.link import Link
from kcoro_ipc.protocol import handles
from kcoro_ipc.protocol.channels import check_agrees, read_info
from kcoro_ipc.protocol.renewal import Origin, again
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.trio_errors import TRIO_ERRORS, ClosedResourceError, ConnectionLost


class Handle(handles.BoundHandle):
    errors = TRIO_ERRORS
    connection: Connection
    link: Link

    def __init__(self, link: Link, connection: Connection, origin: Origin, reply: Reply) -> None:
        super().__init__(link, connection, origin, reply)
        self._opening = trio.Lock()

    async def control(self, cmd: int, *pairs: tuple[int, object]) -> Reply:
        """A request about the channel that is answered at once; raises if it was refused."""
        while True:
            connection = self.connection
            req_id = connection.new_id()
            try:
                reply = await connection.request(req_id, self.control_frame(cmd, req_id, *pairs))
            except ConnectionLost as error:
                await self.recover(connection, error)
                continue
            if reply.result:
                raise self.failure(reply)
            return reply

    async def recover(self, lost: Connection, error: ConnectionLost, side: str = "") -> None:
        """A request ended with its connection. Returns if it may be made again, by the connection
        that the handle has then; else raises what is known of it."""
        self.link.judge(error, side)
        await self.live(lost)

    async def live(self, lost: Connection) -> None:
        """Opened again, if nobody else did it meanwhile."""
        async with self._opening:
            if self.connection is lost:
                await self._open_again()
        if not self.users:  # closed meanwhile
            await self._give_back()

    async def _open_again(self) -> None:
        if self.origin.gone is not None:
            raise self.closed(self.origin.gone)
        origin = again(self.origin)
        connection, reply = await self.link.ask(origin.cmd, origin.pairs, origin.label)
        check_agrees(read_info(origin.name, reply.attributes), origin.agrees)
        self.bind(connection, reply)

    async def release(self) -> None:
        """One user less; the last one gives the rights back. A daemon that is gone has them."""
        self.users -= 1
        if self.users or self.connection.ended:
            await checkpoint()
        else:
            await self._give_back()

    async def _give_back(self) -> None:
        req_id = self.connection.new_id()
        try:
            await self.connection.request(req_id, self.release_frame(req_id), must_go=True)
        except (ConnectionLost, ClosedResourceError):
            pass  # released all the same: the handle ended with its connection
