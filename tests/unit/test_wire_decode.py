"""Frames for human eyes: what is shown, and that nothing fed to the decoder can upset it."""

from hypothesis import given
from hypothesis import strategies as st

from kcoro_ipc import tlv
from kcoro_ipc.decode import Decoder, decode

HELLO_1_1 = tlv.build_frame("HELLO", [("ABI_MAJOR", 1), ("ABI_MINOR", 1)], minor=0)
HELLO_1_0 = tlv.build_frame("HELLO", [("ABI_MAJOR", 1), ("ABI_MINOR", 0)], minor=0)


def test_commands_attributes_and_values_have_names():
    make = [("REQ_ID", 1), ("NAME", "jobs"), ("KIND", -2), ("FLAGS", 0x83), ("OVERFLOW", 2)]
    data = HELLO_1_1 + tlv.build_frame("CHAN_MAKE", make, minor=1, files=2)
    assert list(decode(data)) == [
        "#1 at byte 0: HELLO, 16 bytes",
        "    ABI_MAJOR 1",
        "    ABI_MINOR 1",
        "#2 at byte 24: CHAN_MAKE, 40 bytes, 2 files",
        "    REQ_ID 1",
        '    NAME "jobs"',
        "    KIND -2 unlimited",
        "    FLAGS 131 read|write|0x80",
        "    OVERFLOW 2 drop_oldest",
    ]


def test_results_timeouts_and_counters_are_explained():
    reply = [("RESULT", -62), ("TIMEOUT_MS", -1), ("STAT", [("STAT_ID", 2), ("VALUE", 9)])]
    assert list(decode(tlv.build_frame("GET_STATS", reply, minor=1), minor=1))[1:] == [
        "    RESULT -62 ETIME",
        "    TIMEOUT_MS -1 for ever",
        "    STAT",
        "        STAT_ID 2 total_recvs",
        "        VALUE 9",
    ]


def test_clauses_stand_indented_with_their_own_flags():
    clause = [("CHAN_ID", 1001), ("FLAGS", 1), ("ELEMENT", b"\x00\xff")]
    data = tlv.build_frame("SELECT", [("FLAGS", 1), ("CLAUSE", clause)], minor=1)
    assert list(decode(data, minor=1))[1:] == [
        "    FLAGS 1 biased",
        "    CLAUSE",
        "        CHAN_ID 1001",
        "        FLAGS 1 ack",
        "        ELEMENT 00ff",
    ]


def words(*numbers):
    return b"".join(number.to_bytes(8, "big") for number in numbers)


def test_a_descriptor_is_shown_as_a_range_of_a_region():
    clause = [("CHAN_ID", 1001), ("DESC", words(1, 2, 3)), ("FILES", 2)]
    data = tlv.build_frame("CHAN_SEND", [("DESC", words(5, 4096, 512))], minor=1)
    data += tlv.build_frame("SELECT", [("CLAUSE", clause)], minor=1)
    assert list(decode(data, minor=1)) == [
        "#1 at byte 0: CHAN_SEND, 28 bytes",
        "    DESC region 5, offset 4096, length 512",
        "#2 at byte 36: SELECT, 48 bytes",
        "    CLAUSE",
        "        CHAN_ID 1001",
        "        DESC region 1, offset 2, length 3",
        "        FILES 2",
    ]


def test_the_fourth_word_of_a_descriptor_is_a_lease_or_says_how_it_was_freed():
    reply = [("DESC", words(5, 0, 1, 2**64 - 1)), ("ITEM", [("DESC", words(5, 1, 1, 7))])]
    freed = [("DESC", words(5, 0, 1, flags)) for flags in (0, 1, 3)]
    data = tlv.build_frame("CHAN_RECV", reply, minor=1)
    data += tlv.build_frame("REGION_FREED", freed, minor=1)
    assert [line for line in decode(data, minor=1) if "DESC" in line] == [
        "    DESC region 5, offset 0, length 1, lease 18446744073709551615",
        "        DESC region 5, offset 1, length 1, lease 7",
        "    DESC region 5, offset 0, length 1, flags 0",
        "    DESC region 5, offset 0, length 1, flags 1 lost",
        "    DESC region 5, offset 0, length 1, flags 3 lost|0x2",
    ]


