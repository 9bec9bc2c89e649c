"""A daemon that refuses a connection says why and closes, perhaps before the client says HELLO."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import kcoro_ipc
from kcoro_ipc import blocking
from kcoro_ipc.control.greeting import refusal_frame
from kcoro_ipc.errors import QuotaExceeded
from kcoro_ipc.quotas import Limits


@contextmanager
def door(path: str) -> Iterator[None]:
    """It lets the client connect only once the refusal lies in its socket and the door is shut."""
    refusal = refusal_frame(Limits().refuse("connections", 1))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)

        def answer() -> None:
            connection, _ = listener.accept()
            connection.sendall(refusal)
            connection.close()

        keeper = threading.Thread(target=answer)
        keeper.start()
        try:
            yield
        finally:
            keeper.join()


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """HELLO is sent when the door has been shut: the first send waits for the end."""
    from kcoro_ipc.protocol import requests

    say = requests.hello

    def hello(name: str | None) -> bytes:
        for thread in threading.enumerate():
            if thread.name.endswith("(answer)"):
                thread.join()
        return say(name)

    monkeypatch.setattr(requests, "hello", hello)


def test_the_blocking_client_says_why(tmp_path: Path, late: None) -> None:
    path = str(tmp_path / "k.sock")
    with door(path), pytest.raises(QuotaExceeded, match="connections"):
        blocking.open_client(path)


async def test_the_trio_client_says_why(tmp_path: Path, late: None) -> None:
    path = str(tmp_path / "k.sock")
    with door(path), pytest.raises(QuotaExceeded, match="connections"):
        async with kcoro_ipc.open_client(path):
            pass
