"""P5 and P6: large payloads from process to process, and what our daemon spends on them.

Only unpinned: two processes work on payloads at the same time, and that is the point. One by one
and in batches of 64 are subjects of one case; a target says which it means.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager

from bench import carriers, payloads, tools
from bench.lab import Lab
from bench.model import Case, Pin, Role, Sample, Subject, Target
from bench.payloads import GROUP, Carrier, MakeCarrier, Plan, Work

KIB, MIB = 1 << 10, 1 << 20
SIZES = {"64 KiB": 64 * KIB, "1 MiB": MIB, "64 MiB": 64 * MIB}
BATCHES_UP_TO = MIB
DEPTH = 8  # payloads under way, one by one
DEPTH_LARGE = 4
BATCH_DEPTH = 3 * GROUP


def depth_of(size: int) -> int:
    return DEPTH if size <= MIB else DEPTH_LARGE


def measured(
    key: str, make: MakeCarrier, work: Callable[[], Work], size: int, group: int = 1
) -> Callable[[Lab], Sample]:
    depth = BATCH_DEPTH if group > 1 else depth_of(size)

    def measure(lab: Lab) -> Sample:
        tools.module("numpy", "numpy", lab.settings)
        return payloads.bytes_per_second(lab, key, make, Plan(work(), size, depth, group))

    return measure


def zmq(lab: Lab, plan: Plan) -> AbstractContextManager[Carrier]:
    tools.module("zmq", "pyzmq", lab.settings)
    from bench.peers import zmq_payloads

    return zmq_payloads.push(lab, plan)


def iceoryx2(lab: Lab, plan: Plan) -> AbstractContextManager[Carrier]:
    tools.module("iceoryx2", "iceoryx2", lab.settings)
    from bench.peers import iceoryx2_payloads

    return iceoryx2_payloads.service(lab, plan)


def payload_case(name: str, title: str, work: Callable[[], Work], size_name: str) -> Case:
    size = SIZES[size_name]
    rows: list[tuple[str, Role, Callable[[Lab], Sample]]] = [
        ("memory, not handed over", "floor", measured("floor", carriers.memory, work, size)),
        ("ours", "ours", measured("ours", carriers.ours, work, size)),
        ("shared_memory + Pipe", "peer", measured("shm", carriers.shared_memory, work, size)),
        ("iceoryx2", "peer", measured("iceoryx2", iceoryx2, work, size)),
        ("socket copy", "peer", measured("socket", carriers.socket_copy, work, size)),
        ("pyzmq", "peer", measured("zmq", zmq, work, size)),
    ]
    if size <= BATCHES_UP_TO:
        batched = measured("ours x64", carriers.ours, work, size, GROUP)
        rows.insert(2, ("ours, batches of 64", "ours", batched))
    best = "ours, batches of 64" if size <= 64 * KIB else "ours"
    against = {"shared_memory + Pipe": "ours", "iceoryx2": best}
    peers = [row[0] for row in rows if row[1] == "peer"]
    return Case(
        f"{name} {size_name}",
        title,
        "GB/s",
        tuple(Subject(*row) for row in rows),
        tuple(Target(against.get(peer, "ours"), peer, 1.0, at_most=False) for peer in peers),
        pins=(Pin.FREE,),
        lower_is_better=False,
    )


P5 = "the receiver reads a word of each page"
P6 = "the producer fills, the receiver sums all"


def spent(size: int) -> Callable[[Lab], Sample]:
    plan = functools.partial(Plan, size=size, depth=DEPTH)

    def measure(lab: Lab) -> Sample:
        tools.module("numpy", "numpy", lab.settings)
        return payloads.daemon_seconds(lab, "daemon", carriers.ours, plan(payloads.nothing()))

    return measure


DAEMON = Case(
    "P5 daemon",
    "CPU time of our daemon for a payload by descriptor, one by one; nobody looks at it",
    "us/message",
    tuple(Subject(f"ours, {name}", "ours", spent(size)) for name, size in SIZES.items()),
    tuple(Target(f"ours, {name}", "ours, 64 KiB", 1.2, at_most=True) for name in list(SIZES)[1:]),
    pins=(Pin.FREE,),
)

CASES = (
    *(payload_case("P5", P5, payloads.touch, size) for size in SIZES),
    *(payload_case("P6", P6, payloads.whole, size) for size in SIZES),
    DAEMON,
)
