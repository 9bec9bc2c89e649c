"""The connection that a trio client uses now, and how it comes to the next one.

Reader and writer of each connection are tasks of the client's own nursery. A connection is renewed
by the task that needs it, within that task's cancel scopes; others wait for it.
"""

from typing import Any

import trio

from kcoro_ipc.client.connection import Connection
from kcoro_ipc.client.dialing import Dialer
from kcoro_ipc.linking import Linking
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.trio_errors import TRIO_ERRORS, ClosedResourceError, ConnectionLost


class Link(Linking):
    _closed_error = ClosedResourceError
    connection: Connection

    def __init__(
        self, dialer: Dialer, connection: Connection, tasks: trio.Nursery, reconnect: bool
    ) -> None:
        super().__init__(reconnect)
        self.connection = connection
        self._dialer = dialer
        self._tasks = tasks
        self._renewing = trio.Lock()
        self._dialing = trio.CancelScope()
        self._start()

    def _start(self) -> None:
        self._tasks.start_soon(self.connection.read_replies)
        self._tasks.start_soon(self.connection.write_requests)

    async def renew(self, lost: Connection) -> Connection:
        """A connection that is not `lost`. NoDaemon when none answered for long enough."""
        async with self._renewing:
            if self.connection is lost:
                await self._connect()
        return self.connection

    async def _connect(self) -> None:
        connection = None
        with trio.CancelScope() as self._dialing:
            connection = await self._dialer.connect()
        if self._closed and connection is not None:
            connection.close()
        self._check_open()
        assert connection is not None
        self.connection.side.mappings.close()  # what had come by it was read long before
        self._use(connection)
        self._start()

    async def ask(
        self, cmd: int, pairs: list[tuple[int, Any]], label: str | None = None
    ) -> tuple[Connection, Reply]:
        """A control request; by which connection it was answered. A refusal is raised."""
        while True:
            connection = self.connection
            req_id = connection.new_id()
            try:
                reply = await connection.request(req_id, requests.control(cmd, req_id, pairs))
            except ConnectionLost as error:
                self.judge(error, "")
                await self.renew(connection)
                continue
            if reply.result:
                raise failure_of(reply, table=TRIO_ERRORS, channel=label)
            return connection, reply

    def close(self) -> None:
        self._closed = True
        self._dialing.cancel()
        self.connection.close()
