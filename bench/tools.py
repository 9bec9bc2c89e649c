"""What a bench needs from the machine: compiled programs, peers' modules and programs.

Everything built goes to build/bench/. Modules come by pip into the running virtual environment,
programs by apt-get, only when that is allowed (--no-install) and possible; never a package that
starts a service. What cannot be had raises SkippedError with the reason, once per process.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.model import FailedError, Settings, SkippedError

ROOT = Path(__file__).resolve().parent.parent
NATIVE = Path(__file__).resolve().parent / "native"
OUT = ROOT / "build" / "bench"
INSTALL_LIMIT_S = 300.0
BUILD_LIMIT_S = 120.0
APT = ("apt-get", "install", "-y", "-qq", "--no-install-recommends")

# The flags of the wheel (CMake's Release), so that C programs measure what is shipped.
C_FLAGS = (
    *("-std=c11", "-D_GNU_SOURCE", "-O3", "-flto=auto", "-DNDEBUG", "-Wall", "-Wextra"),
    "-mmemset-strategy=unrolled_loop:512:noalign,libcall:-1:noalign",
    "-mmemcpy-strategy=unrolled_loop:512:noalign,libcall:-1:noalign",
)
C_INCLUDES = (f"-I{ROOT / 'native' / 'include'}", f"-I{ROOT / 'native'}")
RUNTIME = ("runtime/*.c", "core/*.c", f"arch/{platform.machine()}/switch.S")
# What each program is made of: sources of the bench, and of the product.
C_SOURCES = {
    "floor_broker": (("floor_broker.c", "floor_queue.c"), ()),
    "bench_frame": (("bench_frame.c",), ("ipc/frame.c", "ipc/request.c", "ipc/writer.c")),
    "bench_engine": (("bench_engine.c",), ("core/*.c",)),
    "bench_pump": (("bench_pump.c",), ("core/*.c", "ipc/*.c")),
    "bench_handover": (("bench_handover.c",), RUNTIME),
    "bench_tasks": (("bench_tasks.c",), RUNTIME),
    "bench_independent": (("bench_independent.c",), RUNTIME),
    "bench_parked": (("bench_parked.c",), RUNTIME),
    "bench_timer": (("bench_timer.c",), RUNTIME),
    "bench_switch": (("bench_switch.c",), (f"arch/{platform.machine()}/switch.S",)),
}


@functools.cache
def native(name: str) -> Path:
    """The compiled program bench/native/NAME.c."""
    own, patterns = C_SOURCES[name]
    product = [sorted((ROOT / "native").glob(pattern)) for pattern in patterns]
    if not all(product):
        raise SkippedError(f"sources of {name} are missing: native/{patterns}")
    target = OUT / name
    compiler = os.environ.get("CC", "cc")
    files = [NATIVE / file for file in own] + [file for group in product for file in group]
    words = (compiler, *C_FLAGS, *C_INCLUDES, *map(str, files), "-lpthread", "-o", str(target))
    build(words)
    return target


@functools.cache
def go(name: str) -> Path:
    """The compiled program bench/native/NAME.go; program("go", ...) comes first."""
    target = OUT / f"{name}-go"  # some have a sister in C of the same name
    cache = {"GOCACHE": str(OUT / "go-cache"), "GO111MODULE": "off", "GOFLAGS": ""}
    build(["go", "build", "-o", str(target), str(NATIVE / f"{name}.go")], cache)
    return target


def build(words: Sequence[str], environment: dict[str, str] | None = None) -> None:
    """Runs a compiler. Raises SkippedError when there is none, FailedError with what it said."""
    OUT.mkdir(parents=True, exist_ok=True)
    variables = {**os.environ, **(environment or {})}
    try:
        done = subprocess.run(
            words, env=variables, capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False
        )
    except FileNotFoundError:
        raise SkippedError(f"{words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise FailedError(f"{' '.join(words)}: not built within {BUILD_LIMIT_S:g} s") from None
    if done.returncode:
        raise FailedError(f"{' '.join(words)}\n{done.stderr[-3000:]}")


def debian_file(directory: Path, pattern: str, package: str, settings: Settings) -> Path:
    """What matches the pattern there, of Debian's `package`. Raises SkippedError."""
    reason = f"apt-get install {package}"
    if not list(directory.glob(pattern)) and _may_install(settings):
        reason = _install((*APT, package))
    found = sorted(directory.glob(pattern))
    if not found:
        raise SkippedError(f"{pattern} is missing ({reason})")
    return found[-1]


def _may_install(settings: Settings) -> bool:
    return settings.install and os.geteuid() == 0 and shutil.which("apt-get") is not None


def module(name: str, package: str, settings: Settings) -> None:
    """Makes sure that module `name` of `package` can be imported. Raises SkippedError."""
    if importlib.util.find_spec(name) is not None:
        return
    if not settings.install:
        raise SkippedError(f"Python module {name} is missing (pip install {package})")
    reason = _install((sys.executable, "-m", "pip", "install", "-q", package))
    importlib.invalidate_caches()
    if importlib.util.find_spec(name) is None:
        raise SkippedError(f"pip install {package} did not help: {reason}")


def program(name: str, package: str, settings: Settings, also: str = "") -> str:
    """The path of program `name`, or of `also`, from Debian's `package`. Raises SkippedError."""
    found = shutil.which(name) or (shutil.which(also) if also else None)
    if found is None and _may_install(settings):
        reason = _install((*APT, package))
        found = shutil.which(name) or (shutil.which(also) if also else None)
    else:
        reason = f"apt-get install {package}"
    if found is None:
        raise SkippedError(f"program {name} is missing ({reason})")
    return found


@functools.cache
def _install(words: Sequence[str]) -> str:
    """Runs an installer once; returns its last words."""
    print("installing:", " ".join(words), flush=True)
    variables = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            words,
            env=variables,
            capture_output=True,
            text=True,
            timeout=INSTALL_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip().splitlines() or ["no message"])[-1]
