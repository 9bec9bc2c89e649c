"""Open files in the stream of replies: each frame gets its own, however the bytes are cut.

The files are real ones, so that what nobody takes can be seen to be closed.
"""

import gc
import itertools
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcoro_ipc import _wire, tlv
from kcoro_ipc.errors import ProtocolError
from kcoro_ipc.files import Loose, move
from kcoro_ipc.protocol.deliveries import WithFiles, bodies_of, deliveries_of
from kcoro_ipc.protocol.exchange import Exchange
from kcoro_ipc.protocol.replies import Reply, ReplyReader, whole_reply


def received(element: bytes, files: int = 0) -> bytes:
    pairs = [("REQ_ID", 7), ("RESULT", 0), ("ELEMENT", element)]
    return tlv.build_frame("CHAN_RECV", pairs, 1, files)


def some_files(count: int) -> Loose:
    own = Loose()
    own.extend(os.dup(0) for _ in range(count))
    return own


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@pytest.fixture
def reader() -> Iterator[ReplyReader]:
    yield ReplyReader()
    gc.collect()


def feed_cut(data: bytes, heads: dict[int, int], cuts: list[int]) -> list[tuple[bytes, int]]:
    """As the kernel gives it: the files of a frame come with the read that holds its first byte,
    and a read ends at the latest where files begin once more. `heads`: files by first byte."""
    reader = ReplyReader()
    found = []
    places = sorted({0, *(cut % len(data) for cut in cuts), *heads, len(data)})
    for start, stop in itertools.pairwise(places):
        for reply in reader.feed(data[start:stop], some_files(heads.get(start, 0))):
            found.append((bytes(reply.elements[0]), len(reply.files)))
            reply.files.close()
    assert reader.failure is None
    return found


