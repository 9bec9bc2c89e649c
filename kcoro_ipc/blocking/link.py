"""The connection that a blocking client uses now, and how it comes to the next one."""

from typing import Any

from kcoro_ipc.blocking.connection import CONTROL_SECONDS, Connection, Late
from kcoro_ipc.blocking.dialing import Dialer
from kcoro_ipc.errors import ClosedResourceError, ConnectionLost
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.renewal import what_is_known
from kcoro_ipc.protocol.replies import Reply


class Link:
    def __init__(self, dialer: Dialer, reconnect: bool) -> None:
        self.renews = reconnect
        self.reconnects = 0
        self._dialer = dialer
        self._closed = False
        self.connection = dialer.connect()

    def judge(self, error: ConnectionLost, side: str) -> None:
        """Returns if the request that ended with this may be made again: nothing of it had left.
        Else the error is raised with what is known."""
        if error.in_doubt or not self.renews:
            raise what_is_known(error, side, self.renews) from None
        self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError("this client is closed; open another one")

    def renew(self, lost: Connection, patience: float | None = None) -> None:
        """Afterwards there is a connection that is not `lost`. NoDaemon when none answered for
        long enough, or for `patience` seconds."""
        if self.connection is not lost:
            return
        self._check_open()
        self.connection = self._dialer.connect(patience)
        self.reconnects += 1
        from logging import getLogger

        getLogger("kcoro_ipc").info("connected to the daemon again, time %d", self.reconnects)

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
