"""Frames measured on the older server: ours are the same bytes, in construct and in C."""

import pytest

from kcoro_ipc import _kcoro, tlv

ffi, lib = _kcoro.ffi, _kcoro.lib

TRY = ("TIMEOUT_MS", 0)
CHAN = ("CHAN_ID", 1001)

# name -> (hex of the frame, command, attributes in order)
GOLDEN = {
    "hello": (
        "0001000000000010 0001000400000001 0002000400000000",
        "HELLO",
        [("ABI_MAJOR", 1), ("ABI_MINOR", 0)],
    ),
    "make buffered, 4 bytes, capacity 2": (
        "000a000000000020 0005000400000001 0006000400000004 0007000400000002 001a000400000055",
        "CHAN_MAKE",
        [("KIND", 1), ("ELEM_SIZE", 4), ("CAPACITY", 2), ("REQ_ID", 0x55)],
    ),
    "make answered": (
        "000a000000000010 001a000400000055 00140004000003e9",
        "CHAN_MAKE",
        [("REQ_ID", 0x55), CHAN],
    ),
    "send, try": (
        "000b000000000020 00140004000003e9 0008000400000000 0015000461626364 001a000400000007",
        "CHAN_SEND",
        [CHAN, TRY, ("ELEMENT", b"abcd"), ("REQ_ID", 7)],
    ),
    "send answered": (
        "000b000000000010 001a000400000007 0016000400000000",
        "CHAN_SEND",
        [("REQ_ID", 7), ("RESULT", 0)],
    ),
    "receive, try": (
        "000d000000000018 00140004000003e9 0008000400000000 001a000400000008",
        "CHAN_RECV",
        [CHAN, TRY, ("REQ_ID", 8)],
    ),
    "receive answered": (
        "000d000000000018 001a000400000008 0016000400000000 0015000461626364",
        "CHAN_RECV",
        [("REQ_ID", 8), ("RESULT", 0), ("ELEMENT", b"abcd")],
    ),
    "receive, nothing there": (
        "000d000000000010 001a000400000009 00160004fffffff5",
        "CHAN_RECV",
        [("REQ_ID", 9), ("RESULT", -11)],
    ),
    "receive timed out": (
        "000d000000000008 00160004ffffffc2",
        "CHAN_RECV",
        [("RESULT", -62)],
    ),
    "send to an unknown channel": (
        "000b000000000008 00160004fffffffe",
        "CHAN_SEND",
        [("RESULT", -2)],
    ),
    "send of a wrong length": (
        "000b000000000008 00160004ffffffea",
        "CHAN_SEND",
        [("RESULT", -22)],
    ),
    "close answered": (
        "000f000000000010 001a00040000000c 0016000400000000",
        "CHAN_CLOSE",
        [("REQ_ID", 12), ("RESULT", 0)],
    ),
    "send on a closed channel": (
        "000b000000000010 001a00040000000d 00160004ffffffe0",
        "CHAN_SEND",
        [("REQ_ID", 13), ("RESULT", -32)],
    ),
    "receive on a closed and empty channel": (
        "000d000000000010 001a00040000000e 00160004ffffffe0",
        "CHAN_RECV",
        [("REQ_ID", 14), ("RESULT", -32)],
    ),
}


@pytest.fixture(params=GOLDEN.values(), ids=GOLDEN.keys())
def golden(request):
    text, command, attributes = request.param
    return bytes.fromhex(text), command, attributes


def test_golden_frames_are_built_byte_for_byte(golden):
    data, command, attributes = golden
    assert tlv.build_frame(command, attributes, minor=0) == data


def test_golden_frames_without_long_values_are_the_same_in_1_1(golden):
    data, command, attributes = golden
    assert tlv.build_frame(command, attributes, minor=1) == data


def test_golden_frames_are_parsed(golden):
    data, command, attributes = golden
    frame = tlv.parse_frame(data, minor=0)
    assert frame.cmd == tlv.COMMANDS[command].number
    assert [(tlv.ATTRIBUTE_NAMES[n], value) for n, value in frame.attributes] == attributes


def test_golden_frames_pass_through_the_c_reader_and_writer_unchanged(golden):
    data, _, _ = golden
    out = ffi.new("uint8_t[]", len(data))
    length = ffi.new("size_t *")
    assert lib.kc_codec_normalize(data, len(data), 0, out, len(data), length) == 0
    assert bytes(ffi.buffer(out, length[0])) == data


def test_the_longest_element_of_1_0_has_the_measured_length():
    attributes = [("RESULT", 0), ("ELEMENT", bytes(65_535))]
    data = tlv.build_frame("CHAN_RECV", attributes, minor=0)
    assert len(data) - tlv.HEADER_BYTES == 65_547
    assert tlv.parse_frame(data, minor=0).get("ELEMENT") == bytes(65_535)
