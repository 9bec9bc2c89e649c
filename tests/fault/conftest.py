"""`house`: a running daemon with a bystander; every test that takes it is an attack that must cost
nobody but the attacker anything."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import DaemonProcess, running_daemon
from tests.fault.house import House


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
