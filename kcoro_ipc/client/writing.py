"""What waits for the writer of a trio connection: frames, and frames with open files."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kcoro_ipc.files import Loose


class Outgoing(NamedTuple):
    """A frame whose files go with its first byte; they stay the sender's."""

    frame: bytes
    files: Loose
    req_id: int


def together(frames: Sequence[Outgoing | bytes]) -> Iterator[Outgoing | bytes]:
    """In order, with the plain ones between two with files joined into one piece."""
    plain: list[bytes] = []
    for frame in frames:
        if isinstance(frame, bytes):
            plain.append(frame)
            continue
        if plain:
            yield b"".join(plain)
            plain = []
        yield frame
    if plain:
        yield b"".join(plain)
