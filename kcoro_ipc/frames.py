"""Frames by struct: the grammar of kcoro_ipc/tlv.py without construct.

tlv.py is the definition, and a test holds this module equal to it, refusals included. It exists
because construct costs 74 ms of start and 44 us a frame: the daemon's control frames and clients
come here. It knows no connection and no meaning of a request.

Invariant: `parse_payload` returns pairs or raises ProtocolError, for any bytes whatever.
"""

import struct
from collections.abc import Iterable, Iterator

from kcoro_ipc import _wire
from kcoro_ipc.errors import MessageTooLong, ProtocolError

Value = int | bytes | str | tuple["Pair", ...] | list["Pair"]
Pair = tuple[int, Value]

_HEAD = struct.Struct(_wire.ATTR_FORMAT)
_LONG = struct.Struct(">I")
_SCALARS = {kind: struct.Struct(form) for kind, form in _wire.SCALAR_FORMATS.items()}
_HEADER = struct.Struct(_wire.HEADER_FORMAT)


def parse_payload(payload: bytes, minor: int, nested: bool = False) -> list[Pair]:
    """The known attributes of a payload in the order of arrival, by the rules of ABI 1.`minor`."""
    pairs: list[Pair] = []
    seen: set[int] = set()
    for number, value in _known(payload, minor):
        if number in seen and (nested or number not in _wire.REPEATABLE):
            if minor:
                raise ProtocolError(f"attribute {_wire.ATTRIBUTE_NAMES[number]} stands twice")
            continue
        seen.add(number)
        pairs.append((number, _value(number, value, minor, nested)))
    return pairs


def _known(payload: bytes, minor: int) -> Iterator[tuple[int, bytes]]:
    """What this side understands: unknown types and, in 1.0, misshapen scalars are not seen."""
    for number, value in _split(payload, minor):
        kind = _wire.ATTRIBUTE_TYPES.get(number & ~_wire.CRITICAL)
        if kind is None:
            if number & _wire.CRITICAL:
                known = number & ~_wire.CRITICAL
                raise ProtocolError(f"attribute {known} is critical and not known here")
            continue
        number &= ~_wire.CRITICAL
        scalar = _SCALARS.get(kind)
        if scalar is not None and len(value) != scalar.size:
            if minor:
                name = _wire.ATTRIBUTE_NAMES[number]
                raise ProtocolError(f"{name} has {len(value)} bytes, not {scalar.size}")
            continue
        yield number, value


def _split(payload: bytes, minor: int) -> list[tuple[int, bytes]]:
    """All of it or ProtocolError, so that a broken end refuses the frame before its beginning."""
    raw = []
    at, end = 0, len(payload)
    while at < end:
        try:
            number, length = _HEAD.unpack_from(payload, at)
            at += _HEAD.size
            if minor and length == _wire.EXTENDED_LENGTH:
                (length,) = _LONG.unpack_from(payload, at)
                at += _LONG.size
        except struct.error:
            raise ProtocolError("an attribute is longer than what holds it") from None
        if length > end - at:
            raise ProtocolError("an attribute is longer than what holds it")
        raw.append((number, bytes(payload[at : at + length])))
        at += length
    return raw


def _value(number: int, value: bytes, minor: int, nested: bool) -> Value:
    kind = _wire.ATTRIBUTE_TYPES[number]
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        found: int = scalar.unpack(value)[0]
        return found
    if kind != "nested":
        return value
    if nested:
        name = _wire.ATTRIBUTE_NAMES[number]
        raise ProtocolError(f"{name} is nested inside a nested attribute")
    return tuple(parse_payload(value, minor, nested=True))


def build_frame(cmd: int, attributes: Iterable[Pair], minor: int) -> bytes:
    """The bytes of one frame. MessageTooLong when it cannot be written in ABI 1.`minor`."""
    payload = build_payload(attributes, minor)
    if len(payload) > _wire.MAX_FRAME_BYTES:
        raise MessageTooLong(f"a frame of {len(payload)} bytes is over the limit")
    return _HEADER.pack(cmd, 0, len(payload)) + payload


def build_payload(attributes: Iterable[Pair], minor: int) -> bytes:
    """Attributes in the order given; text as str or bytes, a nested one as its pairs."""
    parts: list[bytes] = []
    for number, value in attributes:
        data = _encoded(number, value, minor)
        if len(data) < _wire.EXTENDED_LENGTH or not minor:
            if len(data) > _wire.EXTENDED_LENGTH:
                raise MessageTooLong(f"{len(data)} bytes cannot be written in ABI 1.0")
            parts.append(_HEAD.pack(number, len(data)))
        else:
            parts.append(_HEAD.pack(number, _wire.EXTENDED_LENGTH) + _LONG.pack(len(data)))
        parts.append(data)
    return b"".join(parts)


def short_text(text: str) -> bytes:
    """UTF-8 of at most MAX_TEXT_BYTES, cut between two characters."""
    data = text.encode(errors="replace")
    return data[: _wire.MAX_TEXT_BYTES].decode(errors="ignore").encode()


def _encoded(number: int, value: Value, minor: int) -> bytes:
    if isinstance(value, int):
        return _SCALARS[_wire.ATTRIBUTE_TYPES[number]].pack(value)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    return build_payload(value, minor)
