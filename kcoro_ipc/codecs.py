"""From Python values to the bytes of an element and back.

A codec is anything with `encode(value) -> bytes` and `decode(bytes) -> value`. Channels take one
by name ("bytes", the default, "json", "msgpack") or as an object; `json(type)` and `msgpack(type)`
make one that also checks what it decodes. msgspec does the work and is imported on first use, so
bytes cost nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from kcoro_ipc.errors import InvalidArgument


class Codec(Protocol):
    def encode(self, value: Any, /) -> bytes: ...

    def decode(self, data: bytes, /) -> Any: ...


class DecodeError(InvalidArgument):
    """An element that arrived is not what the codec expects; `data` holds its bytes.

    The message was received all the same: a plain receive does not put it back. In a batch
    `before` are the values decoded before it, `rest` the elements after it, so nothing is lost.
    """

    def __init__(self, message: str, data: bytes = b"") -> None:
        super().__init__(message)
        self.data = data
        self.before: list[Any] = []
        self.rest: list[bytes] = []


class Bytes:
    """Elements as they are: bytes, bytearray and memoryview go out, bytes come in."""

    def encode(self, value: Any, /) -> bytes:
        if type(value) is bytes:
            return value
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        raise InvalidArgument(
            f"this channel carries bytes, not {type(value).__name__}; "
            "encode the value, or open the channel with codec='json'"
        )

    def decode(self, data: bytes, /) -> bytes:
        return data


class _Typed:
    """A pair of msgspec functions, with our errors."""

    def __init__(
        self,
        name: str,
        encode: Callable[[Any], bytes],
        decode: Callable[[bytes], Any],
        not_decodable: type[Exception],
    ) -> None:
        self._name = name
        self._encode = encode
        self._decode = decode
        self._not_decodable = not_decodable

    def encode(self, value: Any, /) -> bytes:
        try:
            return self._encode(value)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidArgument(f"{self._name} cannot hold this value: {error}") from error

    def decode(self, data: bytes, /) -> Any:
        try:
            return self._decode(data)
        except (self._not_decodable, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(f"an element is not valid {self._name}: {error}", data) from error


def json(type: Any = Any) -> Codec:
    """JSON text; with `type` (a class, dataclass, msgspec.Struct) checked and decoded into it."""
    import msgspec.json

    decode = msgspec.json.Decoder(type).decode
    return _Typed("JSON", msgspec.json.Encoder().encode, decode, msgspec.DecodeError)


def msgpack(type: Any = Any) -> Codec:
    """MessagePack; `type` as for `json`."""
    import msgspec.msgpack

    decode = msgspec.msgpack.Decoder(type).decode
    return _Typed("MessagePack", msgspec.msgpack.Encoder().encode, decode, msgspec.DecodeError)


_NAMED: dict[str, Callable[[], Codec]] = {"bytes": Bytes, "json": json, "msgpack": msgpack}


def find_codec(codec: Codec | str | None) -> Codec:
    """The codec of that name, the object itself, or bytes for None."""
    if codec is None:
        return Bytes()
    if isinstance(codec, str):
        if codec not in _NAMED:
            raise InvalidArgument(
                f"there is no codec {codec!r}; choose one of {', '.join(_NAMED)}, "
                "or pass an object with encode and decode"
            )
        return _NAMED[codec]()
    if not (hasattr(codec, "encode") and hasattr(codec, "decode")):
        raise InvalidArgument(f"{codec!r} is no codec: it needs encode and decode")
    return codec


def encode_many(codec: Codec, values: Iterable[Any]) -> list[bytes]:
    """All of them, or the error of the first that cannot be encoded."""
    given = list(values)
    if isinstance(codec, Bytes) and set(map(type, given)) <= {bytes}:
        return given
    return [codec.encode(value) for value in given]


def decode_many(codec: Codec, elements: Sequence[bytes]) -> list[Any]:
    """All of them; the DecodeError of the first that does not decode holds the others."""
    if isinstance(codec, Bytes):
        return elements if isinstance(elements, list) else list(elements)
    values: list[Any] = []
    for element in elements:
        try:
            values.append(codec.decode(element))
        except DecodeError as error:
            error.before = values
            error.rest = list(elements[len(values) + 1 :])
            raise
    return values
