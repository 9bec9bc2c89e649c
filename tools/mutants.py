"""Build the engine with each planted fault in turn and demand that a suite notices.

A planted fault is a line `#if KC_MUTANT == 7 /* what is broken */` (or `!=`) in native/. The C
tests run first; only when they all pass do the Python suites run, in an environment of their own.
A fault that no suite notices fails this program: then a test is missing, or one cannot fail. So
does a test that fails without any fault: it would seem to notice all of them (the Python suites
are tried without one only when all faults are). And so does a fault that could not be tried: what
does not build, does not run or finds no test has noticed nothing.

    python tools/mutants.py [NUMBER...]
"""

import argparse
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "mutants"
NATIVE = BUILD / "native"
LEAST = 6  # a suite that is tried on fewer is not tried
PLANTED = re.compile(r"KC_MUTANT\s*[!=]=\s*(\d+)\s*(?:/\*\s*(.*?)\s*\*/)?")
Done = subprocess.CompletedProcess[str]
FAILED_CTEST = re.compile(r"^\s*\d+ - (\S+) \(([^)]*)\)", re.MULTILINE)
NEVER_RAN = {"Not Run", "BAD_COMMAND", "Disabled", "Skipped"}  # as ctest says it of a test
TESTS_FAILED = 1  # pytest's exit status; 2 and more: interrupted, usage, no tests, itself broken
FAILED_PYTEST = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
TIMED_OUT = re.compile(r"^\++ (Timeout) \++$", re.MULTILINE)  # pytest-timeout, which exits at once
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
SUITES = ("tests/model",)
APART = ("cell", "seat")  # parts of the engine that the runtime alone uses
NO_FAULT = 0


def places() -> list[tuple[int, str, Path]]:
    """Every line that plants a fault: its number, the words beside it, its file."""
    return [
        (int(number), words, path)
        for path in sorted((ROOT / "native").rglob("*.[ch]"))
        for number, words in PLANTED.findall(path.read_text())
    ]


def planted() -> dict[int, str]:
    """Every planted fault of native/ by its number, with the words beside one of its lines."""
    found: dict[int, str] = {}
    for number, words, path in sorted(places(), key=lambda place: not place[1]):
        found.setdefault(number, words or path.name)
    return found


def quick_tests(number: int) -> list[tuple[str, list[str]]]:
    """Targets of the tests that are nearest to a fault, and what ctest runs of them."""
    files = [path for planted_as, _, path in places() if planted_as == number]
    folders = {path.parent.name for path in files}
    runtime = "runtime_tests", ["-R", "^test_rt_"]
    engine = "engine_tests", ["-R", "^test_engine_"]
    client = "client_tests", ["-R", "^test_(client|remote)_"]
    if folders == {"client"}:
        return [client]
    if folders == {"runtime"} or all(path.name.startswith(APART) for path in files):
        return [runtime]
    return [engine, runtime] if folders == {"core"} else [engine]


def run(command: list[str], environment: dict[str, str] | None = None) -> Done:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    merged = {**os.environ, "PATH": path, **(environment or {})}
    return subprocess.run(
        command,
        cwd=ROOT,
        env=merged,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def give_up(number: int, done: Done, why: str) -> NoReturn:
    raise SystemExit(
        f"{done.stdout}\nmutants: fault {number} could not be tried: {why}\n0 passed, 1 failed"
    )


def demand(number: int, command: list[str], why: str) -> None:
    done = run(command)
    if done.returncode != 0:
        give_up(number, done, why)


def failed_c_tests(number: int, done: Done) -> str | None:
    """The C tests that ran and failed; None when all passed."""
    failed = [name for name, how in FAILED_CTEST.findall(done.stdout) if how not in NEVER_RAN]
    if done.returncode != 0 and not failed:
        give_up(number, done, f"ctest, exit status {done.returncode}, names no test that failed")
    return ", ".join(failed) or None


def failed_python_test(number: int, done: Done) -> str | None:
    """The Python test that failed, or the signal of a fault of the process; None: all passed."""
    if done.returncode == 0:
        return None
    if -done.returncode in CRASHES:
        return f"pytest, {signal.Signals(-done.returncode).name}"
    found = FAILED_PYTEST.search(done.stdout) or TIMED_OUT.search(done.stdout)
    if done.returncode != TESTS_FAILED or found is None:
        give_up(number, done, f"pytest, exit status {done.returncode}, names no test that failed")
    return found[1]


def caught_by_c(number: int) -> str | None:
    """The C tests that fail with this fault; None when all pass.

    Those of the engine, the runtime or the client are built and run first: they are quick, and
    seldom miss.
    """
    options = ["-DCMAKE_BUILD_TYPE=Debug", "-DKC_TESTS=ON", f"-DKC_MUTANT={number}"]
    build = ["cmake", "-S", "native", "-B", str(NATIVE), "-G", "Ninja", *options]
    demand(number, build, "it does not build")
    ctest = ["ctest", "--test-dir", str(NATIVE), "-j", "2", "--stop-on-failure"]
    for target, only in (*quick_tests(number), ("all", [])):
        build = ["cmake", "--build", str(NATIVE), "-j", "2", "--target", target]
        demand(number, build, "it does not build")
        if failed := failed_c_tests(number, run([*ctest, "--no-tests=error", *only])):
            return failed
    return None


def caught_by_python(number: int) -> str | None:
    """The first Python test that fails with this fault; None when all pass."""
    suites = [suite for suite in SUITES if (ROOT / suite).is_dir()]
    environment = BUILD / "venv"
    install = ["tools/plain_venv.sh", str(environment), f"-Ccmake.define.KC_MUTANT={number}"]
    demand(number, install, "it does not install")
    if not suites:
        return None
    python = str(environment / "bin" / "python")
    options = ("-x", "-q", "-p", "no:cacheprovider")
    # The working directory must not stand before the installed package, in a test's daemon neither.
    safe = {"PYTHONSAFEPATH": "1"}
    return failed_python_test(number, run([python, "-m", "pytest", *options, *suites], safe))


def main() -> int:
    parser = argparse.ArgumentParser(description="Demand that every planted fault is noticed.")
    parser.add_argument(
        "numbers", nargs="*", type=int, help="of the planted faults; all when none is named"
    )
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    table = planted()
    if unknown := set(options.numbers) - set(table):
        parser.error(f"no such planted fault: {sorted(unknown)}; there are {sorted(table)}")
    if len(table) < LEAST:
        print(f"mutants: {len(table)} planted faults in native/, at least {LEAST} are wanted")
        print("0 passed, 1 failed")
        return 1
    failing = caught_by_c(NO_FAULT) or (None if options.numbers else caught_by_python(NO_FAULT))
    if failing:
        print(f"mutants: without any planted fault this fails: {failing}\n0 passed, 1 failed")
        return 1
    wanted = options.numbers or sorted(table)
    survived = 0
    for number in wanted:
        name = caught_by_c(number) or caught_by_python(number)
        survived += name is None
        print(
            f"mutants: {number} ({table[number]}): {'caught by ' + name if name else 'SURVIVED'}",
            flush=True,
        )
    print(f"{len(wanted) - survived} passed, {survived} failed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
