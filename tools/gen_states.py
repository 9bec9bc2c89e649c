"""Writes the tables of states in docs/CHANNELS_ALGORITHM.md; with --check only compares.

The source is native/core/kc_state.h, whose lists X(from, to, who, when) the engine itself compiles:
what the page shows is what may be stored. A test runs the comparison.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "native" / "core" / "kc_state.h"
PAGE = ROOT / "docs" / "CHANNELS_ALGORITHM.md"

NOUNS = {"TOK": "Token", "MSG": "Message", "CHAN": "Channel", "SCOPE": "Scope", "REGION": "Region"}
LIST = re.compile(r"#define KC_(\w+)_STEPS\(X\)((?:.*\\\n)+.*)")
STEP = re.compile(r'X\((\w+), (\w+), "([^"]*)", "([^"]*)"\)')
MARKER = re.compile(r"(<!-- generated:states -->\n).*?(<!-- /generated -->)", re.DOTALL)


def steps(header: str) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Each noun and its steps, in the order of the header."""
    for name, body in LIST.findall(header):
        yield NOUNS[name], STEP.findall(body)


def tables(header: str) -> str:
    found = dict(steps(header))
    if set(found) != set(NOUNS.values()):
        raise SystemExit(f"{SOURCE.name}: the lists of steps are not those of {NOUNS}")
    return "\n\n".join(_table(noun, rows) for noun, rows in found.items())


def _table(noun: str, rows: list[tuple[str, ...]]) -> str:
    lines = [("from", "to", "who", "when"), ("---",) * 4, *rows]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"### {noun}\n\n{body}"


def render(page: str, header: str) -> str:
    text = tables(header)
    return MARKER.sub(lambda match: f"{match[1]}{text}\n{match[2]}", page)


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        print("usage: python tools/gen_states.py [--check]", file=sys.stderr)
        return 2
    page = PAGE.read_text(encoding="utf-8")
    wanted = render(page, SOURCE.read_text(encoding="utf-8"))
    if wanted == page:
        return 0
    print(f"{'stale' if arguments else 'wrote'} {PAGE.relative_to(ROOT)}")
    if arguments:
        print("run: python tools/gen_states.py", file=sys.stderr)
        return 1
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