@given(
    st.lists(st.tuples(st.binary(max_size=30), st.integers(0, 3)), min_size=1, max_size=6),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_each_message_gets_its_files_however_the_stream_is_cut(
    messages: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    data, heads = b"", {}
    for element, count in messages:
        if count:
            heads[len(data)] = count
        data += received(element, count)
    assert feed_cut(data, heads, cuts) == messages


def test_a_message_gets_its_files_when_the_stream_is_cut_at_any_byte() -> None:
    messages = [(b"plain", 0), (b"two", 2), (b"", 1), (b"end", 0)]
    frames = [received(element, count) for element, count in messages]
    heads = {len(frames[0]): 2, len(frames[0] + frames[1]): 1}
    data = b"".join(frames)
    for cut in range(len(data)):
        assert feed_cut(data, heads, [cut]) == messages, cut
    assert feed_cut(data, heads, list(range(len(data)))) == messages


def test_the_files_are_the_very_numbers_that_came_and_in_order(reader: ReplyReader) -> None:
    files = some_files(3)
    numbers = list(files)
    first, second = reader.feed(received(b"a", 1) + received(b"b", 2), files)
    assert (first.files, second.files) == (numbers[:1], numbers[1:])
    assert files == []


def test_what_nobody_takes_of_a_reply_is_closed_with_it(reader: ReplyReader) -> None:
    files = some_files(2)
    numbers = list(files)
    replies = reader.feed(received(b"a", 2), files)
    assert all(map(is_open, numbers))
    del replies
    assert not any(map(is_open, numbers))


@pytest.mark.parametrize("came", [0, 1])
def test_a_frame_that_names_more_files_than_came_ends_the_stream(
    reader: ReplyReader, came: int
) -> None:
    data = received(b"before") + received(b"a", 2) + received(b"after")
    files = some_files(came)
    numbers = list(files)
    assert [reply.elements for reply in reader.feed(data, files)] == [(b"before",)]
    assert "names more files than came" in str(reader.failure)
    late = some_files(1)
    numbers += late
    assert reader.feed(received(b"x"), late) == []
    assert not any(map(is_open, numbers)), "the reader lives, what it will never give away does not"


@pytest.mark.parametrize("named", [0, 1])
def test_files_that_no_frame_names_end_the_stream_after_the_replies(
    reader: ReplyReader, named: int
) -> None:
    (reply,) = reader.feed(received(b"a", named), some_files(named + 1))
    assert (reply.elements, len(reply.files)) == ((b"a",), named)
    assert "files came that no frame names" in str(reader.failure)


def test_files_with_the_beginning_of_a_frame_wait_for_its_end(reader: ReplyReader) -> None:
    data = received(b"a", 1)
    assert reader.feed(data[:3], some_files(1)) == []
    assert reader.failure is None
    (reply,) = reader.feed(data[3:])
    assert len(reply.files) == 1


def test_a_frame_that_turns_out_to_name_no_files_ends_the_stream(reader: ReplyReader) -> None:
    data = received(b"a")
    assert reader.feed(data[:3], some_files(1)) == []
    assert len(reader.feed(data[3:])) == 1
    assert isinstance(reader.failure, ProtocolError)


def test_taking_files_may_be_repeated(reader: ReplyReader) -> None:
    files = some_files(2)
    (reply,) = reader.feed(received(b"a", 2), files)
    late = some_files(1)
    reply.take_files(late)  # type: ignore[attr-defined]
    assert (len(reply.files), len(late)) == (2, 1)


def test_the_short_way_leaves_a_reply_with_files_to_the_reader() -> None:
    assert whole_reply(received(b"a")) is not None
    assert whole_reply(received(b"a", 1)) is None


# --- messages ---


def test_a_message_with_files_is_its_bytes_and_they(reader: ReplyReader) -> None:
    (reply,) = reader.feed(received(b"a", 2), some_files(2))
    (body,) = bodies_of(reply)
    assert isinstance(body, WithFiles)
    assert (body.element, body.files) == (b"a", reply.files)


def test_a_delivery_with_files_is_its_bytes_and_they(reader: ReplyReader) -> None:
    item = [("ELEMENT", b"a"), ("DELIVERY_ID", 9), ("REDELIVERED", 1)]
    data = tlv.build_frame("CHAN_RECV", [("REQ_ID", 7), ("RESULT", 0), ("ITEM", item)], 1, 1)
    (reply,) = reader.feed(data, some_files(1))
    ((body, delivery_id, attempts, _),) = deliveries_of(reply)
    assert isinstance(body, WithFiles)
    assert (body.element, len(body.files), delivery_id, attempts) == (b"a", 1, 9, 1)


@pytest.mark.parametrize(
    "pairs",
    [
        [("ELEMENT", b"a"), ("ELEMENT", b"b")],
        [("DESC", bytes(32))],
    ],
)
def test_files_with_what_is_not_one_message_of_bytes_are_refused(
    reader: ReplyReader, pairs: list
) -> None:
    data = tlv.build_frame("CHAN_RECV", [("REQ_ID", 7), ("RESULT", 0), *pairs], 1, 1)
    (reply,) = reader.feed(data, some_files(1))
    with pytest.raises(ProtocolError, match="what is not one message"):
        bodies_of(reply)


# --- notices ---


def notice(cmd: str, *pairs: tuple[str, object], files: int = 0) -> bytes:
    return tlv.build_frame(cmd, pairs, 1, files)


def test_notices_go_to_their_handler_in_order_and_are_no_last_word() -> None:
    exchange: Exchange[str] = Exchange()
    exchange.add(exchange.new_id(), "a")
    heard: list[Reply] = []
    exchange.on_notice = heard.append
    answer = tlv.build_frame("CHAN_SEND", [("REQ_ID", 1), ("RESULT", 0)], 1)
    data = notice("REGION_MAP", ("REGION_ID", 5), ("SIZE", 4096), files=1)
    data += notice("REGION_FREED", ("DESC", bytes(32)), ("DESC", b"\1" * 32)) + answer
    data += notice("REGION_GONE", ("REGION_ID", 5))
    assert [who for who, _ in exchange.feed(data, some_files(1))] == ["a"]
    assert [reply.cmd for reply in heard] == [
        _wire.CMD_REGION_MAP,
        _wire.CMD_REGION_FREED,
        _wire.CMD_REGION_GONE,
    ]
    assert len(heard[0].files) == 1
    assert heard[1].get(_wire.ATTR_DESC) == [bytes(32), b"\1" * 32]
    assert exchange.failure is None


def test_a_notice_that_its_handler_refuses_ends_the_connection() -> None:
    exchange: Exchange[str] = Exchange()

    def refuse(reply: Reply) -> None:
        raise ProtocolError("bad region")

    exchange.on_notice = refuse
    assert exchange.feed(notice("REGION_GONE", ("REGION_ID", 5))) == []
    assert "bad region" in str(exchange.failure)


def test_a_notice_that_nobody_expects_ends_the_connection() -> None:
    exchange: Exchange[str] = Exchange()
    exchange.feed(notice("REGION_GONE", ("REGION_ID", 5)))
    assert "never asked for" in str(exchange.failure)


@pytest.mark.parametrize("cmd", ["REGION_MAP", "REGION_FREED", "REGION_GONE", "PING"])
def test_a_word_about_the_connection_is_no_notice(cmd: str) -> None:
    exchange: Exchange[str] = Exchange()
    exchange.on_notice = lambda reply: pytest.fail("it was taken for a notice")
    exchange.feed(notice(cmd, ("RESULT", _wire.KC_EPROTO)))
    assert isinstance(exchange.failure, ProtocolError)


def test_moving_numbers_keeps_their_order_and_counts() -> None:
    source, target = Loose(), Loose()
    source.extend(os.dup(0) for _ in range(3))
    numbers = list(source)
    move(source, target, 2)
    assert (source, target) == (numbers[2:], numbers[:2])
