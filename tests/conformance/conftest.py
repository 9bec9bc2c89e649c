"""The subjects: a case that asks for `subject` runs on each, and it is checked after."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.daemon_subject import DaemonSubject
from tests.conformance.engine_subject import EngineSubject
from tests.conformance.pump_subject import PumpSubject
from tests.conformance.subject import Subject
from tests.e2e.harness import DaemonProcess, running_daemon

ON_WIRE = ("pump", "daemon-stream", "daemon-seqpacket")
SUBJECTS = ("engine", *ON_WIRE)


@pytest.fixture(scope="session")
def conformance_daemon() -> Iterator[DaemonProcess]:
    """One daemon for all cases, so that what a case leaves behind is seen by the next."""
    directory = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    try:
        with running_daemon(directory) as daemon:
            yield daemon
    finally:
        shutil.rmtree(directory)


def make_subject(label: str, daemon: DaemonProcess) -> Subject:
    if label == "engine":
        return EngineSubject()
    if label == "pump":
        return PumpSubject()
    return DaemonSubject(daemon, label.removeprefix("daemon-"))


def checked(label: str, daemon: DaemonProcess) -> Iterator[Subject]:
    made = make_subject(label, daemon)
    try:
        yield made
        made.check()
    finally:
        made.finish()


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest, conformance_daemon: DaemonProcess) -> Iterator[Subject]:
    yield from checked(request.param, conformance_daemon)


@pytest.fixture(params=ON_WIRE)
def wire_subject(
    request: pytest.FixtureRequest, conformance_daemon: DaemonProcess
) -> Iterator[Subject]:
    """Those with frames: batches, handles, replies that a dead client did not read."""
    yield from checked(request.param, conformance_daemon)
