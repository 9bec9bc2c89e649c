"""`python -m bench`: choose cases, run them, print tables, write JSON lines to build/bench/.

Exit code 0 when every measured target was met, 1 when one was missed, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

from rich.console import Console

from bench import machine, report, runner, tools
from bench.cases import all_cases
from bench.model import Case, Pin, Settings
from bench.runner import Outcome

REPETITIONS = 5
QUICK_REPETITIONS = 2
SECONDS = 0.25
QUICK_SECONDS = 0.06
WIDTH = 132  # of tables that go to a file


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add(
        "--case",
        action="append",
        default=[],
        help="P1 to P10, pump, spawn, parked, steal, timers, independent, memory, idle, scale, "
        "start",
    )
    add("--subject", default="", help="only subjects whose name contains this")
    add("--pin", choices=[str(pin) for pin in Pin], help="only this pinning")
    add("--reps", type=int, help=f"repetitions (default {REPETITIONS})")
    add("--seconds", type=float, help=f"length of one (default {SECONDS})")
    add("--quick", action="store_true", help="small and short: is it all there?")
    add("--no-install", action="store_true", help="skip peers that are not installed")
    add("--kcoro", default=_kcoro(), help="the program under test")
    return parser.parse_args(words)


def _kcoro() -> str:
    beside = Path(sys.executable).with_name("kcoro")
    return str(beside) if beside.exists() else shutil.which("kcoro") or str(beside)


def settings(chosen: argparse.Namespace) -> Settings:
    quick: bool = chosen.quick
    return Settings(
        repetitions=chosen.reps or (QUICK_REPETITIONS if quick else REPETITIONS),
        seconds=chosen.seconds or (QUICK_SECONDS if quick else SECONDS),
        quick=quick,
        install=not chosen.no_install,
        kcoro=chosen.kcoro,
    )


def wanted(names: list[str]) -> list[Case]:
    """The cases whose key is, or begins with, one of the names; all when there are none. P1 is not
    the beginning of P10."""
    begins = re.compile("|".join(rf"{re.escape(name)}(?!\d)" for name in names), re.IGNORECASE)
    return [case for case in all_cases() if begins.match(case.key)]


def main(words: list[str]) -> int:
    chosen = arguments(words)
    cases = wanted(chosen.case)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    if not cases:
        names = ", ".join(case.key for case in all_cases())
        console.print(f"no such case: {chosen.case}; there are {names}")
        return 2
    about = machine.describe()
    console.print(", ".join(f"{name} {text}" for name, text in about.items()), highlight=False)
    journal = report.Journal(tools.OUT, about)
    outcomes = run_all(cases, chosen, journal, console)
    good = report.summary(outcomes, console)
    console.print(f"written: {journal.path.relative_to(tools.ROOT)}")
    return 0 if good else 1


def run_all(
    cases: list[Case], chosen: argparse.Namespace, journal: report.Journal, console: Console
) -> list[Outcome]:
    outcomes = []
    options = settings(chosen)
    for case in cases:
        for pin in case.pins:
            if chosen.pin in (None, str(pin)):
                outcome = runner.run(case, pin, options, chosen.subject, _progress(console))
                report.show(outcome, console)
                journal.note(outcome)
                outcomes.append(outcome)
    return outcomes


def _progress(console: Console) -> runner.Show:
    """One line that changes, on a terminal only: a live display would need a thread that wakes."""

    def show(text: str) -> None:
        if console.is_terminal:
            print(f"\r\x1b[K{text}\r", end="", flush=True)

    return show


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
