"""Run everything that CI runs, two lanes at a time, one line for each; the logs go to build/logs.

A lane is one command that ends with a summary line: pytest's, ctest's, or "N passed, N failed".
The last line of this program sums them. A lane that fails has its log printed whole; the others
still run.

    python tools/lanes.py [--long] [LANE...]
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "logs"
AT_ONCE = 2

SUITES = ("conformance", "model")
NO_SUITES = [f"--ignore=tests/{suite}" for suite in SUITES]
EVERY_TEST = ["-m", "long or not long", "--timeout=3600"]

# Longest first, so that the two columns end together.
LANES: dict[str, list[str]] = {
    "mutants": [sys.executable, "tools/mutants.py"],
    "pytest": [sys.executable, "-m", "pytest", "tests", *NO_SUITES],
    "suites": [sys.executable, "-m", "pytest", *(f"tests/{s}" for s in SUITES)],
    "native-tsan": ["tools/native.sh", "native-tsan"],
    "native-asan": ["tools/native.sh", "native-asan"],
    "native-aarch64": ["tools/native.sh", "native-aarch64"],
    "soak": [sys.executable, "-m", "tests.soak", "--seconds", "60"],
    "fuzz": [sys.executable, "tools/fuzz.py", "--seconds", "20"],
    "native-test": ["tools/native.sh", "native-test"],
    "lint": [sys.executable, "tools/lint.py"],
}
LONG: dict[str, list[str]] = {
    "suites": [sys.executable, "-m", "pytest", *(f"tests/{s}" for s in SUITES), *EVERY_TEST],
    "pytest": [sys.executable, "-m", "pytest", "tests", *NO_SUITES, *EVERY_TEST],
    "soak": [sys.executable, "-m", "tests.soak", "--seconds", "3600"],
    "fuzz": [sys.executable, "tools/fuzz.py", "--seconds", "600"],
}

CTEST = re.compile(r"tests passed(?:, (\d+) tests? failed)? out of (\d+)|No tests were found")
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed)\b")


@dataclass
class Outcome:
    name: str
    status: int
    seconds: float
    passed: int
    failed: int
    skipped: int

    def line(self) -> str:
        word = "ok    " if self.status == 0 else "FAILED"
        counts = f"{self.passed} passed, {self.failed} failed"
        counts += f", {self.skipped} skipped" if self.skipped else ""
        return (
            f"{word}  {self.name:<14} {counts}  ({self.seconds:.0f} s, build/logs/{self.name}.log)"
        )


def counts(text: str) -> tuple[int, int, int]:
    """Passed, failed and skipped of the last summary line in a log; zeros when there is none."""
    for line in reversed(text.splitlines()):
        if found := CTEST.search(line):
            failed, total = int(found[1] or 0), int(found[2] or 0)
            return total - failed, failed, 0
        numbers: dict[str, int] = {}
        for number, word in COUNT.findall(line):
            numbers[word.rstrip("s")] = int(number)
        if numbers:
            passed = numbers.get("passed", 0) + numbers.get("xfailed", 0)
            return (
                passed,
                numbers.get("failed", 0) + numbers.get("error", 0),
                numbers.get("skipped", 0),
            )
    return 0, 0, 0


def run(name: str, command: list[str], environment: dict[str, str]) -> Outcome:
    started = time.monotonic()
    log = LOGS / f"{name}.log"
    print(f"start   {name}", flush=True)
    with log.open("w") as output:
        status = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ).returncode
    text = log.read_text(errors="replace")
    passed, failed, skipped = counts(text)
    if status != 0 and failed == 0:
        failed = 1  # the lane itself: it ended before it could count
    outcome = Outcome(name, status, time.monotonic() - started, passed, failed, skipped)
    report(outcome, text)
    return outcome


def report(outcome: Outcome, text: str) -> None:
    lines = [outcome.line()]
    if outcome.status != 0:
        lines = [
            f"----- {outcome.name} (exit status {outcome.status}) -----",
            text.rstrip(),
            "-----",
            *lines,
        ]
    else:
        lines += [f"        {line}" for line in text.splitlines() if line.startswith("skipped: ")]
    print("\n".join(lines), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run everything that CI runs.")
    parser.add_argument(
        "lanes", nargs="*", metavar="LANE", help=f"of {', '.join(LANES)}; all when none is named"
    )
    parser.add_argument(
        "--long", action="store_true", help="the checks of `make check-long` instead"
    )
    options = parser.parse_args()
    table = LONG if options.long else LANES
    if unknown := set(options.lanes) - set(table):
        parser.error(f"no such lane: {', '.join(sorted(unknown))}; there are {', '.join(table)}")
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    if options.long:
        environment["KCORO_LONG"] = "1"
    LOGS.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = options.lanes or list(table)
    print(f"test: {len(wanted)} lanes, {AT_ONCE} at a time, logs in build/logs", flush=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(lambda name: run(name, table[name], environment), wanted))
    skipped = sum(outcome.skipped for outcome in outcomes)
    if skipped:
        print(f"{skipped} skipped, each with its reason in its log")
    failed = sum(outcome.failed for outcome in outcomes)
    summary = f"{sum(outcome.passed for outcome in outcomes)} passed, {failed} failed"
    (LOGS / "summary").write_text(summary + "\n")
    print(summary)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
