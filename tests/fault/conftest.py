"""`house`: a running daemon with a bystander; every test that takes it is an attack that must cost
nobody but the attacker anything. `victim`: a process that such a test kills."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.harness import DaemonProcess, running_daemon
from tests.fault.house import House

ROOT = Path(__file__).parents[2]
Kill = Callable[[], None]
Victim = Callable[[str, int], Kill]


@pytest.fixture(scope="module")
def attacked_daemon() -> Iterator[DaemonProcess]:
    """One daemon for a file's attacks: what one leaves behind, the next one sees."""
    directory = Path(tempfile.mkdtemp(prefix="kc-", dir="/tmp"))
    try:
        with running_daemon(directory, log_level="warning") as daemon:
            yield daemon
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def house(attacked_daemon: DaemonProcess) -> Iterator[House]:
    made = House(attacked_daemon)
    try:
        yield made
        made.check()
    finally:
        made.finish()


@pytest.fixture
def victim(house: House, transport: str) -> Iterator[Victim]:
    """`victim(state, chan)` returns when the process is in that state; what it returns kills it,
    and returns when the daemon has seen that."""
    with ExitStack() as stack:

        def start(state: str, chan: int) -> Kill:
            words = [state, transport, house.process.path(transport), str(chan)]
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.fault.victim", *words],
                cwd=ROOT,
                stdout=subprocess.PIPE,
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == b"there\n"

            def kill() -> None:
                process.kill()
                process.wait()
                house.turns()

            return kill

        yield start
