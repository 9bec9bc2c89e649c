"""A C program of the older protocol, compiled as its author would, against our daemon."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
SOURCE = Path(__file__).with_name("abi0_client.c")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("no C compiler: install gcc or clang, or name one in CC")
    program = tmp_path_factory.mktemp("abi0") / "client"
    words = [compiler, "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*words, str(SOURCE), "-o", str(program)], check=True)
    return program


@pytest.mark.parametrize("io", ["trio", "thread"])
@pytest.mark.parametrize("transport", ["seqpacket", "stream"])
def test_an_old_client_finds_what_it_relied_on(
    start_daemon: Callable[..., Any], client: Path, transport: str, io: str
) -> None:
    running = start_daemon("--io", io)
    words = [str(client), transport, running.address(transport)]
    finished = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
