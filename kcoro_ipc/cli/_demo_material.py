"""What the demo moves: the source of Python's own standard library, which every machine has.

Read here twice, by two processes: the producers read what they send, the judge what should arrive.
"""

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SKIPPED_FOLDERS = {"__pycache__", "site-packages", "dist-packages"}
LONGEST_BYTES = 8 << 20  # well under the longest element; the library has nothing near it


class Tally:
    """Counts messages and bytes and keeps one SHA-256 over all of them and where each ends."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self._digest = hashlib.sha256()

    def add(self, message: bytes) -> None:
        self.messages += 1
        self.bytes += len(message)
        self._digest.update(len(message).to_bytes(8, "big"))
        self._digest.update(message)

    def result(self) -> "Result":
        return Result(self.messages, self.bytes, self._digest.hexdigest())


class Result(NamedTuple):
    messages: int
    bytes: int
    sha256: str


def library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def sources(root: Path) -> list[Path]:
    """Every .py file under root, in an order that all processes agree on."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED_FOLDERS)
        found += [Path(folder, name) for name in sorted(names) if name.endswith(".py")]
    return [path for path in found if path.is_file() and path.stat().st_size <= LONGEST_BYTES]


def file_messages(root: Path) -> Iterator[bytes]:
    """One message per file: its name below root, a newline, its content."""
    for path in sources(root):
        yield os.fsencode(path.relative_to(root)) + b"\n" + path.read_bytes()


def line_messages(root: Path) -> Iterator[bytes]:
    """The lines of the largest file, one message each."""
    largest = max(sources(root), key=lambda path: path.stat().st_size)
    yield from largest.read_bytes().splitlines()


STREAMS = {"files": file_messages, "lines": line_messages}


def expected(stream: str, root: Path) -> Result:
    """What has to arrive, straight from the disk."""
    tally = Tally()
    for message in STREAMS[stream](root):
        tally.add(message)
    return tally.result()
