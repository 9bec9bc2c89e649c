"""Start: how long a person or a service manager waits.

`kcoro serve` is ready when its listener has accepted a connection and answered HELLO; the program
that the figure stands against is the Python that ours cannot do without (`import trio` for the
daemon, nothing for the command line). Milliseconds of wall clock, byte code already compiled.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from bench import processes, raw, servers
from bench.lab import Lab
from bench.model import Case, FailedError, Pin, Sample, Subject, Target
from kcoro_ipc import _wire

LIMIT_S = 30.0
CHANNEL = "start"


def command(*words: str) -> Callable[[Lab], Sample]:
    """Wall clock of a Python program from start to exit."""
    return lambda lab: _timed(lab, (sys.executable, *words))


def _timed(lab: Lab, words: Sequence[str], environment: dict[str, str] | None = None) -> Sample:
    begin = time.monotonic_ns()
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
        preexec_fn=lambda: processes.settle(lab.pin),
        env={**os.environ, **(environment or {})},
    )
    took_ms = (time.monotonic_ns() - begin) / 1e6
    if done.returncode:
        raise FailedError(f"{' '.join(words)}: exit {done.returncode} {done.stderr[-500:]!r}")
    return Sample(took_ms)


def ready(server: str) -> Callable[[Lab], Sample]:
    """From starting a server to its answer to HELLO."""

    def measure(lab: Lab) -> Sample:
        path = str(lab.directory / f"{lab.fresh('ready')}.sock")
        words = servers.command(server, path, lab.settings)
        log = lab.directory / "start.log"
        begin = time.monotonic_ns()
        process = servers.spawn(words, lab.pin, log)
        try:
            servers.await_socket(path, process, log)
            raw.Link(path).close()
            return Sample((time.monotonic_ns() - begin) / 1e6)
        finally:
            servers.stop(process)

    return measure


def kcoro(verb: str, *words: str) -> Callable[[Lab], Sample]:
    """`kcoro VERB --existing start ...` on a channel that has room and messages for it."""

    def measure(lab: Lab) -> Sample:
        path = lab.server("ours").path
        lab.kept("start channel", lambda: _channel(path))
        command_line = (lab.settings.kcoro, verb, "--existing", CHANNEL, *words)
        return _timed(lab, command_line, {"KCORO_SOCKET": f"stream:{path}"})

    return measure


def _channel(path: str) -> raw.Link:
    """A channel with messages enough for every `kcoro recv`, and room for every `kcoro send`."""
    link = raw.Link(path)
    number = link.make(CHANNEL, 4096, _wire.KIND_BUFFERED)
    link.call(raw.send_frame(1, number, *[b"hello"] * 1000))
    return link


CASES = (
    Case(
        "start-serve",
        "`kcoro serve` ready",
        "ms",
        (
            Subject("python -c 'import trio'", "floor", command("-c", "import trio")),
            Subject("ours", "ours", ready("ours")),
            Subject("deque broker", "peer", ready("deque")),
        ),
        (Target("ours", "python -c 'import trio'", 3.0, at_most=True),),
        pins=(Pin.FREE,),
    ),
    Case(
        "start-cli",
        "one `kcoro send`, one `kcoro recv`",
        "ms",
        (
            Subject("python -c pass", "floor", command("-c", "pass")),
            Subject("ours, send", "ours", kcoro("send", "hello")),
            Subject("ours, recv", "ours", kcoro("recv")),
        ),
        (
            Target("ours, send", "python -c pass", 8.0, at_most=True),
            Target("ours, recv", "python -c pass", 8.0, at_most=True),
        ),
        pins=(Pin.FREE,),
    ),
)
