"""Real daemons, and a raw connection that speaks frames by the definition of the wire (tlv.py).

`start_daemon(*options)` starts `kcoro serve` on a private pair of sockets and gives a Running.
`connect(running, transport, minor)` gives a Wire that has greeted (minor None: it has not).
"""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import tlv
from kcoro_ipc.embedded import embedded_daemon
from tests.e2e.configured import configure
from tests.e2e.managed import machine, service

__all__ = ["configure", "machine", "service"]  # fixtures

PATIENCE_S = 20.0  # bounds a daemon that does not answer; nothing is judged by time
TRANSPORTS = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET}


@dataclass
class Running:
    path: str
    seqpacket_path: str
    process: "subprocess.Popen[bytes]"
    log_path: Path

    def address(self, transport: str) -> str:
        return self.path if transport == "stream" else self.seqpacket_path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def finish(self, number: int | None = None) -> int:
        """Sends a signal, if any, and waits for the exit status."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


class Wire:
    """One connection. Answers come as dictionaries of attributes by name, with "cmd"."""

    def __init__(self, transport: str, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, TRANSPORTS[transport])
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)
        self.minor = 0
        self._unread = b""

    def close(self) -> None:
        self.socket.close()

    # --- bytes ---

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def packet(self) -> bytes:
        """What one recv(2) brings; empty at the end."""
        return self.socket.recv(1 << 20)

    def take(self, count: int) -> bytes:
        """Exactly that many bytes; fewer only at the end of the connection."""
        while len(self._unread) < count:
            data = self.packet()
            if not data:
                break
            self._unread += data
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken

    def raw(self) -> bytes:
        """One whole frame; b"" at the end of the connection."""
        head = self.take(tlv.HEADER_BYTES)
        return head + self.take(int.from_bytes(head[4:8])) if head else b""

    def at_end(self) -> bool:
        """Whether the daemon ended the connection and said nothing more."""
        try:
            return self.take(1) == b""
        except ConnectionResetError:
            return True

    # --- frames ---

    def hello(self, minor: int = 1, **attributes: Any) -> dict[str, Any]:
        self.write("HELLO", ABI_MAJOR=1, ABI_MINOR=minor, **attributes)
        answer = self.read()
        self.minor = answer["ABI_MINOR"]
        return answer

    def write(self, command: str | int, **attributes: Any) -> None:
        """A list stands for an attribute that repeats, or for the pairs of a nested one."""
        pairs: list[tuple[str, Any]] = []
        for name, value in attributes.items():
            several = isinstance(value, list)
            pairs += [(name, one) for one in value] if several else [(name, value)]
        self.send(tlv.build_frame(command, pairs, self.minor))

    def read(self) -> dict[str, Any]:
        data = self.raw()
        assert data, "the daemon ended the connection instead of answering"
        frame = tlv.parse_frame(data, self.minor)
        return {"cmd": tlv.COMMAND_NAMES.get(frame.cmd, frame.cmd)} | named(frame.attributes)

    def ask(self, command: str | int, req_id: int = 5, **attributes: Any) -> dict[str, Any]:
        self.write(command, REQ_ID=req_id, **attributes)
        answer = self.read()
        assert answer.get("REQ_ID") == req_id, answer
        return answer

    def make(self, name: str | None = None, **attributes: Any) -> int:
        """A channel, as it is then sure to be there; its CHAN_ID."""
        given = attributes if name is None else {"NAME": name} | attributes
        answer = self.ask("CHAN_MAKE", **given)
        assert answer["RESULT"] == 0, answer
        chan_id: int = answer["CHAN_ID"]
        return chan_id

    def stats(self, chan_id: int) -> dict[str, int]:
        answer = self.ask("GET_STATS", CHAN_ID=chan_id)
        return {tlv.STATS[one["STAT_ID"] - 1]: one["VALUE"] for one in answer["STAT"]}


def named(pairs: Any, nested: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in pairs:
        name = tlv.ATTRIBUTE_NAMES[number]
        attribute = tlv.ATTRIBUTES[name]
        read = named(value, nested=True) if attribute.type is tlv.NESTED else value
        if attribute.repeats and not nested:
            found.setdefault(name, []).append(read)
        else:
            found[name] = read
    return found


StartDaemon = Callable[..., Running]
Connect = Callable[..., Wire]


@pytest.fixture
def start_daemon(socket_dir: Path) -> Iterator[StartDaemon]:
    with ExitStack() as stack:

        def start(*options: str, log_level: str = "info") -> Running:
            log_path = socket_dir / "log"
            log = stack.enter_context(log_path.open("ab"))
            started = stack.enter_context(
                embedded_daemon(socket_dir / "k.sock", options, log_level=log_level, log=log)
            )
            return Running(started.path, started.seqpacket_path, started.process, log_path)

        yield start


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as stack:

        def make(running: Running, transport: str = "stream", minor: int | None = 1) -> Wire:
            wire = Wire(transport, running.address(transport))
            stack.callback(wire.close)
            if minor is not None:
                wire.hello(minor)
            return wire

        yield make


@pytest.fixture
def only_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it starts a client as another user")
