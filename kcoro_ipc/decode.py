"""Frames for human eyes: bytes in, lines out.

`kcoro decode` feeds it what was captured of one direction of a connection. It speaks the ABI
it is told, or the one of the first HELLO it meets (each side's HELLO names a minor version;
the answer's is the one spoken, so a capture of requests alone may need `minor`). It follows
the definition in tlv.py, and shows more than a peer would see: unknown attributes and bits of
flags stay visible as numbers. It never raises for bad input: what cannot be read is a line
that says where and why, and nothing after it is believed.
"""

from collections.abc import Iterator
from itertools import count

from construct import ConstructError

from kcoro_ipc import errors, tlv

BYTES_SHOWN = 48

# Whose FLAGS a command carries. SENT is the answer to a send.
FLAG_GROUPS = {
    "CHAN_MAKE": "CHAN",
    "CHAN_OPEN": "CHAN",
    "CHAN_RELEASE": "CHAN",
    "CHAN_SEND": "SEND",
    "CHAN_TRY_SEND": "SEND",
    "SENT": "SENT",
    "CHAN_RECV": "RECV",
    "CHAN_TRY_RECV": "RECV",
    "SELECT": "SELECT",
    "GET_STATS": "STATS",
    "REGION_DROP": "REGION",
    "CLAUSE": "CLAUSE",
}
ENUMERATED = ("KIND", "OVERFLOW", "UNDELIVERED")


class Decoder:
    """Feed bytes in any pieces, get lines; `finish` tells of what was left over.

    `minor` is the ABI's minor version, or None to take it from the first HELLO. A HELLO itself
    is in the 1.0 form always.
    """

    def __init__(self, minor: int | None = None) -> None:
        self.minor = minor
        self.told = minor is not None
        self.offset = 0
        self._pending = bytearray()
        self._fault = False
        self._numbers = count(1)

    def feed(self, data: bytes) -> Iterator[str]:
        """Lines for every frame that is complete now; nothing after a fault."""
        if not self._fault:
            self._pending += data
        while not self._fault:
            try:
                found = self._next()
            except errors.ProtocolError as error:
                self._fault = True
                yield f"at byte {self.offset}: {error.name}: {error}"
                return
            if found is None:
                return
            yield from self._lines(*found)

    @property
    def broken(self) -> bool:
        """Whether what came so far is no whole run of frames; final once `finish` was called."""
        return self._fault or bool(self._pending)

    def finish(self) -> Iterator[str]:
        if self._pending and not self._fault:
            yield f"at byte {self.offset}: {len(self._pending)} bytes of a frame that is cut short"

    def _next(self) -> tuple[tlv.Frame, bytes] | None:
        if len(self._pending) < tlv.HEADER_BYTES:
            return None
        head = bytes(self._pending[: tlv.HEADER_BYTES])
        minor = self._spoken(head)
        end = tlv.HEADER_BYTES + tlv.parse_header(head, minor).length
        if len(self._pending) < end:
            return None
        data = bytes(self._pending[:end])
        frame = tlv.parse_frame(data, minor)
        del self._pending[:end]
        return frame, data[tlv.HEADER_BYTES :]

    def _spoken(self, head: bytes) -> int:
        hello = tlv.COMMANDS["HELLO"].number
        return 0 if tlv.Header.parse(head).cmd == hello else self.minor or 0

    def _lines(self, frame: tlv.Frame, payload: bytes) -> Iterator[str]:
        command = tlv.COMMAND_NAMES.get(frame.cmd, f"command {frame.cmd}")
        if command == "HELLO" and not self.told:
            ours = tlv.ABI_MINOR if self.minor is None else self.minor
            self.minor = min(frame.get("ABI_MINOR", 0), ours)
        files = f", {frame.files} files" if frame.files else ""
        where = f"#{next(self._numbers)} at byte {self.offset}"
        yield f"{where}: {command}, {len(payload)} bytes{files}"
        self.offset += tlv.HEADER_BYTES + len(payload)
        answered = command == "CHAN_SEND" and frame.get("RESULT") is not None
        yield from _attributes(payload, frame.minor, "SENT" if answered else command, "    ")


