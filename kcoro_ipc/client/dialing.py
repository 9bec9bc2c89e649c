"""Connecting under trio: the socket, HELLO, and trying again while no daemon answers."""

import errno
import socket
from contextlib import suppress

import trio

from kcoro_ipc.client.connection import PACKET_READ_BYTES, Connection
from kcoro_ipc.client.waiting import Asking
from kcoro_ipc.errors import NoDaemon
from kcoro_ipc.linking import Dialing
from kcoro_ipc.protocol import requests
from kcoro_ipc.protocol.address import Address, connect_error
from kcoro_ipc.protocol.exchange import Exchange
from kcoro_ipc.protocol.greeting import check_greeting
from kcoro_ipc.protocol.renewal import delays, gave_up

# How long to wait before trying again when the daemon's backlog is full: connect(2) on an AF_UNIX
# socket fails then instead of waiting, and nothing tells when there is room.
BACKLOG_RETRY_SECONDS = 0.01


class Dialer(Dialing):
    async def connect(self) -> Connection:
        """NoDaemon if none answers for as long as it is waited for."""
        if not self.keep_trying:
            return await self._attempt(self._connect_timeout)
        end = trio.current_time() + self.keep_trying
        for delay in delays():
            try:
                left = max(end - trio.current_time(), 0.001)
                return await self._attempt(min(left, self._connect_timeout))
            except NoDaemon as error:
                if trio.current_time() + delay >= end:
                    raise gave_up(error, self.keep_trying) from None
            await trio.sleep(delay)
        raise AssertionError("delays never end")

    async def _attempt(self, limit: float) -> Connection:
        address = self._find()
        sock = socket.socket(socket.AF_UNIX, address.socket_type)
        sock.setblocking(False)
        try:
            with trio.move_on_after(limit):
                await self._reach(sock, address)
                return await self._greet(sock, address)
            raise NoDaemon(
                f"the daemon at {address} did not answer within {limit:.3g} s; "
                "it is stuck or overloaded"
            )
        except BaseException:
            sock.close()
            raise

    async def _reach(self, sock: socket.socket, address: Address) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            try:
                return sock.connect(address.path)
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise connect_error(address, error) from None
            await trio.sleep(BACKLOG_RETRY_SECONDS)

    async def _greet(self, sock: socket.socket, address: Address) -> Connection:
        exchange: Exchange[Asking] = Exchange()
        try:
            with suppress(
                BrokenPipeError, ConnectionResetError
            ):  # refused at the door: it says why
                sock.send(requests.hello(self._name))  # a new socket takes a few bytes at once
            while not (replies := exchange.reader.feed(await _arrived(sock, address))):
                if exchange.failure is not None:
                    raise exchange.failure
        except OSError as error:
            raise NoDaemon(f"the daemon at {address} hung up: {error.strerror}") from None
        greeting = check_greeting(replies[0])
        return Connection(sock, exchange, greeting, self._cancel_grace, self._settings, self._loans)


async def _arrived(sock: socket.socket, address: Address) -> bytes:
    await trio.lowlevel.wait_readable(sock)
    if data := sock.recv(PACKET_READ_BYTES):
        return data
    raise NoDaemon(f"the daemon at {address} hung up before it said HELLO")
