"""The connection that a blocking client uses now, and how it comes to the next one."""

from typing import Any

from kcoro_ipc.blocking.connection import CONTROL_SECONDS, Connection, Late
from kcoro_ipc.blocking.dialing import Dialer
from kcoro_ipc.errors import ConnectionLost
from kcoro_ipc.linking import Linking
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply


class Link(Linking):
    connection: Connection

    def __init__(self, dialer: Dialer, reconnect: bool) -> None:
        super().__init__(reconnect)
        self._dialer = dialer
        self.connection = dialer.connect()

    def renew(self, lost: Connection, patience: float | None = None) -> None:
        """Afterwards there is a connection that is not `lost`. NoDaemon when none answered for
        long enough, or for `patience` seconds."""
        if self.connection is not lost:
            return
        self._check_open()
        self._use(self._dialer.connect(patience))

    def ask(
        self,
        cmd: int,
        pairs: list[tuple[int, Any]],
        label: str | None = None,
        timeout: float | None = CONTROL_SECONDS,
        late: Late | None = None,
    ) -> tuple[Connection, Reply]:
        """A control request; by which connection it was answered. A refusal is raised."""
        while True:
            connection = self.connection
            req_id = connection.new_id()
            frame = requests.control(cmd, req_id, pairs)
            try:
                reply = connection.request(req_id, frame, timeout, late)
            except ConnectionLost as error:
                self.judge(error, "")
                self.renew(connection)
                continue
            if reply.result:
                raise failure_of(reply, channel=label)
            return connection, reply

    def close(self) -> None:
        self._closed = True
        self.connection.close()
