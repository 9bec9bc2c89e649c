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
from tests.conformance.runtime_subject import RuntimeSubject
from tests.conformance.subject import Subject
from tests.e2e.harness import DaemonProcess, running_daemon

BY_BYTES = ("pump", "daemon-stream", "daemon-seqpacket", "io-thread-stream")
ON_WIRE = (*BY_BYTES, "descriptors-stream", "descriptors-seqpacket")
BY_C = ("c-client-stream", "c-client-seqpacket", "c-client-descriptors-stream")
# Coroutines' channels: with a lock each, and those of an engine that others could use.
BY_COROUTINES = ("runtime", "runtime-shared")
SUBJECTS = ("engine", *BY_COROUTINES, *ON_WIRE, *BY_C)
# What does not hold for payloads that go by descriptor.
ABOUT_SIZES = {
    "test_a_channel_at_its_byte_limit_is_full": "ranges are no bytes in a channel",
    "test_over_a_real_socket_unread_replies_go_back": "no reply is large enough to stay behind",
}
# What a program of the C client cannot ask.
ABOUT_HANDLES = {
    "test_a_clause_on_an_unknown_channel_refuses_the_whole_select": "a clause takes a handle",
}
# What kc_channel.h does not have, by module or test: there a message is done when it was received.
NO_ACKS = "kc_channel has no acknowledgement"
NO_TTL = "kc_channel has no time to live, and nobody ticks its engine"
NO_SENDER = "kc_channel tells no sender"
NO_BYTE_LIMIT = "kc_channel_config has no max_bytes"
ABOUT_ENGINE = {
    "test_ack": NO_ACKS,
    "test_ttl": NO_TTL,
    "test_sender": NO_SENDER,
    "test_receivers_wait_while_a_held_message_may_come_back": NO_ACKS,
    "test_a_held_message_may_be_acknowledged_after_destroy": NO_ACKS,
    "test_a_held_message_of_a_destroyed_channel_never_comes_back": NO_ACKS,
    "test_a_conflated_channel_refuses_acknowledgement": NO_ACKS,
    "test_a_select_may_ask_to_acknowledge[runtime-True]": NO_ACKS,
    "test_a_select_may_ask_to_acknowledge[runtime-shared-True]": NO_ACKS,
    "test_an_acking_clause_on_a_conflated_channel_is_refused": NO_ACKS,
    "test_a_channel_at_its_byte_limit_is_full": NO_BYTE_LIMIT,
    "test_a_message_over_the_byte_limit_still_fits_an_empty_channel_or_never": NO_BYTE_LIMIT,
    "test_drop_newest_keeps_what_was_there": "kc_channel_send does not say that it dropped",
    "test_a_clause_on_an_unknown_channel_refuses_the_whole_select": "a clause takes a pointer",
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
    """A user of the C client."""
    return built(tmp_path_factory.mktemp("driver") / "client_driver")


@pytest.fixture(scope="session")
def runtime_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Coroutines that are asked line by line."""
    return built(tmp_path_factory.mktemp("driver") / "runtime_driver")


def built(program: Path) -> Path:
    """As users build: with what the installation names."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler: install gcc or clang, or name one in CC")
    source = Path(__file__).with_name(f"{program.name}.c")
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
    if label in BY_COROUTINES:
        driver = request.getfixturevalue("runtime_driver")
        return RuntimeSubject(driver, label.partition("-")[2])
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
    names = (request.node.path.stem, request.node.originalname, request.node.name)
    reasons = [ABOUT_ENGINE[name] for name in names if name in ABOUT_ENGINE]
    if reasons and request.param in BY_COROUTINES:
        pytest.skip(f"about the engine alone: {reasons[0]}")
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
