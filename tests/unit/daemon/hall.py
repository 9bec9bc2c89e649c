"""The daemon's door with stand-ins: acceptor and broker without engine and pump."""

import socket
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import _wire, transport
from kcoro_ipc.acceptor import Acceptor
from kcoro_ipc.broker import Broker
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.protocol.address import Address
from kcoro_ipc.quotas import Limits
from kcoro_ipc.registry import Registry


class Engine:
    """Accounts and depths as the test sets them."""

    def __init__(self) -> None:
        self.accounts: list[int] = []
        self.depths: dict[int, int] = {}
        self.files = 0

    def account_usage(self, account: int) -> dict[str, int]:
        return {"files": self.files}

    def account_make(self, uid: int, **limits: int) -> int:
        self.accounts.append(len(self.accounts) + 1)
        return self.accounts[-1]

    def account_free(self, account: int) -> None:
        self.accounts.remove(account)

    def chan_stats(self, ticket: int) -> list[int]:
        depth = _wire.STAT_NAMES.index("depth") + 1
        return [self.depths.get(ticket, 0) if number == depth else 0 for number in range(64)]


class Pump:
    """Listeners that were found readable, connections that were added, what the end asked for."""

    def __init__(self) -> None:
        self.ready: deque[int] = deque()
        self.added: list[socket.socket] = []
        self.refuse_add: KcoroError | None = None
        self.paused: list[bool] = []
        self.ended = 0
        self.accounts: list[int] = []  # those of the engine
        self.refused: list[tuple[int, list[int]]] = []  # whose socket was closed, and they then

    def listen(self, fd: int) -> None:
        pass

    def unlisten(self, fd: int) -> None:
        pass

    def accept_ready(self) -> int | None:
        return self.ready.popleft() if self.ready else None

    def accept_pause(self, on: bool) -> None:
        self.paused.append(on)

    def add(self, fd: int, transport: int, account: int, pid: int) -> int:
        connected = socket.socket(fileno=fd)
        if self.refuse_add:
            connected.close()
            raise self.refuse_add
        self.added.append(connected)
        return len(self.added)

    def close_socket(self, fd: int, transport: int, account: int) -> None:
        socket.socket(fileno=fd).close()
        self.refused.append((account, list(self.accounts)))

    def drain(self) -> None:
        pass

    def cancel_all(self) -> None:
        self.ended += 1


class Hall:
    """An acceptor with two listeners in a broker of stand-ins and its own clock."""

    def __init__(self, directory: Path, **limits: int) -> None:
        self.engine, self.pump, self.now_ns = Engine(), Pump(), 0
        self.pump.accounts = self.engine.accounts
        stand_ins: Any = (self.engine, self.pump)
        self.registry = Registry(Limits(**limits))
        self.broker = Broker(*stand_ins, self.registry, lambda: self.now_ns)
        addresses = [Address("stream", str(directory / name)) for name in ("a", "b")]
        self.listeners = [transport.listen(address) for address in addresses]
        self.acceptor = Acceptor(self.broker, self.listeners)
        self.clients: list[socket.socket] = []

    def connect(self, count: int, listener: int = 0) -> None:
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX)
            self.clients.append(client)
            client.connect(self.listeners[listener].address.path)

    def accept(self) -> int:
        """A turn in which both listeners were readable; how many connections there are now."""
        self.pump.ready.extend(listener.socket.fileno() for listener in self.listeners)
        self.acceptor.accept()
        return len(self.pump.added)

    def close(self) -> None:
        self.acceptor.close()
        for one in (*self.clients, *self.pump.added):
            one.close()


def lines(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    records = [record for record in caplog.records if record.getMessage() == event]
    return [record.__dict__["fields"] for record in records]
