"""P1 to P4: what a message costs through the broker, against the floor and the peers.

The same raw client and the same frames drive the floor, ours and the deque broker; redis is
driven in the same form (prebuilt RESP) and as its users have it. P2 has two forms, 64 frames in
flight and one frame of 64 elements; a ratio compares one form with the same form, or with redis
at its best.
"""

from __future__ import annotations

from collections.abc import Callable

from bench import loads, resp, tools, trio_loads, users
from bench.lab import Lab
from bench.model import Case, Pin, Role, Sample, Subject, Target
from bench.transports import PAYLOAD, RawFrames, Transport, cut

Load = Callable[[Lab, str, Callable[[], Transport]], Sample]

SAME, FREE = Pin.SAME, Pin.FREE


def via(server: str, transport: Callable[[str], Transport], load: Load) -> Callable[[Lab], Sample]:
    """Measures `load` through a transport to a server."""

    def measure(lab: Lab) -> Sample:
        path = lab.server(server).path
        return load(lab, f"{server} {transport.__name__} {load.__name__}", lambda: transport(path))

    return measure


def io_thread(load: Load) -> Callable[[Lab], Sample]:
    """Ours with its turns in a thread of their own."""
    return via("ours, io thread", RawFrames, load)


def via_redis_py(load: Load) -> Callable[[Lab], Sample]:
    def measure(lab: Lab) -> Sample:
        tools.module("redis", "redis", lab.settings)
        return via("redis", users.RedisPy, load)(lab)

    return measure


def zmq(name: str) -> Callable[[Lab], Sample]:
    def measure(lab: Lab) -> Sample:
        tools.module("zmq", "pyzmq", lab.settings)
        from bench.peers import zmq_loads

        load: Callable[[Lab], Sample] = getattr(zmq_loads, name)
        return load(lab)

    return measure


def dbus_ping(lab: Lab) -> Sample:
    tools.module("jeepney", "jeepney", lab.settings)
    from bench.peers import dbus_loads

    return dbus_loads.ping_pong(lab)


def in_64(lab: Lab, key: str, make: Callable[[], Transport]) -> Sample:
    return loads.batches(lab, key + " 4x64", make, loads.PRODUCERS, 64, 1)


def in_512(lab: Lab, key: str, make: Callable[[], Transport]) -> Sample:
    return loads.batches(lab, key + " 1x512", make, 1, loads.BATCH, loads.DEPTH)


def standard(load: Load) -> tuple[Subject, ...]:
    """The subjects that every load has."""
    rows: tuple[tuple[str, Role, Callable[[Lab], Sample]], ...] = (
        ("floor", "floor", via("floor", RawFrames, load)),
        ("ours", "ours", via("ours", RawFrames, load)),
        ("redis, same form", "peer", via("redis", resp.Resp, load)),
        ("redis-py", "peer", via_redis_py(load)),
        ("trio + deque", "peer", via("deque", RawFrames, load)),
        ("ours, blocking client", "ours", via("ours", users.Blocking, load)),
    )
    return tuple(Subject(*row) for row in rows)


P1 = Case(
    "P1",
    "ping-pong, every send and receive replied, p50 of a round trip, 64 B",
    "us",
    (
        *standard(loads.ping_pong),
        Subject("ours, trio client", "ours", trio_loads.ping_pong),
        Subject("ours, --io thread", "ours", io_thread(loads.ping_pong)),
        Subject("pyzmq + proxy (no replies)", "peer", zmq("ping_pong")),
        Subject("D-Bus, jeepney (a method call)", "peer", dbus_ping),
    ),
    (
        Target("ours", "floor", 1.1, at_most=True, pin=SAME),
        Target("ours", "floor", 1.0, at_most=True, pin=FREE),
        Target("ours", "redis, same form", 0.85, at_most=True, pin=SAME),
        Target("ours", "redis-py", 0.6, at_most=True, pin=SAME),
    ),
)

P2 = Case(
    "P2",
    "4 producers, 4 consumers, 64 in flight, every message counted, 64 B",
    "msg/s",
    (
        *standard(loads.windows),
        Subject("floor, batches", "floor", via("floor", RawFrames, in_64)),
        Subject("ours, batches", "ours", via("ours", RawFrames, in_64)),
        Subject("redis, LPUSH x64 BLMPOP", "peer", via("redis", resp.Resp, in_64)),
        Subject("ours, trio client", "ours", trio_loads.windows),
        Subject("pyzmq + proxy (no replies)", "peer", zmq("stream")),
    ),
    (
        Target("ours", "floor", 0.9, at_most=False),
        Target("ours, batches", "floor, batches", 0.9, at_most=False),
        Target("ours, batches", "redis, LPUSH x64 BLMPOP", 1.2, at_most=False),
        Target("ours", "redis, same form", 3.0, at_most=False),
    ),
    lower_is_better=False,
)

P3 = Case(
    "P3",
    "4 producers, 4 consumers, one call per message, 64 B",
    "msg/s",
    (*standard(loads.calls), Subject("ours, trio client", "ours", trio_loads.calls)),
    (
        Target("ours", "floor", 0.9, at_most=False),
        Target("ours", "redis, same form", 1.2, at_most=False, pin=SAME),
        Target("ours", "redis, same form", 1.0, at_most=False, pin=FREE),
        Target("ours", "redis-py", 1.5, at_most=False),
    ),
    lower_is_better=False,
)


def objects(lab: Lab) -> Sample:
    """No broker at all: cutting a reply into bytes objects, which any Python receiver must do."""
    reply = (b"\0" * 4 + PAYLOAD) * loads.BATCH

    def worker(count: int, gate: Callable[[], None]) -> loads.Span:
        import time

        gate()
        begin = time.monotonic_ns()
        for _ in range(count // loads.BATCH):
            cut(reply, loads.BATCH)
        return begin, time.monotonic_ns()

    def trial(count: int) -> float:
        return loads.seconds(lab.workers([lambda gate: worker(count, gate)]))

    return loads.rate(lab, "objects", loads.BATCH_GRANULE, trial)


P4 = Case(
    "P4",
    f"1 producer, 1 consumer, batches of {loads.BATCH}, Python bytes objects at the far end, 64 B",
    "msg/s",
    (
        *standard(in_512),
        Subject("ours, trio client", "ours", trio_loads.batches),
        Subject("bytes objects, no broker", "floor", objects),
    ),
    (
        Target("ours", "redis, same form", 2.0, at_most=False),
        Target("ours, blocking client", "redis-py", 2.0, at_most=False),
    ),
    pins=(FREE,),
    lower_is_better=False,
)

CASES = (P1, P2, P3, P4)
