"""Where and with what a run was made: machine, versions, commit."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

from bench import tools


def _package(name: str) -> tuple[str, ...]:
    """What tells the version of a package of Debian's; nothing on its stdout if it is not there."""
    return ("dpkg-query", "-W", "-f", "${Version}", name)


MODULES = ("trio", "construct", "cffi", "redis", "pyzmq", "jeepney")
PROGRAMS = {
    "cc": ("cc", "--version"),
    "redis-server": ("redis-server", "--version"),
    "go": ("go", "version"),
    "dbus-daemon": ("dbus-daemon", "--version"),
    "rustc": ("rustc", "--version"),
    "crossbeam": _package("librust-crossbeam-channel-dev"),
    "java": ("java", "--version"),
    "kotlin": _package("kotlin"),
    "kotlinx": _package("libkotlinx-coroutines-java"),
}


def describe() -> dict[str, str]:
    """One word or line for each; what is missing is not named."""
    lines = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": _cpu(),
        "cpus": str(os.cpu_count()),
        "kernel": platform.release(),
        "load": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        **{name: _version(name) for name in MODULES},
        **{name: _first_line(words) for name, words in PROGRAMS.items()},
    }
    return {name: text for name, text in lines.items() if text}


def commit() -> str:
    """The commit, and whether files differ from it."""
    sha = _first_line(("git", "-C", str(tools.ROOT), "rev-parse", "--short=12", "HEAD"))
    changed = _first_line(("git", "-C", str(tools.ROOT), "status", "--porcelain", "-uno"))
    return f"{sha} with changes" if sha and changed else sha


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(module: str) -> str:
    try:
        return importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _first_line(words: tuple[str, ...]) -> str:
    if shutil.which(words[0]) is None:
        return ""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].strip()
