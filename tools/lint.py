"""Judge every Python file: ruff's rules, ruff's format, mypy --strict (settings: pyproject.toml).
Of C the length of lines (columns.py).

tests/ is under ruff only: its helpers are typed where that helps a reader, and the type checker's
time goes to what users import.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TYPED = ("kcoro_ipc", "tools", "bench", "examples")


def checks() -> list[tuple[str, list[str], str]]:
    typed = [name for name in TYPED if any((ROOT / name).rglob("*.py"))]
    python = sys.executable
    return [
        ("ruff check", [python, "-m", "ruff", "check", "."], "ruff check --fix ."),
        ("ruff format", [python, "-m", "ruff", "format", "--check", "."], "ruff format ."),
        ("mypy --strict", [python, "-m", "mypy", *typed], "give the names above their types"),
        ("columns of C", [python, "tools/columns.py"], "wrap the lines above"),
    ]


def main() -> int:
    failed = 0
    table = checks()
    for name, command, remedy in table:
        print(f"lint: {name}", flush=True)
        if subprocess.run(command, cwd=ROOT).returncode != 0:
            failed += 1
            print(f"lint: {name} failed; {remedy}", flush=True)
    print(f"{len(table) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
