"""Connecting: `open_client`, and HELLO."""

import os
import socket

from kcoro_ipc.blocking.client import Client
from kcoro_ipc.blocking.connection import Connection
from kcoro_ipc.blocking.inflow import PACKET_READ_BYTES
from kcoro_ipc.blocking.timeouts import timeval
from kcoro_ipc.errors import NoDaemon
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.address import Address, connect_error, find_address
from kcoro_ipc.protocol.greeting import Greeting, check_greeting
from kcoro_ipc.protocol.replies import Reply, ReplyReader
from kcoro_ipc.regions import INLINE_BELOW, POOL_BYTES, ZERO_COPY_FROM, Settings


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
) -> Client:
    """A connection to the daemon; close it with `aclose`, or use it in a `with` block.

    `path` is PATH, stream:PATH or seqpacket:PATH; without it $KCORO_SOCKET counts, else the first
    path that exists of the user's and the system's. `name` is how the daemon's log calls this
    client. Raises NoDaemon if nobody answers within `connect_timeout` seconds. A reply that is
    overdue by `cancel_grace` seconds means that the connection is broken.

    Bytes from `zero_copy_from` on are copied into shared memory instead of the socket, loans below
    `inline_below` into the socket instead (None: never); `pool_bytes` bounds the shared memory.
    What finds none left goes through the socket; without `fallback` it raises PoolExhausted.
    """
    address = find_address(path)
    sock = socket.socket(socket.AF_UNIX, address.socket_type)
    try:
        greeting = _greet(sock, address, name, connect_timeout)
    except BaseException:
        sock.close()
        raise
    settings = Settings(zero_copy_from, inline_below, pool_bytes, fallback)
    return Client(Connection(sock, greeting, cancel_grace, settings))


def _greet(sock: socket.socket, address: Address, name: str | None, timeout: float) -> Greeting:
    """Connects and says HELLO."""
    bound = timeval(timeout)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, bound)  # of connect(2) too
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bound)
    try:
        sock.connect(address.path)
        sock.sendall(requests.hello(name))
        greeting = _greeting(sock, address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval(None))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval(None))
    except OSError as error:
        raise connect_error(address, error) from None
    return check_greeting(greeting)


def _greeting(sock: socket.socket, address: Address) -> Reply:
    reader = ReplyReader()
    while not (replies := reader.feed(data := sock.recv(PACKET_READ_BYTES))):
        if reader.failure is not None:
            raise reader.failure
        if not data:
            raise NoDaemon(f"the daemon at {address} hung up before it said HELLO")
    return replies[0]
