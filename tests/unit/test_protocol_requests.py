"""Every frame a client builds is the canonical frame of kcoro_ipc/tlv.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kcoro_ipc import _wire, tlv
from kcoro_ipc.errors import InvalidArgument, MessageTooLong, NameTooLong
from kcoro_ipc.protocol import batches, requests
from kcoro_ipc.protocol.channels import ChannelInfo, make_pairs, open_pairs

SIZES = [0, 1, 3, 64, 65534, 65535, 65536, 70000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("flags", [0, _wire.FLAG_SEND_COMPLETE_ACK])
def test_a_send_is_the_canonical_frame(size: int, flags: int) -> None:
    element = bytes(size)
    pairs: list[tuple[str, object]] = [("REQ_ID", 7), ("CHAN_ID", 1001), ("TIMEOUT_MS", -1)]
    pairs += [("FLAGS", flags)] if flags else []
    expected = tlv.build_frame("CHAN_SEND", [*pairs, ("ELEMENT", element)], 1)
    assert requests.send(7, 1001, -1, element, flags) == expected


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=20))
def test_a_batch_is_the_canonical_frame(elements: list[bytes]) -> None:
    pairs = [("REQ_ID", 2**32 - 1), ("CHAN_ID", 2**32 - 1), ("TIMEOUT_MS", 2**31 - 1)]
    expected = tlv.build_frame("CHAN_SEND", [*pairs, *(("ELEMENT", e) for e in elements)], 1)
    assert requests.send_many(2**32 - 1, 2**32 - 1, 2**31 - 1, elements) == expected


def test_a_batch_with_a_long_element_is_the_canonical_frame() -> None:
    elements = [b"a", bytes(70000), b"", bytes(65535)]
    pairs = [("REQ_ID", 1), ("CHAN_ID", 2), ("TIMEOUT_MS", 0)]
    expected = tlv.build_frame("CHAN_SEND", [*pairs, *(("ELEMENT", e) for e in elements)], 1)
    assert requests.send_many(1, 2, 0, elements) == expected


@pytest.mark.parametrize("max_items", [0, 64])
@pytest.mark.parametrize("flags", [0, 1])
def test_a_receive_is_the_canonical_frame(max_items: int, flags: int) -> None:
    pairs = [("REQ_ID", 7), ("CHAN_ID", 1001), ("TIMEOUT_MS", 250)]
    pairs += [("FLAGS", flags)] if flags else []
    pairs += [("MAX_ITEMS", max_items)] if max_items else []
    expected = tlv.build_frame("CHAN_RECV", pairs, 1)
    assert requests.receive(7, 1001, 250, max_items, flags) == expected


def test_a_select_is_the_canonical_frame() -> None:
    clauses = [requests.Clause(1001, flags=1), requests.Clause(1002, b""), requests.Clause(3, b"x")]
    expected = tlv.build_frame(
        "SELECT",
        [
            ("REQ_ID", 9),
            ("TIMEOUT_MS", -1),
            ("FLAGS", 1),
            ("CLAUSE", [("CHAN_ID", 1001), ("FLAGS", 1)]),
            ("CLAUSE", [("CHAN_ID", 1002), ("ELEMENT", b"")]),
            ("CLAUSE", [("CHAN_ID", 3), ("ELEMENT", b"x")]),
        ],
        1,
    )
    assert requests.select(9, -1, clauses, flags=1) == expected


@pytest.mark.parametrize("count", [0, 65])
def test_a_select_of_no_or_too_many_clauses_is_refused_before_it_is_sent(count: int) -> None:
    with pytest.raises(InvalidArgument, match="1 to 64 clauses"):
        requests.select(1, 0, [requests.Clause(1001)] * count)


RANGES = [(2**64 - 1, 0, 1), (1, 2**40, 2**63)]


def desc(sent: tuple[int, int, int]) -> bytes:
    return b"".join(number.to_bytes(8, "big") for number in sent)


@pytest.mark.parametrize("ranges", [RANGES[:1], RANGES])
@pytest.mark.parametrize("flags", [0, _wire.FLAG_SEND_COMPLETE_ACK])
def test_ranges_go_out_as_the_canonical_frame(ranges: list, flags: int) -> None:
    pairs: list[tuple[str, object]] = [("REQ_ID", 7), ("CHAN_ID", 1001), ("TIMEOUT_MS", 250)]
    pairs += [("FLAGS", flags)] if flags else []
    pairs += [("DESC", desc(sent)) for sent in ranges]
    expected = tlv.build_frame("CHAN_SEND", pairs, 1)
    assert requests.send_ranges(7, 1001, 250, ranges, flags) == expected


@pytest.mark.parametrize("size", [0, 5, 65535])
@pytest.mark.parametrize("count", [1, 16])
def test_a_send_with_files_names_their_number_in_its_header(size: int, count: int) -> None:
    pairs = [("REQ_ID", 7), ("CHAN_ID", 1001), ("TIMEOUT_MS", -1), ("ELEMENT", bytes(size))]
    expected = tlv.build_frame("CHAN_SEND", pairs, 1, count)
    assert requests.send_files(7, 1001, -1, bytes(size), count) == expected


def test_a_select_says_which_files_are_whose() -> None:
    clauses = [
        requests.Clause(1, b"a", file_count=2),
        requests.Clause(2, sent=RANGES[1]),
        requests.Clause(3, b"", file_count=1),
        requests.Clause(4),
    ]
    expected = tlv.build_frame(
        "SELECT",
        [
            ("REQ_ID", 9),
            ("TIMEOUT_MS", -1),
            ("CLAUSE", [("CHAN_ID", 1), ("ELEMENT", b"a"), ("FILES", 2)]),
            ("CLAUSE", [("CHAN_ID", 2), ("DESC", desc(RANGES[1]))]),
            ("CLAUSE", [("CHAN_ID", 3), ("ELEMENT", b""), ("FILES", 1)]),
            ("CLAUSE", [("CHAN_ID", 4)]),
        ],
        1,
        3,
    )
    assert requests.select(9, -1, clauses) == expected


def test_the_longest_element_fits_whatever_is_said_of_it() -> None:
    most = _wire.MAX_SEQPACKET_FRAME_BYTES
    element = bytes(ChannelInfo("any", 1001, "unlimited", 0).longest_element(most))
    ttl_ms, flags = 1000, _wire.FLAG_SEND_FALLBACK_CAPACITY | _wire.FLAG_SEND_COMPLETE_ACK
    arms = [
        requests.Clause(1001, element, _wire.FLAG_CLAUSE_FALLBACK_CAPACITY),
        requests.Clause(1001, element, file_count=1),
    ]
    frames = [requests.select(9, -1, [arm], _wire.FLAG_SELECT_BIASED) for arm in arms]
    frames.append(requests.send(7, 1001, -1, element, flags, ttl_ms))
    frames.append(requests.send_files(7, 1001, -1, element, 1, flags, ttl_ms))
    lengths = [len(frame) - _wire.HEADER_BYTES for frame in frames]
    assert lengths == [most, most, most - 8, most - 8]


def test_a_select_takes_as_many_files_as_a_frame_and_no_more() -> None:
    full = [requests.Clause(1, b"", file_count=16)] * (_wire.MAX_FILES // 16)
    rest = requests.Clause(1, b"", file_count=_wire.MAX_FILES % 16)
    sent = requests.select(9, -1, [*full, rest])
    assert tlv.parse_frame(sent, 1).files == _wire.MAX_FILES
    with pytest.raises(InvalidArgument, match=f"at most {_wire.MAX_FILES} files"):
        requests.select(9, -1, [*full, rest, requests.Clause(1, b"", file_count=1)])


def test_regions_and_leases_are_the_canonical_frames() -> None:
    added = tlv.build_frame("REGION_ADD", [("REQ_ID", 5), ("SIZE", 1 << 40)], 1, 1)
    assert requests.region_add(5, 1 << 40) == added
    pairs: list[tuple[str, object]] = [("REQ_ID", 5), ("REGION_ID", 2**64 - 1), ("FLAGS", 1)]
    dropped = tlv.build_frame("REGION_DROP", pairs, 1)
    assert requests.region_drop(5, 2**64 - 1, _wire.FLAG_REGION_WAIT) == dropped
    released = tlv.build_frame("RELEASE", [("LEASE_ID", 2**64 - 1), ("LEASE_ID", 1)], 1)
    assert requests.release([2**64 - 1, 1]) == released


def test_cancel_ack_nack_and_hello_are_the_canonical_frames() -> None:
    assert requests.cancel(5) == tlv.build_frame("CANCEL", [("REQ_ID", 5)], 1)
    ids = [2**64 - 1, 1]
    pairs = [("REQ_ID", 5), *(("DELIVERY_ID", one) for one in ids)]
    assert requests.ack(5, ids) == tlv.build_frame("ACK", pairs, 1)
    assert requests.nack(5, ids) == tlv.build_frame("NACK", pairs, 1)
    named = [("ABI_MAJOR", 1), ("ABI_MINOR", 1), ("CAPS", 3), ("CLIENT_NAME", "żółw")]
    assert requests.hello("żółw") == tlv.build_frame("HELLO", named, 1)
    assert requests.hello() == tlv.build_frame("HELLO", named[:3], 1)


def test_make_writes_the_words_as_numbers() -> None:
    pairs = make_pairs(
        "jobs",
        {
            "kind": "buffered",
            "capacity": 64,
            "overflow": "drop_oldest",
            "undelivered": "dead_letter",
            "dead_letter": "dead",
            "max_attempts": 3,
            "max_bytes": 2**40,
            "mode": 0o660,
            "ack": "required",
            "ephemeral": True,
            "write": False,
        },
    )
    frame = tlv.parse_frame(requests.control(_wire.CMD_CHAN_MAKE, 3, pairs), 1)
    assert frame.cmd == _wire.CMD_CHAN_MAKE
    flags = _wire.FLAG_CHAN_READ | _wire.FLAG_CHAN_EPHEMERAL | _wire.FLAG_CHAN_ACK_REQUIRED
    expected = {
        "REQ_ID": 3, "NAME": b"jobs", "KIND": 1, "CAPACITY": 64, "OVERFLOW": 2, "UNDELIVERED": 3,
        "DEAD_LETTER": b"dead", "MAX_ATTEMPTS": 3, "MAX_BYTES": 2**40, "MODE": 0o660,
        "FLAGS": flags,
    }  # fmt: skip
    assert {name: frame.get(name) for name in expected} == expected
    assert len(frame.attributes) == len(expected)


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"capacity": 2}, 1), ({"capacity": 2, "kind": "unlimited"}, -2), ({"capacity": 0}, None)],
)
def test_a_capacity_alone_means_a_buffered_channel(options: dict, kind: int | None) -> None:
    assert dict(make_pairs("jobs", options)).get(_wire.ATTR_KIND) == kind


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"kind": "bufferd"}, "kind cannot be 'bufferd'; choose one of rendezvous"),
        ({"overflow": 1}, "overflow cannot be 1"),
        ({"ack": "maybe"}, "ack cannot be 'maybe'"),
        ({"capactiy": 3}, "no channel has the option capactiy"),
        ({"read": False, "write": False}, "a handle needs a right"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_what_can(options: dict, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        make_pairs("jobs", options)


@pytest.mark.parametrize("value", [-1, 2**32, "12", 1.5])
def test_a_number_that_does_not_fit_is_refused_by_name(value: object) -> None:
    pairs = make_pairs("jobs", {"capacity": value})
    with pytest.raises(InvalidArgument, match="capacity cannot be"):
        requests.control(_wire.CMD_CHAN_MAKE, 1, pairs)


def test_a_name_that_does_not_fit_is_refused() -> None:
    with pytest.raises(NameTooLong, match="256 bytes"):
        requests.control(_wire.CMD_CHAN_OPEN, 1, open_pairs("n" * 256, {}, 0))
    with pytest.raises(InvalidArgument, match="text for UTF-8"):
        requests.control(_wire.CMD_CHAN_OPEN, 1, open_pairs("\ud800", {}, 0))


def test_a_request_over_the_frame_limit_is_refused() -> None:
    clauses = [requests.Clause(1, bytes(9 << 20)), requests.Clause(1, bytes(9 << 20))]
    with pytest.raises(MessageTooLong, match="send it in parts"):
        requests.select(1, 0, clauses)


@given(
    st.lists(st.integers(0, 700).map(bytes), max_size=60),
    st.integers(100, 2000),
)
def test_a_list_is_cut_into_frames_that_fit_and_nothing_is_lost(
    elements: list[bytes], limit: int
) -> None:
    runs = list(batches.split(elements, limit))
    assert [element for run in runs for element in run] == elements
    for run in runs:
        payload = len(requests.send_many(1, 1, 1, run)) - _wire.HEADER_BYTES
        assert len(run) == 1 or payload <= limit
        assert 1 <= len(run) <= _wire.MAX_ITEMS


def test_a_list_is_cut_by_count() -> None:
    runs = list(batches.split([b"x"] * 2500, _wire.MAX_FRAME_BYTES))
    assert [len(run) for run in runs] == [1024, 1024, 452]
