"""The definition: each rule of the wire by name, and refusals of what cannot be built."""

import pytest

from kcoro_ipc import errors, tlv


def frame_of(payload, cmd=11, flags=0):
    """A frame round a payload given in hex."""
    data = bytes.fromhex(payload)
    return bytes(tlv.Header.build({"cmd": cmd, "flags": flags, "length": len(data)})) + data


def names(frame):
    return [(tlv.ATTRIBUTE_NAMES[number], value) for number, value in frame.attributes]


def refused(data, minor, **options):
    with pytest.raises(errors.ProtocolError) as caught:
        tlv.parse_frame(data, minor, **options)
    return caught.value.code


@pytest.mark.parametrize("minor", [0, 1])
def test_unknown_and_reserved_attributes_are_skipped(minor):
    assert tlv.parse_frame(frame_of("7fff000161 000b000400000001"), minor).attributes == ()


@pytest.mark.parametrize("minor", [0, 1])
def test_an_unknown_critical_attribute_is_refused(minor):
    assert refused(frame_of("ffff000161"), minor) == errors.KC_EPROTO
    assert refused(frame_of("800b000400000001"), minor) == errors.KC_EPROTO


@pytest.mark.parametrize("minor", [0, 1])
def test_a_known_attribute_may_be_marked_critical(minor):
    assert names(tlv.parse_frame(frame_of("801a000400000005"), minor)) == [("REQ_ID", 5)]


def test_a_scalar_that_stands_twice_counts_once_in_1_0_and_is_refused_in_1_1():
    data = frame_of("001a000400000001 001a000400000002")
    assert names(tlv.parse_frame(data, 0)) == [("REQ_ID", 1)]
    assert refused(data, 1) == errors.KC_EPROTO


def test_a_scalar_of_another_length_is_not_seen_in_1_0_and_refused_in_1_1():
    data = frame_of("001a000100 001a000400000002")
    assert names(tlv.parse_frame(data, 0)) == [("REQ_ID", 2)]
    assert refused(data, 1) == errors.KC_EPROTO


@pytest.mark.parametrize("minor", [0, 1])
def test_elements_and_delivery_ids_repeat(minor):
    data = frame_of("0015000161 00150000 0030000800000000000000ff 003000080000000000000001")
    frame = tlv.parse_frame(data, minor)
    assert frame.all("ELEMENT") == [b"a", b""]
    assert frame.all("DELIVERY_ID") == [255, 1]
    assert frame.get("ELEMENT") == b"a"
    assert frame.get("RESULT") is None


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("payload", ["00", "001a00", "001a000500000001", "0041000500150002"])
def test_an_attribute_that_overruns_what_holds_it_is_refused(payload, minor):
    assert refused(frame_of(payload), minor) == errors.KC_EPROTO


def test_the_extended_length_is_a_length_in_1_0():
    data = frame_of("0015ffff00000001 61")
    assert tlv.parse_frame(data, 1).get("ELEMENT") == b"a"
    assert refused(data, 0) == errors.KC_EPROTO


@pytest.mark.parametrize("size", [65_534, 65_535, 65_536, 1 << 20])
def test_long_elements_travel_in_1_1_also_inside_nested_attributes(size):
    item = [("ELEMENT", bytes(size)), ("DELIVERY_ID", 3)]
    data = tlv.build_frame("CHAN_RECV", [("ELEMENT", bytes(size)), ("ITEM", item)], minor=1)
    frame = tlv.parse_frame(data, 1)
    assert frame.get("ELEMENT") == bytes(size)
    assert dict(frame.get("ITEM"))[tlv.ATTRIBUTES["ELEMENT"].number] == bytes(size)


def test_what_1_0_cannot_write_is_an_error_of_the_builder():
    with pytest.raises(errors.MessageTooLong):
        tlv.build_frame("CHAN_SEND", [("ELEMENT", bytes(65_536))], minor=0)


@pytest.mark.parametrize("minor", [0, 1])
def test_nesting_is_one_deep(minor):
    assert refused(frame_of("0041000400410000"), minor) == errors.KC_EPROTO
    deep = b""
    for _ in range(1_000):
        deep = b"\x00\x41" + len(deep).to_bytes(2, "big") + deep
    assert refused(frame_of(deep.hex()), minor) == errors.KC_EPROTO


def test_inside_a_nested_attribute_nothing_repeats():
    data = frame_of("0040000a 0015000161 0015000162")
    assert refused(data, 1) == errors.KC_EPROTO
    assert tlv.parse_frame(data, 0).get("ITEM") == ((21, b"a"),)


def test_header_flags_name_files_in_1_1_and_nothing_in_1_0():
    assert tlv.parse_frame(frame_of("", flags=3), 1).files == 3
    assert tlv.parse_frame(frame_of("", flags=3), 0).files == 0
    assert refused(frame_of("", flags=0x0100), 1) == errors.KC_EPROTO
    assert tlv.parse_frame(frame_of("", flags=0xFFFF), 0).files == 0
    assert tlv.build_frame("PING", [], minor=1, files=2)[2:4] == b"\x00\x02"


@pytest.mark.parametrize("length", [tlv.LIMITS["FRAME_BYTES"] + 1, 1 << 31, (1 << 32) - 1])
def test_a_length_over_the_limit_is_a_frame_too_long(length):
    data = b"\x00\x0b\x00\x00" + length.to_bytes(4, "big")
    assert refused(data, 0) == refused(data, 1) == errors.KC_EMSGSIZE


def test_the_limit_may_be_smaller_on_a_connection():
    data = tlv.build_frame("CHAN_SEND", [("ELEMENT", bytes(96))], minor=1)
    assert tlv.parse_frame(data, 1, max_bytes=100).get("ELEMENT") == bytes(96)
    assert refused(data, 1, max_bytes=99) == errors.KC_EMSGSIZE


@pytest.mark.parametrize("minor", [0, 1])
def test_exactly_one_frame_is_parsed(minor):
    data = frame_of("001a000400000001")
    for cut in range(len(data)):
        assert refused(data[:cut], minor) == errors.KC_EPROTO
    assert refused(data + b"\x00", minor) == errors.KC_EPROTO


def test_results_and_timeouts_are_signed_and_counts_are_not():
    attributes = [("RESULT", -62), ("TIMEOUT_MS", -1), ("KIND", -2), ("COUNT", (1 << 32) - 1)]
    frame = tlv.parse_frame(tlv.build_frame("PING", attributes, minor=1), 1)
    assert names(frame) == attributes


@pytest.mark.parametrize(
    "attribute",
    [("REQ_ID", -1), ("REQ_ID", 1 << 32), ("RESULT", 1 << 31), ("REQ_ID", None), ("NAME", 5)],
)
def test_a_value_that_does_not_fit_its_type_is_refused(attribute):
    with pytest.raises(errors.InvalidArgument):
        tlv.build_frame("PING", [attribute], minor=1)


def test_text_is_written_as_utf_8_and_read_as_bytes():
    data = tlv.build_frame("CHAN_OPEN", [("NAME", "aufträge")], minor=1)
    assert tlv.parse_frame(data, 1).get("NAME") == "aufträge".encode()


def test_a_frame_over_the_limit_is_not_built():
    with pytest.raises(errors.MessageTooLong):
        tlv.build_frame("CHAN_SEND", [("ELEMENT", bytes(tlv.LIMITS["FRAME_BYTES"]))], minor=1)
