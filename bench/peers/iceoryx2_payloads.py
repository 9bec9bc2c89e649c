"""P5 and P6 for iceoryx2: publish and subscribe with loans, nothing dropped, one subscriber.

The subscriber polls and yields the cpu between polls that found nothing. iceoryx2 has no batches
(it sends and takes without a system call), so one row stands for both.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count as numbers
from pathlib import Path
from typing import Any

from bench.lab import Lab
from bench.model import FailedError
from bench.payloads import Plan
from bench.transports import Many

iox2: Any = importlib.import_module("iceoryx2")  # a peer: not there where we are type-checked

PATIENCE_S = 10.0
EMPTY_POLLS_BEFORE_CLOCK = 1 << 16


class Service:
    """A Carrier. What its processes leave behind is removed by the prefix of its names."""

    def __init__(self, prefix: str, root: Path) -> None:
        self._prefix = prefix
        self._root = root
        self._ends: list[Any] = []
        self._published = os.pipe()
        self._subscribed = os.pipe()

    def _open(self, plan: Plan) -> Any:
        iox2.set_log_level(iox2.LogLevel.Error)
        config = iox2.config.default()
        config.global_cfg.prefix = iox2.FileName.new(self._prefix)
        config.global_cfg.root_path = iox2.Path.new(str(self._root))
        builder = iox2.NodeBuilder.new().config(config)
        node = builder.signal_handling_mode(iox2.SignalHandlingMode.Disabled).create(
            iox2.ServiceType.Ipc
        )
        service = (
            node.service_builder(iox2.ServiceName.new("payloads"))
            .publish_subscribe(iox2.Slice[ctypes.c_uint8])
            .payload_alignment(iox2.Alignment.new(4096))
            .enable_safe_overflow(False)
            .subscriber_max_buffer_size(max(1, plan.depth - 2))
            .subscriber_max_borrowed_samples(1)
            .max_publishers(1)
            .max_subscribers(1)
            .open_or_create()
        )
        self._ends = [node, service]
        return service

    def producer(self, plan: Plan) -> Many:
        service = self._open(plan)
        builder = service.publisher_builder().initial_max_slice_len(plan.size)
        strategy = iox2.BackpressureStrategy.RetryUntilDelivered
        publisher = builder.backpressure_strategy(strategy).max_loaned_samples(1).create()
        os.write(self._published[1], b"p")
        os.read(self._subscribed[0], 1)  # what is sent before has no receiver
        publisher.update_connections()
        payload_type, put, number = ctypes.c_uint8 * plan.size, plan.work.put, numbers(1)
        loan, place = publisher.loan_slice_uninit, payload_type.from_address

        def run(count: int) -> None:
            for _ in range(count):
                sample = loan(plan.size)
                put(place(sample.payload_ptr), next(number))
                sample.assume_init().send()

        self._ends.append(publisher)
        return run

    def consumer(self, plan: Plan) -> Many:
        os.read(self._published[0], 1)
        subscriber = self._open(plan).subscriber_builder().create()
        os.write(self._subscribed[1], b"s")
        payload_type, check, number = ctypes.c_uint8 * plan.size, plan.work.check, numbers(1)
        receive, place = subscriber.receive, payload_type.from_address

        def run(count: int) -> None:
            for _ in range(count):
                sample = receive() or _polled(receive)
                check(place(sample.payload_ptr), next(number))
                sample.delete()

        self._ends.append(subscriber)
        return run

    def leave(self) -> None:
        self._ends.clear()

    def remove(self) -> None:
        for number in (*self._published, *self._subscribed):
            os.close(number)
        for left in Path("/dev/shm").glob(f"{self._prefix}*"):
            left.unlink(missing_ok=True)


def _polled(receive: Any) -> Any:
    begin = time.monotonic()
    while time.monotonic() - begin < PATIENCE_S:
        for _ in range(EMPTY_POLLS_BEFORE_CLOCK):
            sample = receive()
            if sample is not None:
                return sample
            os.sched_yield()
    raise FailedError("no sample came")


@contextmanager
def service(lab: Lab, _plan: Plan) -> Iterator[Service]:
    name = lab.fresh(f"kcb{os.getpid()}_")
    made = Service(f"{name}_", lab.directory / name)
    try:
        yield made
    finally:
        made.remove()
