"""Refuse lines of C and C++ over 120 columns, in the folders named here: all that have any."""

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST = 120
KEPT = (
    "bench/**/*",
    "examples/**/*",
    "native/arch/**/*",
    "native/client/*",
    "native/core/*",
    "native/include/**/*",
    "native/ipc/*",
    "native/lab/*",
    "native/remote/*",
    "native/runtime/*",
    "tests/**/*",
)
SUFFIXES = {".c", ".h", ".cpp", ".hpp", ".S"}


def sources(root: Path) -> list[Path]:
    return sorted(p for glob in KEPT for p in root.glob(glob) if p.suffix in SUFFIXES)


def too_long(root: Path) -> Iterator[str]:
    for path in sources(root):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if len(line) > MOST:
                yield f"{path.relative_to(root)}:{number}: {len(line)} columns, at most {MOST}"


def main() -> int:
    found = [*too_long(ROOT)]
    for line in found:
        print(line)
    return 1 if found or not sources(ROOT) else 0


if __name__ == "__main__":
    sys.exit(main())
