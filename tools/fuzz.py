"""Build the libFuzzer targets of tests/fuzz and run each for some seconds.

A run starts from the committed corpus, tests/fuzz/corpus/TARGET. Inputs that reach new code stay
in build/fuzz/TARGET (good ones are merged into the corpus by hand). A crash leaves its input there
too, and the command that replays it is printed. Without clang this is a named skip.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "native-fuzz"
COMPILERS = ("clang", *(f"clang-{version}" for version in range(22, 13, -1)))
TRIVIAL_TARGET = b"int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n ? 0 : 0; }"
UNITS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


def compiler() -> str | None:
    """A clang that can link libFuzzer, or None."""
    for name in COMPILERS:
        if shutil.which(name) is None:
            continue
        command = [name, "-fsanitize=fuzzer,address", "-x", "c", "-", "-o", os.devnull]
        if subprocess.run(command, input=TRIVIAL_TARGET, capture_output=True).returncode == 0:
            return name
    return None


def build(clang: str) -> bool:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in (
        ["cmake", "--preset", "fuzz", f"-DCMAKE_C_COMPILER={clang}"],
        ["cmake", "--build", "--preset", "fuzz", "-j", "2"],
    ):
        done = subprocess.run(
            command, cwd=ROOT / "native", env=environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            print(
                done.stdout,
                done.stderr,
                "fuzz: the targets do not build; the compiler's message stands above",
                sep="\n",
            )
            return False
    return True


def run(target: str, seconds: int) -> bool:
    found = ROOT / "build" / "fuzz" / target
    found.mkdir(parents=True, exist_ok=True)
    committed = ROOT / "tests" / "fuzz" / "corpus" / target
    command = [
        str(BUILD / target),
        f"-max_total_time={seconds}",
        "-print_final_stats=1",
        "-rss_limit_mb=1024",
        "-timeout=10",
        f"-artifact_prefix={found}/",
        str(found),
        *([str(committed)] if committed.is_dir() else []),
    ]
    done = subprocess.run(command, cwd=found, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        print(
            done.stderr,
            f"fuzz: {target} failed; replay the file named above: build/native-fuzz/{target} FILE",
            sep="\n",
        )
        return False
    units = UNITS.search(done.stderr)
    print(
        f"fuzz: {target}: {units[1] if units else '?'} executions in {seconds} s, no fault",
        flush=True,
    )
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the fuzz targets.")
    parser.add_argument("--seconds", type=int, default=20, help="for each target (default 20)")
    options = parser.parse_args()
    targets = sorted(path.stem for path in (ROOT / "tests" / "fuzz").glob("fuzz_*.c"))
    clang = compiler()
    if clang is None:
        print("skipped: fuzz: no clang with libFuzzer: apt-get install clang libclang-rt-dev")
        print(f"0 passed, 0 failed, {len(targets)} skipped")
        return 0
    if not build(clang):
        return 1
    passed = sum(run(target, options.seconds) for target in targets)
    print(f"{passed} passed, {len(targets) - passed} failed")
    return 0 if passed == len(targets) else 1


if __name__ == "__main__":
    sys.exit(main())
