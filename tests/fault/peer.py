"""A peer that may say anything: whole frames by the definition of the wire (tlv.py), or any bytes.

It trusts nothing: what the daemon says is parsed by tlv.py, and silence, an end and an answer are
told apart without looking at a clock (a PING that is answered means that nothing came before it).
"""

import socket
from types import TracebackType
from typing import Any

from kcoro_ipc import _wire, tlv

STUCK_S = 60.0  # a daemon that says nothing for so long hangs; no assertion about speed
Pair = tuple[str, Any]


class Peer:
    """A connection; `hello` first for who wants to be polite."""

    def __init__(self, connected: socket.socket, minor: int = 1) -> None:
        self.socket = connected
        self.socket.settimeout(STUCK_S)
        self.minor = minor
        self._unread = bytearray()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    # --- saying ---

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def frame(self, command: str | int, *pairs: Pair, **attributes: Any) -> bytes:
        return tlv.build_frame(command, [*attributes.items(), *pairs], self.minor)

    def write(self, command: str | int, *pairs: Pair, **attributes: Any) -> None:
        self.say(self.frame(command, *pairs, **attributes))

    def ask(self, command: str | int, *pairs: Pair, req_id: int = 5, **attributes: Any) -> Any:
        """The answer to one request; a frame that is not it fails the test."""
        self.write(command, *pairs, REQ_ID=req_id, **attributes)
        answer = self.read()
        assert answer is not None, f"the daemon ended the connection instead of answering {command}"
        assert answer.get("REQ_ID") == req_id, answer
        return answer

    def result(self, command: str | int, *pairs: Pair, req_id: int = 5, **attributes: Any) -> int:
        return int(self.ask(command, *pairs, req_id=req_id, **attributes)["RESULT"])

    def hello(self, **attributes: Any) -> Any:
        self.write("HELLO", ABI_MAJOR=1, ABI_MINOR=self.minor, **attributes)
        answer = self.read()
        assert answer is not None
        return answer

    def make(self, name: str | None = None, **attributes: Any) -> int:
        given = attributes if name is None else {"NAME": name} | attributes
        answer = self.ask("CHAN_MAKE", **given)
        assert answer["RESULT"] == 0, answer
        return int(answer["CHAN_ID"])

    def open(self, chan: int) -> int:
        answer = self.ask("CHAN_OPEN", CHAN_ID=chan, FLAGS=3)
        assert answer["RESULT"] == 0, answer
        return chan

    # --- hearing ---

    def read_bytes(self, count: int) -> bytes:
        """Exactly so many; fewer only at the end of the connection."""
        while len(self._unread) < count:
            try:
                data = self._receive()
            except ConnectionResetError:
                data = b""
            if not data:
                break
            self._unread += data
        taken = bytes(self._unread[:count])
        del self._unread[:count]
        return taken

    def _receive(self) -> bytes:
        return self.socket.recv(1 << 20)

    def read_frame(self) -> tlv.Frame | None:
        head = self.read_bytes(tlv.HEADER_BYTES)
        if not head:
            return None
        return tlv.parse_frame(head + self.read_bytes(int.from_bytes(head[4:8])), self.minor)

    def read(self) -> dict[str, Any] | None:
        """The next frame by attribute names (those that repeat as lists); None at the end."""
        frame = self.read_frame()
        if frame is None:
            return None
        return {"cmd": tlv.COMMAND_NAMES.get(frame.cmd, frame.cmd)} | named(frame.attributes)

    def lives(self) -> bool:
        """Answers a PING, so the connection is as good as before."""
        return self.result("PING", req_id=0x7FFFFFFF) == 0

    def is_ended(self) -> bool:
        """The daemon has hung up and says nothing more."""
        return self.read_bytes(1) == b""

    def last_word(self) -> Any:
        """The answer that ends a connection: nothing follows, and it names no request."""
        answer = self.read()
        assert answer is not None, "the daemon hung up without a word"
        assert "REQ_ID" not in answer
        assert self.is_ended()
        return answer["RESULT"]


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


def attribute(number: int, value: bytes, length: int | None = None) -> bytes:
    """One attribute by hand, with whatever length it claims to have."""
    claimed = len(value) if length is None else length
    return number.to_bytes(2) + claimed.to_bytes(2) + value


def raw_frame(cmd: int, payload: bytes, length: int | None = None, flags: int = 0) -> bytes:
    """One frame by hand."""
    claimed = len(payload) if length is None else length
    return cmd.to_bytes(2) + flags.to_bytes(2) + claimed.to_bytes(4) + payload


def u32(number: int, value: int) -> bytes:
    return attribute(number, value.to_bytes(4))


REQ_ID = u32(_wire.ATTR_REQ_ID, 5)
