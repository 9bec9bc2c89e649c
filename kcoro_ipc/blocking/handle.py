"""A handle on one channel for the blocking client, which is opened again after its connection was
lost."""

from time import monotonic

from kcoro_ipc.blocking.connection import CONTROL_SECONDS, Connection
from kcoro_ipc.blocking.link import Link
from kcoro_ipc.errors import ConnectionLost, KcoroError
from kcoro_ipc.protocol import handles, requests
from kcoro_ipc.protocol.channels import check_agrees, read_info
from kcoro_ipc.protocol.renewal import Origin, again
from kcoro_ipc.protocol.replies import Reply


class Handle(handles.BoundHandle):
    connection: Connection
    link: Link

    def control(self, cmd: int, *pairs: tuple[int, object]) -> Reply:
        """A request about the channel that is answered at once; raises if it was refused."""
        while True:
            connection = self.connection
            req_id = connection.new_id()
            frame = self.control_frame(cmd, req_id, *pairs)
            try:
                reply = connection.request(req_id, frame, CONTROL_SECONDS)
            except ConnectionLost as error:
                self.recover(connection, error)
                continue
            if reply.result:
                raise self.failure(reply)
            return reply

    def recover(
        self,
        lost: Connection,
        error: ConnectionLost,
        side: str = "",
        timeout: float | None = None,
    ) -> float | None:
        """A request ended with its connection. Returns if it may be made again, by the connection
        that the handle has then, and what is left of its `timeout`; else raises what is known."""
        self.link.judge(error, side)
        bounded = timeout is not None and timeout >= 0
        began = monotonic()
        self.link.renew(lost, timeout if bounded else None)
        self.live(lost)
        if not bounded or not timeout:
            return timeout
        return max(0.001, timeout - (monotonic() - began))

    def live(self, lost: Connection) -> None:
        """Opened again, if that was not done yet."""
        if self.connection is not lost:
            return
        if self.origin.gone is not None:
            raise self.closed(self.origin.gone)
        origin = again(self.origin)
        connection, reply = open_by(self.link, origin)
        check_agrees(read_info(origin.name, reply.attributes), origin.agrees)
        self.bind(connection, reply)

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


def open_by(link: Link, origin: Origin) -> tuple[Connection, Reply]:
    """Asks for a handle. One that came though the call was interrupted is given back."""

    def late(reply: Reply) -> None:
        if not reply.result:
            info = read_info(origin.name, reply.attributes)
            link.connection.late_request(
                lambda req_id: requests.release_handle(req_id, info.chan_id, origin.rights)
            )

    return link.ask(origin.cmd, origin.pairs, origin.label, origin.timeout, late)
