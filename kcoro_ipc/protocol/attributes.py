"""Attributes of a frame, written and read the general way: any type, any order.

The hot frames do not pass through here (requests.py and replies.py write and read those with one
struct); what they cannot take whole comes here, so the verdict on any payload is this file's, and
tests hold it equal to kcoro_ipc/tlv.py. It speaks ABI 1.1 only, the client's dialect.

Invariant: `read_attributes` returns or raises ProtocolError, for any bytes whatever.
"""

from collections.abc import Iterable
from struct import Struct
from struct import error as StructError
from typing import Any

from kcoro_ipc import _wire
from kcoro_ipc.errors import InvalidArgument, NameTooLong, ProtocolError

HEAD = Struct(">I")  # type and length in one number: comparing one is cheaper than two
EXTENDED = Struct(">II")
SCALARS = {name: Struct(form) for name, form in _wire.SCALAR_FORMATS.items()}

Attributes = dict[int, Any]
Pairs = Iterable[tuple[int, Any]]


def head(number: int, length: int = 4) -> int:
    """The first four bytes of an attribute as one number; by default those of a u32."""
    return number << 16 | length


def write_attributes(pairs: Pairs) -> bytes:
    """The payload of `pairs`: ints, str, bytes, and sequences of pairs for nested attributes.

    Raises InvalidArgument for a value that does not fit its attribute and NameTooLong for a text
    over 255 bytes.
    """
    return b"".join([write_attribute(number, value) for number, value in pairs])


def write_attribute(number: int, value: Any) -> bytes:
    data = _value_bytes(number, value)
    length = len(data)
    if length < _wire.EXTENDED_LENGTH:
        return HEAD.pack(head(number, length)) + data
    return EXTENDED.pack(head(number, _wire.EXTENDED_LENGTH), length) + data


def _value_bytes(number: int, value: Any) -> bytes:
    kind = _wire.ATTRIBUTE_TYPES[number]
    if kind == "text":
        return _text_bytes(number, value)
    if kind == "nested":
        return write_attributes(value)
    if kind == "bytes":
        return bytes(value)
    try:
        return SCALARS[kind].pack(value)
    except StructError:
        name = _wire.ATTRIBUTE_NAMES[number].lower()
        raise InvalidArgument(f"{name} cannot be {value!r}; it has to fit {kind}") from None


def _text_bytes(number: int, value: str) -> bytes:
    name = _wire.ATTRIBUTE_NAMES[number].lower()
    try:
        data = value.encode()
    except (UnicodeEncodeError, AttributeError):
        raise InvalidArgument(f"{name} cannot be {value!r}; give text for UTF-8") from None
    if len(data) > _wire.MAX_TEXT_BYTES:
        limit = _wire.MAX_TEXT_BYTES
        raise NameTooLong(f"{name} has {len(data)} bytes; use at most {limit} bytes of UTF-8")
    return data


def read_attributes(data: bytes, start: int, stop: int, nested: bool = False) -> Attributes:
    """What this side understands of data[start:stop], by number.

    Attributes that may repeat are lists, in order; nested ones are dictionaries of their own.
    """
    found: Attributes = {}
    while start < stop:
        number, begin, start = _next(data, start, stop)
        kind = _wire.ATTRIBUTE_TYPES.get(number & ~_wire.CRITICAL)
        if kind is None:
            if number & _wire.CRITICAL:
                raise ProtocolError(f"attribute {number:#x} is critical and not known here")
            continue
        number &= ~_wire.CRITICAL
        value = _read_value(data, begin, start, number, kind, nested)
        _add(found, number, value, nested)
    return found


def _next(data: bytes, start: int, stop: int) -> tuple[int, int, int]:
    """Type of the attribute at `start`, where its value begins and where it ends."""
    begin = start + 4
    if begin > stop:
        raise ProtocolError("an attribute is cut off by the end of what holds it")
    (word,) = HEAD.unpack_from(data, start)
    length = word & 0xFFFF
    if length == _wire.EXTENDED_LENGTH:
        if begin + 4 > stop:
            raise ProtocolError("an attribute is cut off by the end of what holds it")
        (length,) = HEAD.unpack_from(data, begin)
        begin += 4
    if begin + length > stop:
        raise ProtocolError("an attribute is longer than what holds it")
    return word >> 16, begin, begin + length


def _read_value(data: bytes, begin: int, end: int, number: int, kind: str, nested: bool) -> Any:
    scalar = SCALARS.get(kind)
    if scalar is not None:
        if end - begin != scalar.size:
            name = _wire.ATTRIBUTE_NAMES[number]
            raise ProtocolError(f"{name} has {end - begin} bytes, not {scalar.size}")
        return scalar.unpack_from(data, begin)[0]
    if kind == "nested":
        if nested:
            raise ProtocolError("a nested attribute stands inside a nested one")
        return read_attributes(data, begin, end, nested=True)
    value = data[begin:end]
    return value.decode(errors="replace") if kind == "text" else value


def _add(found: Attributes, number: int, value: Any, nested: bool) -> None:
    if number in _wire.REPEATABLE and not nested:
        found.setdefault(number, []).append(value)
    elif number in found:
        raise ProtocolError(f"attribute {_wire.ATTRIBUTE_NAMES[number]} stands twice")
    else:
        found[number] = value
