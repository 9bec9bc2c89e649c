"""What the client understands of the bytes a daemon sends: replies, however the bytes are cut."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kcoro_ipc import _wire, tlv
from kcoro_ipc.errors import FrameTooLong, ProtocolError
from kcoro_ipc.protocol.replies import Reply, ReplyReader, whole_reply

Parsed = tuple[int, int, int | None, tuple[bytes, ...]]


def parsed(replies: list[Reply]) -> list[Parsed]:
    return [(r.cmd, r.req_id, r.result, tuple(r.elements)) for r in replies]


def reply(cmd: str, *pairs: tuple[str, object]) -> bytes:
    return tlv.build_frame(cmd, pairs, 1)


def feed_whole(data: bytes) -> tuple[list[Parsed], type | None]:
    reader = ReplyReader()
    replies = parsed(reader.feed(data))
    return replies, type(reader.failure) if reader.failure else None


def feed_bytewise(data: bytes) -> tuple[list[Parsed], type | None]:
    reader = ReplyReader()
    replies = [one for place in range(len(data)) for one in reader.feed(data[place : place + 1])]
    return parsed(replies), type(reader.failure) if reader.failure else None


RECEIVED = reply("CHAN_RECV", ("REQ_ID", 7), ("RESULT", 0), ("ELEMENT", b"payload"))
SENT = reply("CHAN_SEND", ("REQ_ID", 8), ("RESULT", -11))
BATCH = reply("CHAN_RECV", ("REQ_ID", 9), ("RESULT", 0), *[("ELEMENT", b"abc")] * 5)
MIXED = reply(
    "CHAN_RECV", ("REQ_ID", 9), ("RESULT", 0), *[("ELEMENT", bytes(n)) for n in (3, 0, 5)]
)
LONG = reply(
    "CHAN_RECV", ("REQ_ID", 9), ("RESULT", 0), *[("ELEMENT", bytes(n)) for n in (70000, 2)]
)
COUNTED = reply("CHAN_SEND", ("REQ_ID", 9), ("RESULT", 0), ("COUNT", 3), ("DROPPED", 1))
ODD_ORDER = reply("CHAN_RECV", ("ELEMENT", b"x"), ("RESULT", 0), ("REQ_ID", 3))
EVENT = reply("SUBSCRIBE", ("REQ_ID", 4), ("STAT", [("STAT_ID", 1), ("VALUE", 2)]))
JOB = [("ELEMENT", b"job"), ("DELIVERY_ID", 2**63), ("REDELIVERED", 2)]
JOBS = reply("CHAN_RECV", ("REQ_ID", 5), ("RESULT", 0), *[("ITEM", JOB)] * 3)
OTHER_JOB = [("ELEMENT", b"longer"), ("DELIVERY_ID", 1), ("REDELIVERED", 0)]
MIXED_JOBS = reply("CHAN_RECV", ("REQ_ID", 5), ("RESULT", 0), ("ITEM", JOB), ("ITEM", OTHER_JOB))
ALL = [RECEIVED, SENT, BATCH, MIXED, LONG, COUNTED, ODD_ORDER, EVENT, JOBS, MIXED_JOBS]
ALL_PARSED: list[Parsed] = [
    (13, 7, 0, (b"payload",)),
    (11, 8, -11, ()),
    (13, 9, 0, (b"abc",) * 5),
    (13, 9, 0, (bytes(3), b"", bytes(5))),
    (13, 9, 0, (bytes(70000), bytes(2))),
    (11, 9, 0, ()),
    (13, 3, 0, (b"x",)),
    (44, 4, None, ()),
    (13, 5, 0, ()),
    (13, 5, 0, ()),
]


def test_one_feed_gives_every_reply_of_the_batch() -> None:
    assert feed_whole(b"".join(ALL)) == (ALL_PARSED, None)


@pytest.mark.parametrize("piece", [1, 7, 8, 24, 1000, 65536])
def test_replies_are_the_same_however_the_stream_is_cut(piece: int) -> None:
    data = b"".join(ALL)
    reader = ReplyReader()
    got = [one for at in range(0, len(data), piece) for one in reader.feed(data[at : at + piece])]
    assert parsed(got) == ALL_PARSED
    assert reader.wanted_bytes == 0


def test_what_stands_beside_the_elements_is_kept() -> None:
    (counted,) = ReplyReader().feed(COUNTED)
    assert counted.get(_wire.ATTR_COUNT) == 3
    assert counted.get(_wire.ATTR_DROPPED) == 1
    assert counted.get(_wire.ATTR_INDEX, None) is None


def test_items_are_dictionaries() -> None:
    item = [("ELEMENT", b"job"), ("DELIVERY_ID", 2**63), ("REDELIVERED", 2)]
    (got,) = ReplyReader().feed(reply("CHAN_RECV", ("REQ_ID", 1), ("RESULT", 0), ("ITEM", item)))
    assert got.get(_wire.ATTR_ITEM) == [
        {_wire.ATTR_ELEMENT: b"job", _wire.ATTR_DELIVERY_ID: 2**63, _wire.ATTR_REDELIVERED: 2}
    ]


@pytest.mark.parametrize("jobs", [[JOB] * 3, [JOB, OTHER_JOB], [JOB[::-1]], [JOB[:2]], [[]]])
def test_items_read_the_short_way_and_the_general_way_are_the_same(jobs: list) -> None:
    frame = reply("CHAN_RECV", ("REQ_ID", 1), ("RESULT", 0), *(("ITEM", job) for job in jobs))
    (got,) = ReplyReader().feed(frame)
    found = tlv.parse_frame(frame, 1).all("ITEM")
    assert got.get(_wire.ATTR_ITEM) == [dict(item) for item in found]


def test_the_reader_says_how_many_bytes_a_frame_lacks() -> None:
    reader = ReplyReader()
    assert reader.feed(RECEIVED[:3]) == []
    assert reader.wanted_bytes == _wire.HEADER_BYTES - 3
    assert reader.feed(RECEIVED[3:10]) == []
    assert reader.wanted_bytes == len(RECEIVED) - 10


def test_replies_before_a_bad_frame_are_given_back_and_nothing_after_it() -> None:
    reader = ReplyReader()
    bad = b"\0\x0d\xff\0\0\0\0\0"
    assert parsed(reader.feed(SENT + bad + SENT)) == [(11, 8, -11, ())]
    assert isinstance(reader.failure, ProtocolError)
    assert reader.feed(SENT) == []


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\0\x0d\x01\0\0\0\0\0", ProtocolError),
        (b"\0\x0d\0\x01\0\0\0\0", ProtocolError),
        (b"\0\x0d\0\0\x02\0\0\0", FrameTooLong),
        (b"\0\x0d\0\0\xff\xff\xff\xff", FrameTooLong),
    ],
)
def test_a_header_that_cannot_be_ends_the_stream_at_once(data: bytes, error: type) -> None:
    reader = ReplyReader()
    assert reader.feed(data) == []
    assert type(reader.failure) is error


PIECES = st.sampled_from([*ALL[:4], *ALL[5:]])


@st.composite
def spoiled_streams(draw: st.DrawFn) -> bytes:
    """A few frames, some bytes of which were changed, inserted or cut out."""
    data = bytearray(b"".join(draw(st.lists(PIECES, min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data) - 1))
        data[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
        if not data:
            return b"\0"
    return bytes(data)


@given(spoiled_streams())
@example(RECEIVED[:8] + b"\0\x1a" + RECEIVED[10:])
def test_any_bytes_give_the_same_verdict_whole_and_byte_by_byte(data: bytes) -> None:
    assert feed_whole(data) == feed_bytewise(data)


def reference(frame: bytes) -> list[Parsed] | type:
    try:
        found = tlv.parse_frame(frame, 1)
    except ProtocolError as error:
        return type(error)
    if found.files:
        return ProtocolError  # no reply of this version brings files
    elements = tuple(found.all("ELEMENT"))
    return [(found.cmd, found.get("REQ_ID", 0), found.get("RESULT"), elements)]


@given(PIECES, st.data())
def test_a_spoiled_payload_is_judged_as_the_definition_judges_it(
    frame: bytes, data: st.DataObject
) -> None:
    payload = bytearray(frame[8:])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(payload) - 1))
        payload[place] = data.draw(st.integers(0, 255))
    spoiled = frame[:8] + bytes(payload)
    replies, failure = feed_whole(spoiled)
    assert (failure or replies) == reference(spoiled)
    at_once = whole_reply(spoiled)
    assert at_once is None or parsed([at_once]) == replies


def test_daily_replies_are_read_at_once_and_no_others() -> None:
    short = reply("CHAN_RECV", ("REQ_ID", 7), ("RESULT", 0), ("ELEMENT", b""))
    largest = reply("CHAN_RECV", ("REQ_ID", 7), ("RESULT", 0), ("ELEMENT", bytes(65534)))
    longer = reply("CHAN_RECV", ("REQ_ID", 7), ("RESULT", 0), ("ELEMENT", bytes(65535)))
    for data in (RECEIVED, SENT, short, largest):
        at_once = whole_reply(data)
        assert at_once is not None
        assert parsed([at_once]) == feed_whole(data)[0]
    for data in (
        *ALL[2:],
        longer,
        RECEIVED[:-1],
        RECEIVED + b"x",
        RECEIVED + SENT,
        b"",
        b"\0" * 24,
    ):
        assert whole_reply(data) is None


@pytest.mark.parametrize(
    "pairs",
    [
        [("REQ_ID", 1), ("RESULT", 0), ("RESULT", 0)],
        [("REQ_ID", 1), ("RESULT", 0), ("ELEMENT", b"x"), ("REQ_ID", 1)],
        [("REQ_ID", 1), ("RESULT", 0), (0x8000 | 5000, b"")],
        [("REQ_ID", 1), ("RESULT", b"\0\0")],
        [("REQ_ID", 1), ("RESULT", 0), ("ITEM", [("COUNT", 1), ("COUNT", 1)])],
    ],
)
def test_a_payload_the_definition_refuses_is_refused(pairs: list) -> None:
    frame = tlv.build_frame("CHAN_RECV", pairs, 1)
    assert reference(frame) is ProtocolError
    assert feed_whole(frame) == ([], ProtocolError)


def test_an_unknown_attribute_is_passed_over() -> None:
    frame = reply("CHAN_RECV", ("REQ_ID", 1), ("RESULT", 0), ("ELEMENT", b"x"), (5000, b"later"))
    assert feed_whole(frame) == ([(13, 1, 0, (b"x",))], None)
