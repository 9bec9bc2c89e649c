"""Writes the tables of docs/CANCELLATION.md about Kotlin; with --check only compares.

The sources are what Kotlin and our runtime said of the same scenarios (tests/parity/kotlin.txt and
ours.txt) and why they may differ (differences.txt). A native test holds the runtime to them.
"""

import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "parity"
PAGE = ROOT / "docs" / "CANCELLATION.md"
MARKER = re.compile(r"(<!-- generated:parity -->\n).*?(<!-- /generated -->)", re.DOTALL)

Lines = dict[str, str]


def read(name: str) -> Lines:
    """What stands behind each name, in the order of the file."""
    text = (FOLDER / name).read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    found = dict(line.split(": ", 1) for line in lines)
    if len(found) != len(lines):
        raise SystemExit(f"{name}: a name stands twice")
    return found


def script_of_the_transcript() -> str:
    """The checksum of the script that made kotlin.txt."""
    found = re.search(r"^# parity.kt ([0-9a-f]{64})$", (FOLDER / "kotlin.txt").read_text(), re.M)
    if found is None:
        raise SystemExit("kotlin.txt does not say which script it is of")
    return found[1]


def judge(kotlin: Lines, ours: Lines, reasons: Lines) -> list[str]:
    """What is wrong with the three together."""
    wrong = []
    if list(kotlin) != list(ours):
        wrong.append("kotlin.txt and ours.txt have other scenarios, or another order")
    if (
        script_of_the_transcript()
        != hashlib.sha256((FOLDER / "parity.kt").read_bytes()).hexdigest()
    ):
        wrong.append("kotlin.txt is of another parity.kt: run tools/parity.sh")
    differ = {name for name in ours if ours[name] != kotlin.get(name)}
    wrong += [
        f"{name} differs, and differences.txt has no reason" for name in differ - set(reasons)
    ]
    wrong += [f"{name} does not differ any more" for name in set(reasons) - differ]
    return sorted(wrong)


def tables(kotlin: Lines, ours: Lines, reasons: Lines) -> str:
    differ = [("scenario", "Kotlin", "ours", "why"), ("---",) * 4]
    differ += [
        (name, told(kotlin[name], ours[name]), told(ours[name], kotlin[name]), why)
        for name, why in reasons.items()
    ]
    same = [("scenario", "events, Kotlin's and ours"), ("---",) * 2]
    same += [(name, told(line, line)) for name, line in ours.items() if name not in reasons]
    return f"{table(differ)}\n\nThese are the same, numbers too:\n\n{table(same)}"


def told(line: str, other: str) -> str:
    """The events of a line; its numbers only if all events are those of the other."""
    events, numbers = line.split(" | ")
    return f"{events} ({numbers})" if events == other.split(" | ")[0] and line != other else events


def table(rows: Sequence[tuple[str, ...]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(arguments: list[str]) -> int:
    sources = read("kotlin.txt"), read("ours.txt"), read("differences.txt")
    if wrong := judge(*sources):
        raise SystemExit("\n".join(wrong))
    old = PAGE.read_text()
    new = MARKER.sub(lambda found: found[1] + tables(*sources) + "\n" + found[2], old)
    if arguments == ["--check"]:
        return int(old != new)
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
