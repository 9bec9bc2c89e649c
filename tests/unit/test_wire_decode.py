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