def decode(data: bytes, minor: int | None = None) -> Iterator[str]:
    """The lines of a whole capture."""
    decoder = Decoder(minor)
    yield from decoder.feed(data)
    yield from decoder.finish()


def _attributes(payload: bytes, minor: int, holder: str, indent: str) -> Iterator[str]:
    for one in tlv.PAYLOAD[minor].parse(payload):
        number = one.type & ~tlv.CRITICAL
        name = tlv.ATTRIBUTE_NAMES.get(number, f"attribute {number}")
        critical = " (critical)" if one.type & tlv.CRITICAL else ""
        kind = tlv.ATTRIBUTES[name].type if name in tlv.ATTRIBUTES else tlv.RESERVED
        if kind == tlv.NESTED:
            yield f"{indent}{name}{critical}"
            yield from _attributes(one.value, minor, name, indent + "    ")
        else:
            yield f"{indent}{name}{critical} {_shown(name, kind, one.value, holder)}"


def _shown(name: str, kind: str, value: bytes, holder: str) -> str:
    scalar = tlv.SCALARS.get(kind)
    if name == "DESC":
        return _shown_range(value, kind, holder)
    if scalar is None:
        return _shown_bytes(value, kind)
    if len(value) != scalar.sizeof():
        return f"{_shown_bytes(value, kind)} (not {scalar.sizeof()} bytes: not seen)"
    number = int(scalar.parse(value))
    meaning = _meaning(name, number, holder)
    return f"{number} {meaning}" if meaning else str(number)


def _meaning(name: str, number: int, holder: str) -> str:
    if name == "RESULT":
        return errors.CODE_NAMES.get(number, "unknown code")
    if name == "FLAGS":
        return _flag_names(number, tlv.FLAGS.get(FLAG_GROUPS.get(holder, ""), {}))
    if name == "CAPS":
        return _flag_names(number, tlv.ENUMERATIONS["CAP"])
    if name == "STAT_ID" and 1 <= number <= len(tlv.STATS):
        return tlv.STATS[number - 1]
    if name == "TIMEOUT_MS":
        return "for ever" if number < 0 else "try" if number == 0 else ""
    if name in ENUMERATED:
        return next((n.lower() for n, v in tlv.ENUMERATIONS[name].items() if v == number), "")
    return ""


def _flag_names(number: int, flags: dict[str, int]) -> str:
    names = [name.lower() for name, bit in flags.items() if number & bit]
    rest = number & ~sum(flags.values())
    return "|".join(names + ([f"{rest:#x}"] if rest else []))


def _shown_range(value: bytes, kind: str, holder: str) -> str:
    try:
        one = tlv.DescValue.parse(value)
    except ConstructError:
        return f"{_shown_bytes(value, kind)} (not 24 or 32 bytes: EINVAL)"
    shown = f"region {one.region}, offset {one.offset}, length {one.length}"
    if one.fourth is None:
        return shown
    if holder == "REGION_FREED":
        names = _flag_names(one.fourth, tlv.ENUMERATIONS["FREED"])
        return f"{shown}, flags {one.fourth} {names}".rstrip()
    return f"{shown}, lease {one.fourth}"


def _shown_bytes(value: bytes, kind: str) -> str:
    """Text as text when nothing in it could play tricks on a terminal, else hex."""
    more = f" ... ({len(value)} bytes)" if len(value) > BYTES_SHOWN else ""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    if text.isprintable():
        return f'"{text[:BYTES_SHOWN]}"{more}'
    if kind == tlv.TEXT:
        more += " (not plain UTF-8)"
    return value[:BYTES_SHOWN].hex() + more
