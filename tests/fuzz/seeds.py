"""Programs for fuzz_pump.c about files and regions, in words: corpus entries that it begins with.

    python -m tests.fuzz.seeds     writes tests/fuzz/corpus/fuzz_pump/NAME for each

What a byte means stands in fuzz_pump.c; here is one word for each step. Connections 1 and 2 take
descriptors and files; channel 0 is buffered for two elements of 4 bytes, 1 a rendezvous, 2
conflated. Ranges are of 4 bytes.
"""

from pathlib import Path

CORPUS = Path(__file__).parent / "corpus" / "fuzz_pump"
COMMANDS = {"SEND": 0, "RECV": 1, "SELECT": 2, "RELEASE": 3, "ACK": 4, "NACK": 5, "ADD": 6}
COMMANDS |= {"TRY_SEND": 7, "TRY_RECV": 10, "DROP": 11, "CANCEL": 12}
TRY, EVER, SOON = 0, 1, 2
FILES = {0: 0, 1: 3, 2: 5, 16: 6, 17: 7}  # the low bits of `how`
RANGES, FEWER, DISPLACED = 8, 13 << 4, 14 << 4
FLAG = {0: 0, 1: 4 | 64, 2: 4 | 128, 3: 4 | 192}
IDLE, WAIT, REVOKE = 0, 1, 2
WORD4 = 2  # the element of 4 bytes


def frame(
    cmd: str,
    *parts: int,
    request: int = 1,
    chan: int = 0,
    wait: int = TRY,
    flags: int = 0,
    files: int = 0,
    how: int = 0,
    items: int | None = None,
    delivery: int | None = None,
    repeats: int | None = None,
) -> bytes:
    """One rich frame; `parts` are the bytes of its elements, ranges, clauses or leases."""
    what = wait | FLAG[flags]
    more = b""
    if items is not None:
        what |= 8
        more += bytes([items])
    if delivery is not None:
        what |= 16
        more += bytes([delivery])
    count = len(parts) if repeats is None else repeats
    head = COMMANDS[cmd] | count << 6
    return bytes([head, request | chan << 4, what, how | FILES[files]]) + more + bytes(parts)


def say(conn: int, *frames: bytes) -> bytes:
    return bytes([1 | conn << 3, len(frames) - 1]) + b"".join(frames)


def hear(conn: int, *answers: int) -> bytes:
    """Control frames are answered first, each with one byte."""
    return bytes([6 | conn << 3 | 64, *answers])


def hear_some(conn: int, most: int) -> bytes:
    return bytes([6 | conn << 3, most])


def region(conn: int, file: bool = True) -> bytes:
    return bytes([2 | conn << 3, 0 if file else 1])


def drop(which: int, how: int) -> bytes:
    return bytes([2, 2 | how << 3 | which << 5])


def able(conn: int, caps: int) -> bytes:
    return bytes([2 | conn << 3, 6 | caps << 3])


def loose(conn: int, count: int) -> bytes:
    return bytes([2 | conn << 3, 7, count])


def pass_time(ms: int) -> bytes:
    return bytes([5, ms])


def rare(which: int, conn: int = 0, chan: int = 0) -> bytes:
    return bytes([7 | conn << 3, which, chan])


def end_input(conn: int) -> bytes:
    return rare(0, conn)


def end(conn: int) -> bytes:
    return rare(1, conn)


def vanish(conn: int) -> bytes:
    return rare(2, conn)


def destroy(chan: int) -> bytes:
    return rare(4, 0, chan)


def purge(chan: int) -> bytes:
    return rare(5, 0, chan)


CLOSE_FILES, TAKE_ENDS = bytes([2, 4]), bytes([2, 5])
RANGE0, RANGE1, TAIL, BEYOND, EMPTY, SHORT, WHOLE = 0, 1, 16, 24, 96, 255, 64
RECEIVE, OF_RANGE = 0, 64  # clauses; their low bits are the channel
LEASE1, LEASE2, LEASE1_NEXT, NO_LEASE = 1, 2, 17, 7


def send(*ranges: int, chan: int = 0, request: int = 1, wait: int = EVER) -> bytes:
    return frame("SEND", *ranges, how=RANGES, chan=chan, request=request, wait=wait)


