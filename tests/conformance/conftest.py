"""The subjects: a case that asks for `subject` runs on each, and it is checked after."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.daemon_subject import DaemonSubject
from tests.conformance.descriptor_subject import DescriptorSubject
from tests.conformance.engine_subject import EngineSubject
from tests.conformance.pump_subject import PumpSubject
from tests.conformance.subject import Subject
from tests.e2e.harness import DaemonProcess, running_daemon

BY_BYTES = ("pump", "daemon-stream", "daemon-seqpacket", "io-thread-stream")
ON_WIRE = (*BY_BYTES, "descriptors-stream", "descriptors-seqpacket")
SUBJECTS = ("engine", *ON_WIRE)
# What does not hold for payloads that go by descriptor.
ABOUT_SIZES = {
    "test_a_channel_at_its_byte_limit_is_full": "ranges are no bytes in a channel",
    "test_over_a_real_socket_unread_replies_go_back": "no reply is large enough to stay behind",
}


def serving(*options: str) -> Iterator[DaemonProcess]:
    directory = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    try:
        with running_daemon(directory, *options) as daemon:
            yield daemon
    finally:
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def conformance_daemon() -> Iterator[DaemonProcess]:
    """One daemon for all cases, so that what a case leaves behind is seen by the next."""
    yield from serving()


@pytest.fixture(scope="session")
def threaded_daemon() -> Iterator[DaemonProcess]:
    """The same whose turns run in a thread of their own."""
    yield from serving("--io", "thread")


Daemons = dict[str, DaemonProcess]


@pytest.fixture(scope="session")
def daemons(conformance_daemon: DaemonProcess, threaded_daemon: DaemonProcess) -> Daemons:
    return {"daemon": conformance_daemon, "io-thread": threaded_daemon}


def make_subject(label: str, daemons: Daemons) -> Subject:
    if label == "engine":
        return EngineSubject()
    if label == "pump":
        return PumpSubject()
    which, _, transport = label.rpartition("-")
    if which == "descriptors":
        return DescriptorSubject(daemons["daemon"], transport)
    return DaemonSubject(daemons[which], transport)


def skip_sizes(request: pytest.FixtureRequest) -> None:
    reason = ABOUT_SIZES.get(request.node.originalname)
    if reason is not None and request.param.startswith("descriptors"):
        pytest.skip(f"about sizes: {reason}")


def checked(label: str, daemons: Daemons) -> Iterator[Subject]:
    made = make_subject(label, daemons)
    try:
        yield made
        made.check()
    finally:
        made.finish()


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest, daemons: Daemons) -> Iterator[Subject]:
    skip_sizes(request)
    yield from checked(request.param, daemons)


@pytest.fixture(params=ON_WIRE)
def wire_subject(request: pytest.FixtureRequest, daemons: Daemons) -> Iterator[Subject]:
    """Those with frames: batches, handles, replies that a dead client did not read."""
    skip_sizes(request)
    yield from checked(request.param, daemons)
