"""Scale: what one operation costs when there is little of everything, and when there is much.

Each pair of subjects is two servers of the same kind, one with few channels, waiters or waiting
messages and one with many; the same client does the same work on both in turn, so the ratio says
how the cost grows. Cost: nanoseconds per send or receive, in replied bursts of one connection.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import raw
from bench.crowd import Crowd, ping
from bench.lab import Lab
from bench.model import Case, Pin, Role, Sample, Subject, Target
from kcoro_ipc import _wire

BURST = 32  # sends, and as many receives, in flight together
MANY = 10_000
QUICK_MANY = 2_000
DEPTH = 1_000_000
QUICK_DEPTH = 50_000
FEW = 10
ELEMENT = b"sixteen bytes..."
FILL = 1024
HOUR_MS = 3_600_000
WAITERS_EACH = 1000  # one connection may park 1,024
GROWTH = 1.2


@dataclass
class Bench:
    """A prepared server: `work` does `operations` operations."""

    work: Callable[[], None]
    operations: int
    crowd: Crowd

    def close(self) -> None:
        self.crowd.close()


Prepare = Callable[[str, int], Bench]


def channels(path: str, count: int) -> Bench:
    """Sends and receives spread over `count` channels of one connection."""
    crowd = Crowd(path)
    crowd.join(1, "first")
    link = crowd.links[0]
    numbers = _make_channels(link, count)
    blocks = [
        raw.Burst(link, _pairs([numbers[(at + i) % count] for i in range(BURST)]))
        for at in range(0, max(count, BURST), BURST)
    ]

    def work() -> None:
        for block in blocks:
            block()

    return Bench(work, 2 * BURST * len(blocks), crowd)


def _make_channels(link: raw.Link, count: int) -> list[int]:
    numbers = []
    for at in range(0, count, 64):
        names = [f"scale{i}" for i in range(at, min(at + 64, count))]
        frames = [raw.make_frame(name, FEW, request=i + 1) for i, name in enumerate(names)]
        link.socket.sendall(b"".join(frames))
        replies = [raw.succeeded(link.read_frame()) for _ in names]
        numbers += [raw.number(reply, _wire.ATTR_CHAN_ID) for reply in replies]
    return numbers


def _pairs(numbers: list[int]) -> list[bytes]:
    sends = [raw.send_frame(i + 1, number, ELEMENT) for i, number in enumerate(numbers)]
    receives = [raw.recv_frame(BURST + i + 1, number) for i, number in enumerate(numbers)]
    return sends + receives


def waiters_elsewhere(path: str, count: int) -> Bench:
    """One busy channel while `count` receives with a deadline are parked on others."""
    crowd = Crowd(path)
    crowd.join(FEW, "busy")
    idle = Crowd(path)
    for i in range(FEW):
        idle.join(1, f"idle{i}")
    idle.park(HOUR_MS, each=count // FEW)
    crowd.links += idle.links
    burst = raw.Burst(crowd.links[0], _pairs([crowd.channels[0]] * BURST))
    return Bench(burst, 2 * BURST, crowd)


def waiters_here(path: str, count: int) -> Bench:
    """A channel where `count` receives are parked: a send serves the head, who parks again."""
    crowd = Crowd(path)
    connections = max(1, count // WAITERS_EACH)
    crowd.join(1 + connections, "line")
    number = crowd.channels[0]
    requests = [raw.recv_frame(i + 1, number) for i in range(count // connections)]
    line = []
    for link in crowd.links[1:]:
        for at in range(0, len(requests), FEW):
            line.append(raw.Burst(link, requests[at : at + FEW]))
            line[-1].write()
        # Turns are fair between connections: only an answer behind them tells that these stand in
        # line before those of the next connection.
        link.call(ping(len(requests) + 1))
    sends = [raw.send_frame(i + 1, number, ELEMENT) for i in range(FEW)]
    producer = raw.Burst(crowd.links[0], sends)

    def work() -> None:
        for block in line:
            producer()
            block.read()
            block.write()

    return Bench(work, 2 * FEW * len(line), crowd)


def depth(path: str, count: int) -> Bench:
    """A channel in which `count` messages wait: a send adds the last, a receive takes the first."""
    crowd = Crowd(path)
    crowd.join(1, "first")
    link = crowd.links[0]
    number = link.make("deep", _wire.MAX_CAPACITY)
    for at in range(0, count, FILL):
        link.call(raw.send_frame(1, number, *[ELEMENT] * min(FILL, count - at)))
    return Bench(raw.Burst(link, _pairs([number] * BURST)), 2 * BURST, crowd)


def cost(server: str, prepare: Prepare, many: int, quick: int) -> Callable[[Lab], Sample]:
    """Nanoseconds per operation on a server of its own that holds `many` (`quick`) things."""

    def measure(lab: Lab) -> Sample:
        count = quick if lab.settings.quick else many
        name = f"{server} {prepare.__name__} {many}"
        path = lab.extra_server(server, name).path
        bench = lab.kept(name, lambda: prepare(path, count))
        return Sample(_measured(bench, lab.settings.seconds))

    return measure


def _measured(bench: Bench, seconds: float) -> float:
    bench.work()
    done, begin = 0, time.monotonic()
    while time.monotonic() - begin < seconds:
        bench.work()
        done += bench.operations
    return (time.monotonic() - begin) / done * 1e9


def _case(key: str, title: str, prepare: Prepare, many: int, quick: int) -> Case:
    roles: tuple[Role, ...] = ("floor", "ours")
    sizes = ((FEW, FEW), (many, quick))
    subjects = tuple(
        Subject(f"{role}, {size:,}", role, cost(role, prepare, size, size_quick))
        for role in roles
        for size, size_quick in sizes
    )
    target = Target(f"ours, {many:,}", f"ours, {FEW:,}", GROWTH, at_most=True)
    return Case(key, title, "ns", subjects, (target,), pins=(Pin.SAME,))


CASES = (
    _case("scale-channels", "cost per operation, number of channels", channels, MANY, QUICK_MANY),
    _case(
        "scale-parked",
        "cost per operation, receives with a deadline parked on other channels",
        waiters_elsewhere,
        MANY,
        QUICK_MANY,
    ),
    _case(
        "scale-line",
        "cost per operation, receives parked on this channel",
        waiters_here,
        MANY,
        QUICK_MANY,
    ),
    _case("scale-depth", "cost per operation, messages waiting", depth, DEPTH, QUICK_DEPTH),
)
