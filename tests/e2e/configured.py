"""A daemon with a configuration file, whose service manager is the test; other users who ask it.

What other users may do is asked by processes that really are other users.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kcoro_ipc.embedded import READY_S

PATIENCE_S = 60.0  # bounds what hangs; nothing is judged by time
ALICE, BOB, STAFF, ADMINS = 20_001, 20_002, 30_001, 30_002


class Configured:
    """A `kcoro serve --config` whose service manager this is."""

    def __init__(self, directory: Path, text: str, stack: ExitStack, *options: str) -> None:
        self.path = str(directory / "k.sock")
        self.file = directory / "kcoro.toml"
        self.log_path = directory / "log"
        self.write(text)
        os.chmod(directory, 0o755)
        self.manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.manager.settimeout(READY_S)
        self.manager.bind(str(directory / "notify"))
        log = stack.enter_context(self.log_path.open("wb"))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kcoro_ipc.cli.serve", "--config", str(self.file), *options],
            env=os.environ | {"NOTIFY_SOCKET": str(directory / "notify")},
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
        stack.callback(self._end)
        assert "READY=1" in self.hear(), self.log

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert "Traceback" not in self.log, self.log

    def write(self, text: str) -> None:
        listening = (
            "" if "listen =" in text else f'listen = ["{self.path}"]\nsocket_mode = "0666"\n'
        )
        self.file.write_text(listening + text)

    def hear(self) -> str:
        """What the daemon tells its manager, but for the status line."""
        while (told := self.manager.recv(4096).decode()).startswith("STATUS="):
            pass
        return told

    def reload(self, text: str) -> str:
        """What the log says about it."""
        self.write(text)
        before = len(self.log)
        self.process.send_signal(signal.SIGHUP)
        assert self.hear().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert "READY=1" in self.hear()
        return self.log[before:]

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")


Configure = Callable[..., Configured]


@pytest.fixture
def configure(socket_dir: Path) -> Iterator[Configure]:
    with ExitStack() as stack:
        yield lambda text, *options: Configured(socket_dir, text, stack, *options)


# Everything is imported before the rights are given away: the interpreter's own files may lie where
# only root can read.
AS_ANOTHER = """
import sys
import encodings.idna, os
from kcoro_ipc import blocking, errors, metrics
path, uid, groups, program = sys.argv[1:]
os.setgroups([int(one) for one in groups.split(',') if one])
os.setgid(int(uid)); os.setuid(int(uid))
def code(act):
    try:
        return act()
    except errors.KcoroError as error:
        return error.name
with blocking.open_client(path, name="stranger") as client:
    print(eval(program))
"""


AS_COMMAND = """
import sys
import encodings.idna, os
from kcoro_ipc import blocking
from kcoro_ipc.cli import ending, main
os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
main.main(sys.argv[2:])
"""


def as_another(daemon: Configured, program: str, uid: int = ALICE, groups: str = "") -> str:
    """What an expression gives for a client of that user; `code(lambda: ...)` names an error."""
    finished = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER, daemon.path, str(uid), groups, program],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


NAMES = "sorted(one.name for one in client.list_channels())"

# Configurations that several files of tests begin with.
DECLARED = """
[[channel]]
name = "jobs"
capacity = 2
dead_letter = "failed"
ack = "required"

[[channel]]
name = "failed"
kind = "unlimited"
"""

RULED = f"""
[access]
admin_group = "{ADMINS}"

[[channel]]
name = "board"
capacity = 8
owner = {BOB}
group = {STAFF}
mode = "0640"

[[channel]]
name = "open"
capacity = 8
mode = "0666"

[[channel]]
name = "secret"
capacity = 8
mode = "0777"

[[rule]]
allow = ["make"]
name = "alice.*"
users = [{ALICE}]

[[rule]]
deny = ["make"]

[[rule]]
deny = ["see"]
name = "secret"
users = [{ALICE}]
"""
