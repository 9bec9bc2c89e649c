"""The C reader equals the definition: on generated frames, on broken ones, on any bytes."""

from construct import ConstructError
from hypothesis import given, settings
from hypothesis import strategies as st

from kcoro_ipc import _kcoro, errors, tlv

ffi, lib = _kcoro.ffi, _kcoro.lib

TYPED = [a for a in tlv.ATTRIBUTES.values() if a.type != tlv.RESERVED]
FLAT = [a for a in TYPED if a.type != tlv.NESTED]
RANGES = {
    tlv.U32: st.integers(0, 2**32 - 1),
    tlv.I32: st.integers(-(2**31), 2**31 - 1),
    tlv.U64: st.integers(0, 2**64 - 1),
    tlv.TEXT: st.binary(max_size=20),
    tlv.OPAQUE: st.binary(max_size=40),
}
MINORS = st.sampled_from([0, 1])
COMMANDS = st.sampled_from([c.number for c in tlv.COMMANDS.values()]) | st.integers(0, 65_535)


def flat_pairs(attributes):
    return st.sampled_from(attributes).flatmap(
        lambda a: st.tuples(st.just(a.number), RANGES[a.type])
    )


def exactly(size):
    return st.binary(min_size=size, max_size=size)


def distinct(pairs):
    """Pairs without repetitions that 1.1 would refuse."""
    repeats = {a.number for a in TYPED if a.repeats}
    kept, seen = [], set()
    for number, value in pairs:
        if number in repeats or number not in seen:
            kept.append((number, value))
        seen.add(number)
    return kept


INNER = st.lists(flat_pairs(FLAT), max_size=4, unique_by=lambda pair: pair[0])
NESTED = st.tuples(
    st.sampled_from([a.number for a in TYPED if a.type == tlv.NESTED]), INNER.map(tuple)
)
PAYLOADS = st.lists(flat_pairs(FLAT) | NESTED, max_size=8).map(distinct)
# As the clients write it: here the C reader has a short cut.
USUAL = st.tuples(
    RANGES[tlv.U32],
    RANGES[tlv.U32],
    RANGES[tlv.I32],
    st.lists(st.binary(max_size=30), max_size=2),
).map(lambda t: [(26, t[0]), (20, t[1]), (8, t[2]), *((21, element) for element in t[3])])
# What shared memory adds: ranges of the lengths that mean something and of others, and leases.
RANGE = st.tuples(st.just(67), st.sampled_from([24, 32, 0, 23, 25, 31, 33]).flatmap(exactly))
LEASE = st.tuples(st.just(71), RANGES[tlv.U64])
SHARING = st.lists(
    RANGE
    | LEASE
    | st.tuples(st.just(72), RANGES[tlv.U64])
    | st.tuples(st.just(65), st.tuples(RANGE, st.tuples(st.just(73), RANGES[tlv.U32])))
    | st.tuples(st.just(64), st.tuples(RANGE, LEASE)),
    max_size=8,
).map(distinct)
FRAMES = st.tuples(COMMANDS, PAYLOADS | USUAL | SHARING, MINORS, st.integers(0, 255))


def built(cmd, pairs, minor, files):
    return tlv.build_frame(cmd, pairs, minor, files)


def judged_by_construct(data, minor):
    """The code, and the canonical form where there is one."""
    try:
        frame = tlv.parse_frame(data, minor)
    except errors.ProtocolError as error:
        return error.code, b""
    return errors.KC_OK, tlv.build_frame(frame.cmd, frame.attributes, minor, frame.files)


def judged_by_c(data, minor):
    """The same by the walk over attributes, after the flat request gave the same code."""
    out = ffi.new("uint8_t[]", max(len(data), 1))
    length = ffi.new("size_t *")
    code = lib.kc_codec_normalize(data, len(data), minor, out, len(data), length)
    assert lib.kc_codec_check(data, len(data), minor) == code
    return code, bytes(ffi.buffer(out, length[0]))


@settings(max_examples=300)
@given(FRAMES)
def test_generated_frames_are_read_alike_and_completely(frame):
    cmd, pairs, minor, files = frame
    data = built(cmd, pairs, minor, files)
    parsed = tlv.parse_frame(data, minor)
    assert (parsed.cmd, list(parsed.attributes)) == (cmd, pairs)
    assert parsed.files == (files if minor else 0)
    assert judged_by_construct(data, minor) == judged_by_c(data, minor) == (errors.KC_OK, data)


