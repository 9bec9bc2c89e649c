"""A hall that is closed after the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.daemon.hall import Hall


@pytest.fixture
def hall(socket_dir: Path) -> Iterator[Hall]:
    made = Hall(socket_dir, connections_per_uid=1_000)
    yield made
    made.close()
