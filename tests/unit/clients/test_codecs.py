"""Codecs: what goes out, what comes in, and what is said when it does not fit."""

from typing import Any

import msgspec
import pytest
import trio

from kcoro_ipc import codecs, errors, trio_errors


class Point(msgspec.Struct):
    x: int
    y: int = 0


@pytest.mark.parametrize("value", [b"x", bytearray(b"x"), memoryview(b"x")])
def test_bytes_take_anything_that_is_bytes(value: Any) -> None:
    codec = codecs.find_codec(None)
    assert codec.encode(value) == b"x"
    assert type(codec.encode(value)) is bytes
    assert codec.decode(b"y") == b"y"


@pytest.mark.parametrize("value", ["x", 1, None, [b"x"]])
def test_bytes_refuse_anything_else(value: Any) -> None:
    with pytest.raises(errors.InvalidArgument, match="this channel carries bytes"):
        codecs.find_codec("bytes").encode(value)


@pytest.mark.parametrize("name", ["json", "msgpack"])
@pytest.mark.parametrize("value", [None, 1, "ż", [1, [2]], {"a": {"b": 1.5}}])
def test_values_come_back(name: str, value: Any) -> None:
    codec = codecs.find_codec(name)
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize("make", [codecs.json, codecs.msgpack])
def test_a_typed_codec_checks_what_it_decodes(make: Any) -> None:
    codec = make(Point)
    assert codec.decode(codec.encode(Point(1))) == Point(1, 0)
    with pytest.raises(codecs.DecodeError) as caught:
        codec.decode(make().encode({"x": "no number"}))
    assert caught.value.data == make().encode({"x": "no number"})
    assert caught.value.code == errors.KC_EINVAL


@pytest.mark.parametrize("make", [codecs.json, codecs.msgpack])
@pytest.mark.parametrize("value", [object(), {1j: 1}, "\ud800"])
def test_a_value_that_cannot_be_held_is_refused(make: Any, value: Any) -> None:
    with pytest.raises(errors.InvalidArgument, match="cannot hold this value"):
        make().encode(value)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[1,"])
def test_what_is_no_json_is_a_decode_error(data: bytes) -> None:
    with pytest.raises(codecs.DecodeError, match="not valid JSON"):
        codecs.json().decode(data)


def test_a_batch_loses_nothing_to_one_element_that_does_not_decode() -> None:
    codec = codecs.json()
    with pytest.raises(codecs.DecodeError) as caught:
        codecs.decode_many(codec, [b"1", b"[2]", b"oops", b"3", b"4"])
    error = caught.value
    assert (error.before, error.data, error.rest) == ([1, [2]], b"oops", [b"3", b"4"])
    assert codecs.decode_many(codec, [b"1", b"2"]) == [1, 2]
    assert codecs.encode_many(codec, iter([1, [2]])) == [b"1", b"[2]"]
    plain = codecs.find_codec(None)
    assert codecs.encode_many(plain, [b"a", bytearray(b"b")]) == [b"a", b"b"]
    assert codecs.decode_many(plain, (b"a",)) == [b"a"]


def test_a_codec_that_is_none_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument, match="there is no codec 'yaml'; choose one of"):
        codecs.find_codec("yaml")
    with pytest.raises(errors.InvalidArgument, match="needs encode and decode"):
        codecs.find_codec(object())  # type: ignore[arg-type]
    own = codecs.Bytes()
    assert codecs.find_codec(own) is own


@pytest.mark.parametrize(
    ("code", "side", "trios"),
    [
        (errors.KC_EAGAIN, "", trio.WouldBlock),
        (errors.KC_EBADF, "", trio.ClosedResourceError),
        (errors.KC_EBUSY, "", trio.BusyResourceError),
        (errors.KC_EPIPE, "send", trio.BrokenResourceError),
        (errors.KC_EPIPE, "receive", trio.EndOfChannel),
        (errors.KC_ECONNRESET, "", trio.BrokenResourceError),
        (errors.KC_ECANCELED, "", trio.BrokenResourceError),
    ],
)
def test_trios_names_stand_for_the_same_codes(code: int, side: str, trios: type) -> None:
    error = errors.error_for(code, side=side, table=trio_errors.TRIO_ERRORS, reason="why")
    plain = errors.error_for(code, side=side)
    assert isinstance(error, trios)
    assert isinstance(error, type(plain))
    assert (error.code, error.reason) == (code, "why")
    assert not isinstance(plain, trios)
