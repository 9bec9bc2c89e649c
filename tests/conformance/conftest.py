"""The subjects: a case that asks for `subject` runs on each, and it is checked after."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kcoro_ipc.building import compile_words, link_words
from tests.conformance.c_client_subject import CClientSubject
from tests.conformance.daemon_subject import DaemonSubject
from tests.conformance.descriptor_subject import DescriptorSubject
from tests.conformance.engine_subject import EngineSubject
from tests.conformance.pump_subject import PumpSubject
from tests.conformance.subject import Subject
from tests.e2e.harness import DaemonProcess, running_daemon

BY_BYTES = ("pump", "daemon-stream", "daemon-seqpacket", "io-thread-stream")
ON_WIRE = (*BY_BYTES, "descriptors-stream", "descriptors-seqpacket")
BY_C = ("c-client-stream", "c-client-seqpacket", "c-client-descriptors-stream")
SUBJECTS = ("engine", *ON_WIRE, *BY_C)
# What does not hold for payloads that go by descriptor.
ABOUT_SIZES = {
    "test_a_channel_at_its_byte_limit_is_full": "ranges are no bytes in a channel",
    "test_over_a_real_socket_unread_replies_go_back": "no reply is large enough to stay behind",
}
# What a program of the C client cannot ask.
ABOUT_HANDLES = {
    "test_a_clause_on_an_unknown_channel_refuses_the_whole_select": "a clause takes a handle",
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


@pytest.fixture(scope="session")
def c_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user of the C client, built as users build: with what the installation names."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler: install gcc or clang, or name one in CC")
    program = tmp_path_factory.mktemp("driver") / "client_driver"
    source = Path(__file__).with_name("client_driver.c")
    words = [compiler, "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
    words += [*compile_words(), str(source), *link_words(static=True)]
    subprocess.run([*words, "-o", str(program)], check=True)
    return program


Daemons = dict[str, DaemonProcess]


@pytest.fixture(scope="session")
def daemons(conformance_daemon: DaemonProcess, threaded_daemon: DaemonProcess) -> Daemons:
    return {"daemon": conformance_daemon, "io-thread": threaded_daemon}


def make_subject(label: str, request: pytest.FixtureRequest, daemons: Daemons) -> Subject:
    if label in BY_C:
        driver = request.getfixturevalue("c_driver")
        loans = "descriptors" in label
        return CClientSubject(daemons["daemon"], label.rpartition("-")[2], driver, loans)
    if label == "engine":
        return EngineSubject()
    if label == "pump":
        return PumpSubject()
    which, _, transport = label.rpartition("-")
    if which == "descriptors":
        return DescriptorSubject(daemons["daemon"], transport)
    return DaemonSubject(daemons[which], transport)


def skip_what_does_not_apply(request: pytest.FixtureRequest) -> None:
    reason = ABOUT_SIZES.get(request.node.originalname)
    if reason is not None and "descriptors" in request.param:
        pytest.skip(f"about sizes: {reason}")
    reason = ABOUT_HANDLES.get(request.node.originalname)
    if reason is not None and request.param in BY_C:
        pytest.skip(f"about handles: {reason}")


def checked(request: pytest.FixtureRequest, daemons: Daemons) -> Iterator[Subject]:
    made = make_subject(request.param, request, daemons)
    try:
        yield made
        made.check()
    finally:
        made.finish()


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest, daemons: Daemons) -> Iterator[Subject]:
    skip_what_does_not_apply(request)
    yield from checked(request, daemons)


@pytest.fixture(params=ON_WIRE)
def wire_subject(request: pytest.FixtureRequest, daemons: Daemons) -> Iterator[Subject]:
    """Those with frames: batches, handles, replies that a dead client did not read."""
    skip_what_does_not_apply(request)
    yield from checked(request, daemons)


@pytest.fixture(params=(*ON_WIRE, *BY_C))
def batch_subject(request: pytest.FixtureRequest, daemons: Daemons) -> Iterator[Subject]:
    """Those with frames, and programs that only use them."""
    skip_what_does_not_apply(request)
    yield from checked(request, daemons)
