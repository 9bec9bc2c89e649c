"""Native programs of the bench that print one figure: run in turn like any other subject."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from bench import processes, tools
from bench.lab import Lab
from bench.model import FailedError, Pin, Sample
from bench.peers import kotlin, rust

LIMIT_S = 60.0


def native(name: str, *mode: str) -> Callable[[Lab], Sample]:
    """Measures `NAME MODE SECONDS` of bench/native."""
    return lambda lab: printed(lab, str(tools.native(name)), *mode)


def go(name: str, *mode: str) -> Callable[[Lab], Sample]:
    """Measures `NAME [MODE] SECONDS`, compiled by Go."""

    def measure(lab: Lab) -> Sample:
        tools.program("go", "golang-go", lab.settings)
        return printed(lab, str(tools.go(name)), *mode)

    return measure


def crossbeam(*mode: str) -> Callable[[Lab], Sample]:
    """Measures a mode of bench/native/crossbeam: threads of Rust, which on one cpu take turns."""
    return lambda lab: printed(lab, str(rust.program(lab.settings)), *mode)


def kotlinx(mode: str) -> Callable[[Lab], Sample]:
    """Measures a mode of bench/native/bench_kotlin.kt."""
    return lambda lab: printed(lab, *kotlin.command(lab.settings), mode)


def printed(lab: Lab, *words: str) -> Sample:
    """Runs a program on the lab's cpu; the number it prints."""
    command = (*words, str(lab.settings.seconds))
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        preexec_fn=lambda: processes.settle(lab.pin),
        env={**os.environ, "GOMAXPROCS": str(_processors(lab))},
    )
    if done.returncode:
        raise FailedError(f"{' '.join(command)}: exit {done.returncode} {done.stderr[-500:]}")
    return Sample(float(done.stdout))


def _processors(lab: Lab) -> int:
    return 1 if lab.pin is Pin.SAME else os.cpu_count() or 1
