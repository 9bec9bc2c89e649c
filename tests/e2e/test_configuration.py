"""The daemon with a configuration file: channels that are declared in it.

Rights: test_configuration_rights.py; SIGHUP: test_configuration_reload.py.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from kcoro_ipc import blocking
from kcoro_ipc.errors import QuotaExceeded, WouldBlock
from tests.e2e.configured import DECLARED, PATIENCE_S, Configure

pytestmark = pytest.mark.e2e


def test_declared_channels_are_there_and_outlive_every_handle(configure: Configure) -> None:
    daemon = configure(DECLARED)
    for _ in range(2):
        with blocking.open_client(daemon.path) as client:
            jobs = client.open_channel("jobs", existing=True)
            assert (jobs.info.kind, jobs.info.capacity) == ("buffered", 2)
            with jobs.acking() as inbox, pytest.raises(WouldBlock):
                inbox.try_receive()
            jobs.aclose()
            assert [one.name for one in client.list_channels()] == ["failed", "jobs"]


def test_declared_channels_count_in_nobodys_quota(configure: Configure) -> None:
    daemon = configure(DECLARED + "[limits]\nchannels_per_uid = 1\n")
    with blocking.open_client(daemon.path) as client:
        assert client.info().usage["channels"] == 0
        client.make_channel("own")
        with pytest.raises(QuotaExceeded):
            client.make_channel("more")
        client.open_channel("jobs", existing=True).destroy()
        assert client.info().usage["channels"] == 1


def test_a_daemon_that_cannot_make_a_declared_channel_does_not_start(socket_dir: Path) -> None:
    (socket_dir / "k.toml").write_text(DECLARED)
    finished = subprocess.run(
        [
            *(sys.executable, "-m", "kcoro_ipc.cli.serve", "--config", str(socket_dir / "k.toml")),
            *("--listen", str(socket_dir / "k.sock"), "--limit", "channels=1"),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert finished.returncode == 1
    assert "the daemon cannot start: channel jobs: " in finished.stderr
    assert "limits.channels" in finished.stderr