def receive(chan: int = 0, request: int = 7, wait: int = EVER, **more: int) -> bytes:
    return frame("RECV", chan=chan, request=request, wait=wait, **more)


def release(*leases: int, request: int = 9) -> bytes:
    return frame("RELEASE", *leases, request=request)


def pass_files(
    count: int, chan: int = 0, request: int = 1, wait: int = EVER, how: int = 0
) -> bytes:
    return frame("SEND", WORD4, files=count, chan=chan, request=request, wait=wait, how=how)


def leased(conn: int = 2, owner: int = 1) -> list[bytes]:
    return [region(owner), say(owner, send(RANGE0)), say(conn, receive()), hear(conn)]


SEEDS: dict[str, list[bytes]] = {
    "range_received_and_released_twice": [
        *leased(),
        say(2, release(LEASE1), release(LEASE1, request=10)),
        hear(2),
        hear(1),
        say(1, send(RANGE0, request=2)),
        say(2, receive(request=8), release(LEASE1_NEXT)),
        hear(2),
    ],
    "range_released_by_a_stranger": [*leased(), say(1, release(LEASE1, NO_LEASE)), hear(1)],
    "ranges_in_a_batch_that_parks": [
        region(1),
        say(1, send(RANGE0, TAIL, RANGE0, chan=1)),
        say(2, receive(chan=1, items=10)),
        hear(2),
        say(2, release(LEASE2, LEASE1)),
        hear(1),
    ],
    "range_in_a_select_that_waits": [
        region(1, file=False),
        say(
            1,
            frame(
                "SELECT", OF_RANGE | 1, RANGE0, OF_RANGE, RANGE0, wait=EVER, how=RANGES, repeats=2
            ),
        ),
        say(2, frame("SELECT", RECEIVE | 1, RECEIVE, wait=SOON, how=RANGES)),
        hear(2),
        hear(1),
    ],
    "range_held_given_back_and_taken_again": [
        region(1),
        say(1, send(RANGE0)),
        say(2, receive(flags=1)),
        hear(2),
        *(say(2, frame("NACK", delivery=number, request=0)) for number in range(4)),
        say(2, receive(flags=1, request=8)),
        hear(2),
        vanish(2),
        hear(1),
    ],
    "receiver_dies_with_a_lease": [*leased(), vanish(2), hear(1), drop(0, IDLE), TAKE_ENDS],
    "receiver_dies_before_its_reply": [
        region(1),
        say(1, send(RANGE0)),
        say(2, receive()),
        vanish(2),
        hear(1),
    ],
    "owner_dies_with_ranges_on_their_way": [
        region(1),
        say(1, send(RANGE0), send(RANGE0, request=2)),
        say(2, receive()),
        hear(2),
        vanish(1),
        drop(0, 3),
        say(2, release(LEASE1), receive(request=8)),
        hear(2),
        TAKE_ENDS,
        CLOSE_FILES,
    ],
    "region_revoked_while_ranges_wait_park_and_are_read": [
        *leased(),
        say(1, send(RANGE0, request=2), send(RANGE0, chan=1, request=3)),
        say(
            1,
            frame(
                "SELECT",
                OF_RANGE | 1,
                RANGE0,
                OF_RANGE | 1,
                TAIL,
                request=4,
                wait=EVER,
                how=RANGES,
                repeats=2,
            ),
        ),
        drop(0, REVOKE),
        hear(1),
        say(2, release(LEASE1)),
        hear(2),
        TAKE_ENDS,
    ],
    "region_dropped_busy_then_waiting": [
        *leased(),
        drop(0, IDLE),
        drop(0, WAIT),
        say(1, send(RANGE0, request=2)),
        say(2, release(LEASE1)),
        hear(2),
        hear(1),
        TAKE_ENDS,
        CLOSE_FILES,
    ],
    "ranges_that_are_wrong": [
        region(1),
        region(2),
        say(1, send(BEYOND), send(EMPTY, request=2), send(SHORT, request=3)),
        say(1, send(RANGE1), send(WHOLE, chan=2, request=2), send(5, request=3)),
        say(2, send(RANGE0), send(RANGE1, request=2)),
        hear(1),
        hear(2),
    ],
    "range_that_nobody_receives": [region(1), say(1, send(RANGE0)), destroy(0), hear(1)],
    "ranges_for_a_peer_that_cannot_take_them": [
        region(1),
        able(2, 2),
        say(1, send(RANGE0), pass_files(1, request=2)),
        say(2, receive(wait=TRY), frame("SELECT", RECEIVE, request=8)),
        able(2, 1),
        say(2, receive(wait=TRY), receive(wait=TRY, request=8)),
        hear(2),
    ],
    "region_asked_for_with_its_file": [
        say(1, frame("ADD", files=1, repeats=1)),
        hear(1, 4),
        say(1, send(RANGE0)),
        say(2, receive()),
        hear_some(2, 3),
        hear_some(2, 60),
        say(1, frame("DROP", request=2, repeats=1)),
        hear(1, 1),
        say(2, release(LEASE1)),
        hear(2),
        TAKE_ENDS,
    ],
    "region_asked_for_with_a_wrong_file": [
        say(1, frame("ADD", files=1, flags=1, repeats=1)),
        hear(1, 4),
        say(1, frame("ADD", files=2, flags=1, repeats=1)),
        hear(1, 36),
        say(1, frame("ADD", files=1, repeats=1)),
        hear(1, 7),
        CLOSE_FILES,
    ],
    "peer_dies_while_its_files_wait_for_an_answer": [
        say(1, frame("ADD", files=2, repeats=1), pass_files(1, request=2)),
        vanish(1),
        say(2, frame("ADD", files=1, repeats=1)),
        hear(2, 12),
        CLOSE_FILES,
    ],
    "files_sent_and_received": [
        say(1, pass_files(2), pass_files(1, request=2)),
        say(2, receive(), receive(request=8)),
        hear_some(2, 5),
        hear(2),
        say(1, pass_files(16, request=3, chan=1)),
        say(2, receive(chan=1, flags=1)),
        hear(2),
        CLOSE_FILES,
    ],
    "files_in_clauses": [
        say(1, frame("SELECT", 4 | 1, 4 | 1, files=2, wait=EVER)),
        say(2, receive(chan=1)),
        hear(2),
        say(1, frame("SELECT", 4 | 32, files=1, wait=EVER, request=2)),
        say(1, frame("SELECT", RECEIVE, files=1, request=3)),
        say(2, frame("SELECT", RECEIVE, wait=EVER)),
        hear(2),
        hear(1),
    ],
    "files_over_what_a_message_and_an_account_may_have": [
        say(1, pass_files(17), pass_files(16, request=2), pass_files(16, request=3)),
        say(1, pass_files(16, request=4)),
        hear(1),
        CLOSE_FILES,
        say(1, pass_files(16, request=5)),
        hear(1),
    ],
    "files_that_expire": [say(1, pass_files(1)), pass_time(30), say(2, receive(wait=TRY)), hear(2)],
    "files_that_are_evicted_purged_and_destroyed": [
        say(1, pass_files(1, chan=2), pass_files(2, chan=2, request=2)),
        CLOSE_FILES,
        say(1, pass_files(1, request=3)),
        purge(0),
        say(1, pass_files(1, request=4), pass_files(1, chan=1, request=5)),
        destroy(0),
        destroy(1),
        hear(1),
    ],
    "files_of_the_dead": [
        say(1, pass_files(1), pass_files(1, chan=1, request=2)),
        end(1),
        say(2, receive(), receive(chan=1, request=8, wait=TRY)),
        vanish(2),
        CLOSE_FILES,
    ],
    "files_that_no_frame_names": [
        loose(1, 3),
        say(1, receive(wait=TRY)),
        say(2, frame("RECV", files=1)),
        hear(2),
        say(2, pass_files(2, how=FEWER)),
        hear(2),
        end_input(2),
    ],
    "files_that_come_with_the_second_byte": [
        say(1, pass_files(2, how=DISPLACED), receive(request=7)),
        hear(1),
        say(2, receive(request=8), pass_files(1, how=DISPLACED)),
        hear(2),
    ],
}


def program(steps: list[bytes]) -> bytes:
    return b"\0" + b"".join(steps)  # without a tight budget: whole and in pieces are compared


def main() -> None:
    CORPUS.mkdir(parents=True, exist_ok=True)
    for name, steps in SEEDS.items():
        (CORPUS / name).write_bytes(program(steps))


if __name__ == "__main__":
    main()
