"""P5 and P6 for pyzmq: PUSH and PULL over a Unix socket, without a proxy and without copies in
Python (`copy=False`). A buffer is written again when libzmq has let go of it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count as numbers
from itertools import cycle, islice
from typing import Any

from bench.lab import Lab
from bench.payloads import Plan
from bench.peers import zmq_loads
from bench.transports import Many

zmq: Any = importlib.import_module("zmq")  # a peer: not there where we are type-checked

WAITING = 2  # messages at each end, beside what the socket holds


class Push:
    """A Carrier."""

    def __init__(self, path: str) -> None:
        self._address = f"ipc://{path}"

    def _end(self, kind: int) -> Any:
        made = zmq.Context.instance().socket(kind)
        made.set_hwm(WAITING)
        return made

    def producer(self, plan: Plan) -> Many:
        out = self._end(zmq.PUSH)
        out.bind(self._address)
        put, number = plan.work.put, numbers(1)
        slots = [bytearray(plan.size) for _ in range(plan.depth)]
        held: dict[int, Any] = {}  # by slot: says when libzmq has let go of it
        turn = cycle(range(plan.depth))

        def run(count: int) -> None:
            for slot in islice(turn, count):
                if slot in held:
                    held[slot].wait()
                put(slots[slot], next(number))
                held[slot] = out.send(slots[slot], copy=False, track=True)

        return run

    def consumer(self, plan: Plan) -> Many:
        back = self._end(zmq.PULL)
        back.connect(self._address)
        check, number = plan.work.check, numbers(1)

        def run(count: int) -> None:
            for _ in range(count):
                check(back.recv(copy=False).buffer, next(number))

        return run

    def leave(self) -> None:
        zmq_loads.leave()


@contextmanager
def push(lab: Lab, _plan: Plan) -> Iterator[Push]:
    yield Push(str(lab.directory / lab.fresh("zmq")))
