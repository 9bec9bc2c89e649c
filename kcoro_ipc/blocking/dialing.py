"""Connecting, blocking: the socket, HELLO, and trying again while no daemon answers."""

import socket
import time
from contextlib import suppress

from kcoro_ipc.blocking.connection import Connection
from kcoro_ipc.blocking.inflow import PACKET_READ_BYTES
from kcoro_ipc.blocking.timeouts import timeval
from kcoro_ipc.errors import NoDaemon
from kcoro_ipc.linking import Dialing
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.address import Address, connect_error
from kcoro_ipc.protocol.greeting import Greeting, check_greeting
from kcoro_ipc.protocol.renewal import delays, gave_up
from kcoro_ipc.protocol.replies import Reply, ReplyReader


class Dialer(Dialing):
    def connect(self, patience: float | None = None) -> Connection:
        """NoDaemon if none answers for as long as it is waited for, or for `patience` seconds."""
        seconds = self.keep_trying if patience is None else min(patience, self.keep_trying)
        if not seconds:
            return self._attempt(self._connect_timeout)
        end = time.monotonic() + seconds
        for delay in delays():
            try:
                left = max(end - time.monotonic(), 0.001)
                return self._attempt(min(left, self._connect_timeout))
            except NoDaemon as error:
                if time.monotonic() + delay >= end:
                    raise gave_up(error, seconds) from None
            time.sleep(delay)
        raise AssertionError("delays never end")

    def _attempt(self, limit: float) -> Connection:
        address = self._find()
        sock = socket.socket(socket.AF_UNIX, address.socket_type)
        try:
            greeting = _greet(sock, address, self._name, limit)
        except BaseException:
            sock.close()
            raise
        return Connection(sock, greeting, self._cancel_grace, self._settings, self._loans)


def _greet(sock: socket.socket, address: Address, name: str | None, timeout: float) -> Greeting:
    """Connects and says HELLO."""
    bound = timeval(timeout)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, bound)  # of connect(2) too
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bound)
    try:
        sock.connect(address.path)
        with suppress(BrokenPipeError, ConnectionResetError):  # refused at the door: it says why
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
