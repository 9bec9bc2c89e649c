"""Idle: how often a server wakes while 1,000 receives are parked and nothing happens.

Counted as context switches of all its threads (a sleeper that wakes sleeps again, which is one),
over a window that begins after the last request was answered and the server has had time to fall
asleep; the system calls that strace sees go beside it where strace can be had.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench import proc, resp
from bench.crowd import Crowd
from bench.lab import Lab
from bench.model import Case, Pin, Sample, Subject, Target
from bench.servers import Server

CONNECTIONS = 250
EACH = 4
SETTLE_S = 0.5
WINDOW_S = 5.0
QUICK_WINDOW_S = 1.0
TRACE_S = 2.0


def frames(name: str) -> Callable[[Lab], Sample]:
    """A server of our frames."""

    def park(lab: Lab) -> Crowd:
        crowd = Crowd(lab.server(name).path)
        crowd.join(CONNECTIONS, lab.fresh("idle"))
        crowd.park(each=EACH)
        return crowd

    return lambda lab: _watch(lab, lab.server(name), lab.kept(f"idle at {name}", lambda: park(lab)))


class BlockedPops:
    """1,000 BRPOPs, one per connection: redis parks no more on one."""

    def __init__(self, path: str) -> None:
        self.links = [socket.socket(socket.AF_UNIX) for _ in range(CONNECTIONS * EACH)]
        for link in self.links:
            link.connect(path)
            link.sendall(resp.command(b"BRPOP", b"idle", b"0"))

    def close(self) -> None:
        for link in self.links:
            link.close()


def redis(lab: Lab) -> Sample:
    server = lab.server("redis")
    return _watch(lab, server, lab.kept("idle at redis", lambda: BlockedPops(server.path)))


def _watch(lab: Lab, server: Server, _parked: object) -> Sample:
    window = QUICK_WINDOW_S if lab.settings.quick else WINDOW_S
    time.sleep(SETTLE_S)
    switches, ticks = proc.switches(server.pid), proc.cpu_ticks(server.pid)
    time.sleep(window)
    woken, burnt = proc.switches(server.pid) - switches, proc.cpu_ticks(server.pid) - ticks
    return Sample(woken / window, {"cpu_ticks": burnt, **_traced(lab, server)})


def _traced(lab: Lab, server: Server) -> dict[str, float]:
    """System calls per second that strace saw; nothing where strace is missing or may not look."""
    if shutil.which("strace") is None or lab.settings.quick:
        return {}
    report = lab.directory / "strace.txt"
    words = ("strace", "-f", "-c", "-o", str(report), "-p", str(server.pid))
    tracer = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(TRACE_S)
    tracer.send_signal(signal.SIGINT)
    tracer.wait()
    return {"syscalls_per_s": _total_calls(report) / TRACE_S} if report.exists() else {}


def _total_calls(report: Path) -> int:
    """The calls column of strace -c's last line; an empty report is no call at all."""
    lines = [line.split() for line in report.read_text().splitlines()]
    totals = [words for words in lines if words and words[-1] == "total"]
    return int(totals[0][3]) if totals else 0


IDLE = Case(
    "idle",
    f"wake-ups per second with {CONNECTIONS * EACH:,} parked receives",
    "/s",
    (
        Subject("floor", "floor", frames("floor")),
        Subject("ours", "ours", frames("ours")),
        Subject("redis", "peer", redis),
    ),
    (Target("ours", None, 0.0, at_most=True),),
    pins=(Pin.FREE,),
    max_repetitions=2,
)
