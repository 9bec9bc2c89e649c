"""Connecting: `async with open_client() as client`."""

import errno
import os
import socket
from types import TracebackType

import trio

from kcoro_ipc.client.client import Client
from kcoro_ipc.client.connection import PACKET_READ_BYTES, Connection, Waiting
from kcoro_ipc.errors import NoDaemon
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.address import Address, connect_error, find_address
from kcoro_ipc.protocol.exchange import Exchange
from kcoro_ipc.protocol.greeting import check_greeting
from kcoro_ipc.regions import INLINE_BELOW, POOL_BYTES, ZERO_COPY_FROM, Settings

# How long to wait before trying again when the daemon's backlog is full: connect(2) on an AF_UNIX
# socket fails then instead of waiting, and nothing tells when there is room.
BACKLOG_RETRY_SECONDS = 0.01


def open_client(
    path: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    connect_timeout: float = 10.0,
    cancel_grace: float = 5.0,
    zero_copy_from: int | None = ZERO_COPY_FROM,
    inline_below: int | None = INLINE_BELOW,
    pool_bytes: int = POOL_BYTES,
    fallback: bool = True,
) -> "OpenClient":
    """A connection to the daemon, for `async with`.

    `path` is PATH, stream:PATH or seqpacket:PATH; without it $KCORO_SOCKET counts, else the first
    path that exists of the user's and the system's. `name` is how the daemon's log calls this
    client. Raises NoDaemon if nobody answers within `connect_timeout` seconds. A cancelled request
    must be answered within `cancel_grace` seconds, else the connection counts as broken, and a
    send under way is in doubt.

    Bytes from `zero_copy_from` on are copied into shared memory instead of the socket, loans below
    `inline_below` into the socket instead (None: never); `pool_bytes` bounds the shared memory.
    What finds none left goes through the socket; without `fallback` it raises PoolExhausted.
    """
    settings = Settings(zero_copy_from, inline_below, pool_bytes, fallback)
    return OpenClient(find_address(path), name, connect_timeout, cancel_grace, settings)


class OpenClient:
    """The context manager behind `open_client`. Not to be used twice.

    The body's own exceptions never pass through the nursery, so they arrive outside as they are
    and not in a group.
    """

    def __init__(
        self,
        address: Address,
        name: str | None,
        connect_timeout: float,
        cancel_grace: float,
        settings: Settings,
    ) -> None:
        self._address = address
        self._name = name
        self._connect_timeout = connect_timeout
        self._cancel_grace = cancel_grace
        self._settings = settings
        self._tasks = trio.open_nursery()

    async def __aenter__(self) -> Client:
        connection = await self._connect()
        nursery = await self._tasks.__aenter__()
        self._scope = nursery.cancel_scope
        nursery.start_soon(connection.read_replies)
        nursery.start_soon(connection.write_requests)
        self._connection = connection
        return Client(connection)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._connection.close()
        if self._scope.cancel_called:  # one of our own tasks failed: the group says how
            return await self._tasks.__aexit__(kind, error, traceback)
        await self._tasks.__aexit__(None, None, None)
        return False

    async def _connect(self) -> Connection:
        sock = socket.socket(socket.AF_UNIX, self._address.socket_type)
        sock.setblocking(False)
        try:
            with trio.move_on_after(self._connect_timeout):
                await self._reach(sock)
                return await self._greet(sock)
            raise NoDaemon(
                f"the daemon at {self._address} did not answer within {self._connect_timeout} s; "
                "it is stuck or overloaded"
            )
        except BaseException:
            sock.close()
            raise

    async def _reach(self, sock: socket.socket) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            try:
                return sock.connect(self._address.path)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise connect_error(self._address, error) from None
            await trio.sleep(BACKLOG_RETRY_SECONDS)

    async def _greet(self, sock: socket.socket) -> Connection:
        exchange: Exchange[Waiting] = Exchange()
        try:
            sock.send(requests.hello(self._name))  # a new socket takes a few bytes at once
            while not (replies := exchange.reader.feed(await self._arrived(sock))):
                if exchange.failure is not None:
                    raise exchange.failure
        except OSError as error:
            raise NoDaemon(f"the daemon at {self._address} hung up: {error.strerror}") from None
        greeting = check_greeting(replies[0])
        return Connection(sock, exchange, greeting, self._cancel_grace, self._settings)

    async def _arrived(self, sock: socket.socket) -> bytes:
        await trio.lowlevel.wait_readable(sock)
        if data := sock.recv(PACKET_READ_BYTES):
            return data
        raise NoDaemon(f"the daemon at {self._address} hung up before it said HELLO")