def flip(data, draw):
    at = draw(st.integers(0, len(data) * 8 - 1))
    data[at // 8] ^= 1 << at % 8


def cut(data, draw):
    del data[draw(st.integers(0, len(data) - 1)) :]


def lie_about_a_length(data, draw):
    """Two bytes that are often a length become another number, small, huge or marked."""
    at = draw(st.integers(0, max(0, len(data) - 2)))
    data[at : at + 2] = draw(st.sampled_from([b"\0\0", b"\0\3", b"\0\4", b"\0\5", b"\xff\xff"]))


def add(more):
    def mutate(data, draw):
        data += more

    return mutate


def fit_header(data, draw):
    data[4:8] = max(0, len(data) - 8).to_bytes(4, "big")


MUTATIONS = st.sampled_from(
    [
        flip,
        flip,
        cut,
        lie_about_a_length,
        add(bytes.fromhex("001a000400000001")),  # a duplicate of something, often
        add(bytes.fromhex("001500016100150000")),
        add(bytes.fromhex("00220002ffff")),  # a scalar of two bytes
        add(bytes.fromhex("0040000a00150001610015000162")),  # a repetition inside
        add(bytes.fromhex("004100080043000000430000")),  # the same of a DESC
        add(bytes.fromhex("00430001ff 0047000800000000000000ff")),
        add(bytes.fromhex("0047000400000001")),  # a LEASE_ID of four bytes
        add(bytes.fromhex("ffff0000")),  # critical and unknown
        add(bytes.fromhex("0041000400410000")),  # depth 2
        add(bytes.fromhex("001affff0000000400000001")),
        add(b"\x00"),
    ]
)


@settings(max_examples=1_500)
@given(FRAMES, st.lists(MUTATIONS, min_size=1, max_size=4), st.booleans(), MINORS, st.data())
def test_broken_frames_get_the_same_verdict(frame, mutations, header_fits, minor, data):
    broken = bytearray(built(*frame))
    for mutate in mutations:
        if broken:
            mutate(broken, data.draw)
    if header_fits and len(broken) >= tlv.HEADER_BYTES:
        fit_header(broken, data.draw)
    assert judged_by_construct(bytes(broken), minor) == judged_by_c(bytes(broken), minor)


@settings(max_examples=300)
@given(st.binary(max_size=64), st.booleans(), MINORS)
def test_any_bytes_are_a_frame_or_one_known_error(payload, with_header, minor):
    header = b"\x00\x0b\x00\x00" + len(payload).to_bytes(4, "big") if with_header else b""
    data = header + payload
    code, _ = judged_by_construct(data, minor)
    assert code in (errors.KC_OK, errors.KC_EPROTO, errors.KC_EMSGSIZE)
    assert judged_by_construct(data, minor) == judged_by_c(data, minor)


@settings(max_examples=20)
@given(st.sampled_from([65_533, 65_534, 65_535, 65_536, 200_000]), st.booleans(), MINORS)
def test_lengths_round_the_extended_form_are_read_alike(size, nested, minor):
    value = ((21, bytes(size)),) if nested else bytes(size)
    number = tlv.ATTRIBUTES["ITEM" if nested else "ELEMENT"].number
    if minor == 0 and size + 4 * nested > 65_535:
        return
    data = built(13, [(number, value), (26, 1)], minor, 0)
    assert judged_by_construct(data, minor) == judged_by_c(data, minor) == (errors.KC_OK, data)


def test_the_longest_frame_is_read_alike_and_one_byte_more_is_refused():
    limit = tlv.LIMITS["FRAME_BYTES"]
    longest = built(11, [(21, bytes(limit - 8))], 1, 0)
    assert judged_by_construct(longest, 1) == judged_by_c(longest, 1) == (errors.KC_OK, longest)
    more = longest[:4] + (limit + 1).to_bytes(4, "big") + longest[8:] + b"\x00"
    assert judged_by_construct(more, 1) == judged_by_c(more, 1) == (errors.KC_EMSGSIZE, b"")


@given(st.binary(max_size=40) | exactly(24) | exactly(32))
def test_the_words_of_a_descriptor_are_read_alike(value):
    words = ffi.new("uint64_t[4]")
    try:
        one = tlv.DescValue.parse(value)
    except ConstructError:
        assert lib.kc_codec_desc(value, len(value), words) == errors.KC_EINVAL
        return
    assert len(value) in (24, 32)
    assert lib.kc_codec_desc(value, len(value), words) == errors.KC_OK
    assert list(words) == [one.region, one.offset, one.length, one.fourth or 0]


def test_a_buffer_that_is_too_small_is_refused_and_not_overrun():
    data = built(11, [(26, 1), (21, b"abc")], 1, 0)
    length = ffi.new("size_t *")
    for room in range(len(data)):
        out = ffi.new("uint8_t[]", b"\xa5" * (len(data) + 1))
        code = lib.kc_codec_normalize(data, len(data), 1, out, room, length)
        assert (code, length[0]) == (errors.KC_ENOSPC, 0)
        assert bytes(ffi.buffer(out))[room : len(data)] == b"\xa5" * (len(data) - room)
