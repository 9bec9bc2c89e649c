"""What a daemon might say to fuzz_client.c: corpus entries that it begins with.

    python -m tests.fuzz.client_seeds     writes tests/fuzz/corpus/fuzz_client/NAME for each

The requests under way there: 2 a send of two, 3 a receive, 4 up to three with ack, 5 up to four,
6 one with its sender, 7 a select (receive, send, receive with ack).
"""

from pathlib import Path
from typing import Any

from kcoro_ipc import tlv

CORPUS = Path(__file__).parent / "corpus" / "fuzz_client"
NARROW = 0x80  # of the first byte: answers that nobody waits for have a bound of 48 bytes
SEND, ONE, ACKED, MANY, SIGNED, SELECT = 2, 3, 4, 5, 6, 7


def say(command: str, *pairs: tuple[str, Any], files: int = 0) -> bytes:
    data = bytearray(tlv.build_frame(command, list(pairs), 1))
    data[3] = files
    return bytes(data)


def reply(command: str, req_id: int, *pairs: tuple[str, Any], result: int = 0) -> bytes:
    return say(command, ("REQ_ID", req_id), ("RESULT", result), *pairs)


def item(element: bytes, **more: int) -> tuple[str, Any]:
    return ("ITEM", [("ELEMENT", element), *more.items()])


def desc(region: int, offset: int, length: int, lease: int) -> tuple[str, bytes]:
    words = (region, offset, length, lease)
    return ("DESC", b"".join(word.to_bytes(8, "big") for word in words))


MAP = say("REGION_MAP", ("REGION_ID", 5), ("SIZE", 4096), files=1)
RECEIVED = reply("CHAN_RECV", ONE, ("ELEMENT", b"x"))

# cut, files, frames
SEEDS: dict[str, tuple[int, int, list[bytes]]] = {
    "all_is_well": (
        0,
        0,
        [
            reply("CHAN_SEND", SEND, ("COUNT", 2), ("DROPPED", 1)),
            RECEIVED,
            reply(
                "CHAN_RECV",
                ACKED,
                item(b"a", DELIVERY_ID=9),
                item(b"", DELIVERY_ID=10, REDELIVERED=2),
            ),
            reply("CHAN_RECV", MANY, ("ELEMENT", b"a"), ("ELEMENT", b""), ("ELEMENT", b"ccc")),
            reply("CHAN_RECV", SIGNED, item(b"s", REDELIVERED=0, SENDER_UID=1000, SENDER_PID=4)),
            reply("SELECT", SELECT, ("INDEX", 0), ("ELEMENT", b"sel")),
        ],
    ),
    "more_than_is_taken": (
        NARROW,
        0,
        [RECEIVED, reply("CHAN_RECV", MANY, ("ELEMENT", b"a" * 20)), reply("CHAN_SEND", SEND)],
    ),
    "in_pieces": (3, 0, [RECEIVED, reply("SELECT", SELECT, ("INDEX", 1))]),
    "refused": (
        0,
        0,
        [
            reply(
                "CHAN_SEND",
                SEND,
                ("REASON", "too much"),
                ("QUOTA_NAME", "bytes"),
                ("QUOTA_LIMIT", 5),
                result=-122,
            ),
            reply("SELECT", SELECT, ("INDEX", 2), result=-32),
        ],
    ),
    "ranges": (
        7,
        1,
        [
            MAP,
            reply("CHAN_RECV", MANY, desc(5, 0, 10, 1), desc(5, 4000, 96, 2)),
            say("REGION_GONE", ("REGION_ID", 5)),
        ],
    ),
    "range_held": (
        0,
        1,
        [
            MAP,
            reply("SELECT", SELECT, ("INDEX", 2), ("ITEM", [desc(5, 1, 2, 3), ("DELIVERY_ID", 4)])),
        ],
    ),
    "range_beyond": (0, 1, [MAP, reply("CHAN_RECV", ONE, desc(5, 4000, 97, 1))]),
    "files": (
        0,
        2,
        [
            say(
                "CHAN_RECV",
                ("REQ_ID", ONE),
                ("RESULT", 0),
                ("ELEMENT", b"f"),
                files=2,
            )
        ],
    ),
    "files_that_nobody_names": (0, 3, [RECEIVED]),
    "memory_fails": (0, 1 | 2 << 2, [MAP, reply("CHAN_RECV", ONE, desc(5, 0, 1, 1))]),
    "last_words": (0, 0, [say("CHAN_SEND", ("RESULT", -90), ("REASON", "too long"))]),
    "freed": (0, 0, [say("REGION_FREED", desc(5, 0, 10, 1))]),
    "long": (0, 0, [reply("CHAN_RECV", ONE, ("ELEMENT", b"l" * 5000))]),
}


def program(cut: int, files: int, frames: list[bytes]) -> bytes:
    return bytes([cut, files]) + b"".join(frames)


def main() -> None:
    CORPUS.mkdir(parents=True, exist_ok=True)
    for name, parts in SEEDS.items():
        (CORPUS / name).write_bytes(program(*parts))


if __name__ == "__main__":
    main()