def test_a_descriptor_of_another_length_is_shown_as_bytes():
    values = [b"", b"\xff", bytes(23), bytes(25), bytes(31), bytes(33)]
    data = tlv.build_frame("CHAN_SEND", [("DESC", value) for value in values], minor=1)
    lines = list(decode(data, minor=1))[1:]
    assert lines[1] == "    DESC ff (not 24 or 32 bytes: EINVAL)"
    assert [line.endswith("(not 24 or 32 bytes: EINVAL)") for line in lines] == [True] * 6


def test_frames_about_regions_have_names_for_their_bits():
    data = tlv.build_frame("HELLO", [("CAPS", 7)], minor=0)
    data += tlv.build_frame("REGION_DROP", [("REGION_ID", 5), ("FLAGS", 3)], minor=1)
    data += tlv.build_frame("RELEASE", [("LEASE_ID", 7), ("LEASE_ID", 8)], minor=1)
    assert list(decode(data, minor=1)) == [
        "#1 at byte 0: HELLO, 8 bytes",
        "    CAPS 7 descriptors|files|0x4",
        "#2 at byte 16: REGION_DROP, 20 bytes",
        "    REGION_ID 5",
        "    FLAGS 3 wait|revoke",
        "#3 at byte 44: RELEASE, 24 bytes",
        "    LEASE_ID 7",
        "    LEASE_ID 8",
    ]


def test_what_a_peer_would_skip_is_shown():
    data = bytes.fromhex("006300000000000d 7fff000161 0006000400000004".replace(" ", ""))
    data = data[:4] + (len(data) - 8).to_bytes(4, "big") + data[8:]
    assert list(decode(data)) == [
        "#1 at byte 0: command 99, 13 bytes",
        '    attribute 32767 "a"',
        "    ELEM_SIZE 4",
    ]
    unseen = bytes.fromhex("000b0000000000060006000200ff")
    assert list(decode(unseen, minor=0))[1:] == ["    ELEM_SIZE 00ff (not 4 bytes: not seen)"]


def test_the_minor_is_the_lowest_hello_seen_unless_told():
    extended = tlv.build_frame("CHAN_SEND", [("ELEMENT", bytes(70_000))], minor=1)
    assert "cut short" not in "\n".join(decode(HELLO_1_1 + extended))
    assert list(decode(HELLO_1_1 + extended))[4].endswith("... (70000 bytes)")
    for hellos in (HELLO_1_0, HELLO_1_1 + HELLO_1_0, HELLO_1_0 + HELLO_1_1):
        assert "EPROTO" in list(decode(hellos + extended))[-1]
        assert "EPROTO" not in list(decode(hellos + extended, minor=1))[-1]


def test_a_fault_names_its_place_and_ends_the_listing():
    bad = tlv.build_frame("PING", [], minor=1)[:4] + b"\xff\xff\xff\xff"
    decoder = Decoder()
    lines = list(decoder.feed(HELLO_1_1 + bad))
    assert lines[-1].startswith("at byte 24: EMSGSIZE: ")
    assert list(decoder.feed(HELLO_1_1)) == []
    assert list(decoder.finish()) == []


def test_a_frame_that_is_cut_short_is_told():
    assert list(decode(HELLO_1_1 + HELLO_1_1[:11]))[-1] == (
        "at byte 24: 11 bytes of a frame that is cut short"
    )


def test_control_characters_never_reach_the_terminal():
    data = tlv.build_frame("CHAN_OPEN", [("NAME", "a\x1b[31m"), ("REASON", b"\xff")], minor=1)
    assert list(decode(data, minor=1))[1:] == [
        "    NAME 611b5b33316d (not plain UTF-8)",
        "    REASON ff (not plain UTF-8)",
    ]


@given(st.binary(max_size=120), st.integers(1, 50), st.sampled_from([None, 0, 1]))
def test_bytes_in_pieces_give_the_lines_of_the_whole(data, piece, minor):
    decoder = Decoder(minor)
    stream = HELLO_1_1 + data
    lines = [
        line
        for at in range(0, len(stream), piece)
        for line in decoder.feed(stream[at : at + piece])
    ]
    assert [*lines, *decoder.finish()] == list(decode(stream, minor))
    assert all(line.isprintable() for line in lines)
