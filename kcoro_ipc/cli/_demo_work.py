"""One of the demo's four processes: `python -m kcoro_ipc.cli._demo_work ROLE STREAM SOCKET ROOT`.

A producer sends a stream and closes its channel; a consumer receives to the end and acknowledges
each message after it was counted. Both tell how far they are over a channel of the same daemon.
"""

import sys
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from kcoro_ipc import blocking
from kcoro_ipc.cli._demo_material import STREAMS, Tally
from kcoro_ipc.errors import EndOfChannel, WouldBlock

BATCH = 256
TELL_EVERY_S = 0.05
REPORTS = "reports"


class Reporter:
    """Tells the judge: now and then how far it is (lost when nobody has time), at the end all."""

    def __init__(self, client: blocking.Client, role: str, stream: str) -> None:
        self._channel = client.open_channel(REPORTS, existing=True, codec="json")
        self._about = {"role": role, "stream": stream}
        self._began = time.monotonic()
        self._told = 0.0

    def progress(self, tally: Tally) -> None:
        if time.monotonic() - self._told < TELL_EVERY_S:
            return
        self._told = time.monotonic()
        try:
            self._channel.try_send({**self._about, "done": False, "messages": tally.messages})
        except WouldBlock:
            pass  # the judge has enough to read: the next one will do

    def finished(self, tally: Tally) -> None:
        seconds = time.monotonic() - self._began
        report: dict[str, Any] = {**self._about, "done": True, "seconds": seconds}
        self._channel.send(report | tally.result()._asdict())


def produce(channel: blocking.Channel, messages: Iterable[bytes], reporter: Reporter) -> None:
    tally, source = Tally(), iter(messages)
    size = 1 if channel.info.kind == "rendezvous" else BATCH
    while batch := list(islice(source, size)):
        waiting = batch
        while waiting:
            waiting = waiting[channel.send_many(waiting) :]
        for message in batch:
            tally.add(message)
        reporter.progress(tally)
    channel.close()
    reporter.finished(tally)


def consume(channel: blocking.Channel, reporter: Reporter) -> None:
    tally = Tally()
    with channel.acking() as inbox:
        try:
            while True:
                jobs = inbox.receive_many(BATCH)
                for job in jobs:
                    tally.add(job.data)
                inbox.ack(*jobs)
                reporter.progress(tally)
        except EndOfChannel:
            reporter.finished(tally)


def main(role: str, stream: str, socket: str, root: str) -> None:
    with blocking.open_client(socket, name=f"demo {role} of {stream}") as client:
        reporter = Reporter(client, role, stream)
        if role == "producer":
            channel = client.open_channel(stream, existing=True, read=False)
            produce(channel, STREAMS[stream](Path(root)), reporter)
        else:
            consume(client.open_channel(stream, existing=True, write=False), reporter)


if __name__ == "__main__":
    main(*sys.argv[1:])
