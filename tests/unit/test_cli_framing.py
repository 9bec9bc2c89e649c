"""Splitting input into messages and joining messages into output, without I/O."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcoro_ipc.cli.framing import JOINERS, Messages, Splitter, splitter
from kcoro_ipc.errors import InvalidArgument, MessageTooLong

LIMIT = 64
CUTS = st.lists(st.integers(0, 400), max_size=8)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(places)]


def all_of(source: Splitter, data: bytes, cuts: list[int]) -> list[bytes]:
    found: list[bytes] = []
    for piece in pieces(data, cuts):
        found += source.feed(piece)
    return found + list(source.finish())


def without(sign: bytes) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=20).map(lambda data: data.replace(sign, b"?"))


@pytest.mark.parametrize(
    ("framing", "message"),
    [("lines", without(b"\n")), ("nul", without(b"\0")), ("length", st.binary(max_size=20))],
)
def test_what_was_joined_is_split_into_the_same_messages(
    framing: str, message: st.SearchStrategy[bytes]
) -> None:
    @given(st.lists(message, min_size=1, max_size=12), CUTS)
    def check(messages: Messages, cuts: list[int]) -> None:
        source = splitter(framing, LIMIT)
        assert all_of(source, JOINERS[framing](messages), cuts) == messages
        assert source.failure is None

    check()


@given(st.binary(max_size=60), CUTS)
def test_whole_input_is_one_message(data: bytes, cuts: list[int]) -> None:
    assert all_of(splitter("whole", LIMIT), data, cuts) == [data]


@given(st.sampled_from(["lines", "nul", "length", "whole"]), st.binary(max_size=300), CUTS)
def test_any_input_gives_the_same_messages_and_verdict_however_it_is_cut(
    framing: str, data: bytes, cuts: list[int]
) -> None:
    at_once, cut = splitter(framing, LIMIT), splitter(framing, LIMIT)
    assert all_of(at_once, data, []) == all_of(cut, data, cuts)
    assert type(at_once.failure) is type(cut.failure)


def test_the_last_line_may_lack_its_newline_and_an_empty_line_is_a_message() -> None:
    source = splitter("lines", LIMIT)
    assert list(source.feed(b"a\n\nb")) == [b"a", b""]
    assert source.finish() == [b"b"]
    assert splitter("lines", LIMIT).finish() == []


@pytest.mark.parametrize("framing", ["lines", "nul"])
def test_messages_before_one_that_is_too_long_are_still_given_back(framing: str) -> None:
    source = splitter(framing, LIMIT)
    long = b"x" * (LIMIT + 1)
    assert source.feed(JOINERS[framing]([b"a", b"b", long, b"c"])) == [b"a", b"b"]
    assert isinstance(source.failure, MessageTooLong)
    assert source.feed(b"d\n\0") == []
    assert source.finish() == []


def test_a_message_that_never_ends_is_refused_before_it_fills_the_memory() -> None:
    for framing in ("lines", "nul", "whole"):
        source = splitter(framing, LIMIT)
        source.feed(b"x" * LIMIT)
        assert source.failure is None
        source.feed(b"x")
        assert isinstance(source.failure, MessageTooLong)


def test_a_length_over_the_limit_is_refused_before_its_content_comes() -> None:
    source = splitter("length", LIMIT)
    assert source.feed(b"\0\0\0\1a" + (LIMIT + 1).to_bytes(4, "big")) == [b"a"]
    assert isinstance(source.failure, MessageTooLong)
    assert str(LIMIT + 1) in str(source.failure)


def test_input_that_ends_inside_a_message_with_a_length_is_refused() -> None:
    source = splitter("length", LIMIT)
    assert source.feed(b"\0\0\0\3ab") == []
    assert source.finish() == []
    assert isinstance(source.failure, InvalidArgument)


def test_raw_output_has_nothing_between_the_messages() -> None:
    assert JOINERS["raw"]([b"a", b"", b"bc"]) == b"abc"
