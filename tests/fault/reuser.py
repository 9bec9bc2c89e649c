"""Two clients of two users after each other in one process number, and what a daemon tells of them.

    unshare --pid --fork --kill-child --mount-proc -- python -m tests.fault.reuser UID UID

Process numbers are this namespace's own, so the one to be given next can be set (ns_last_pid, see
pid_namespaces(7)); the daemon stands in it, for it must see those numbers. What was seen is one
JSON object on standard output; test_hostile_identity.py judges it.
"""

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kcoro_ipc import _wire
from tests.e2e.harness import DaemonProcess, running_daemon
from tests.fault.passer import Passer
from tests.fault.peer import Peer

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
TRIES = 1_000  # threads of the daemon take numbers, too
PRIVATE = {"KIND": 1, "CAPACITY": 8, "MODE": 0o600}
OPEN = {"KIND": 1, "CAPACITY": 8, "MODE": 0o666}


def reborn(pid: int, uid: int) -> Passer:
    """A process with that number, which nobody has."""
    for _ in range(TRIES):
        LAST_PID.write_text(str(pid - 1))
        made = Passer(uid)
        if made.pid == pid:
            return made
        made.end()
    raise AssertionError(f"nobody was given number {pid} in {TRIES} tries")


class Scene:
    def __init__(self, daemon: DaemonProcess, stack: ExitStack) -> None:
        self.daemon = daemon
        self.stack = stack
        self.seen: dict[str, Any] = {}
        self.ours = stack.enter_context(Peer(daemon.connect()))
        self.ours.hello()
        self.shared = self.ours.make("shared", **OPEN)
        self.idle = self.ours.make("idle", **OPEN)

    def joins(self, passer: Passer, name: str) -> Peer:
        """Its connection, in our hands: it sent a message and waits for one, by request 7."""
        peer = self.stack.enter_context(passer.connect(self.daemon.stream))
        peer.hello(CLIENT_NAME=name.encode())
        peer.open(self.shared)
        peer.open(self.idle)
        assert peer.result("CHAN_SEND", CHAN_ID=self.shared, ELEMENT=b"x") == 0
        peer.write("CHAN_RECV", REQ_ID=7, CHAN_ID=self.idle, TIMEOUT_MS=-1)
        assert peer.lives()
        return peer

    def play(self, uids: list[int]) -> None:
        before = self.stack.enter_context(Passer(uids[0]))
        first = self.joins(before, "first")
        hers = first.make("hers", **PRIVATE)
        before.end()
        after = self.stack.enter_context(reborn(before.pid, uids[1]))
        second = self.joins(after, "second")
        self.seen["pids"] = [before.pid, after.pid]
        self.why()
        answer = second.ask("CHAN_OPEN", NAME=b"hers", FLAGS=3, TIMEOUT_MS=0)
        self.seen["opens what is the first's"] = answer["RESULT"]
        self.seen["on the first's connection"] = first.result("CHAN_CLOSE", CHAN_ID=hers)
        self.ends(second)
        self.senders()
        self.wakes(first)

    def why(self) -> None:
        words = [sys.executable, "-m", "kcoro_ipc", "--socket", self.daemon.stream, "why", "idle"]
        text = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        data = subprocess.run([*words, "--json"], check=True, capture_output=True, text=True).stdout
        self.seen |= {"why as text": text, "why": json.loads(data)["waits"]}

    def ends(self, second: Peer) -> None:
        second.write("CANCEL", REQ_ID=7)
        answer = second.read()
        assert answer is not None
        self.seen["cancelled"] = [answer["REQ_ID"], answer["RESULT"]]
        second.socket.close()

    def senders(self) -> None:
        found = []
        for _ in range(2):
            flags = _wire.FLAG_RECV_SENDER
            answer = self.ours.ask("CHAN_RECV", CHAN_ID=self.shared, TIMEOUT_MS=0, FLAGS=flags)
            (item,) = answer["ITEM"]
            found.append([item["SENDER_UID"], item["SENDER_PID"]])
        self.seen["senders"] = found

    def wakes(self, first: Peer) -> None:
        text = "for whoever still waits"
        assert self.ours.result("CHAN_SEND", CHAN_ID=self.idle, ELEMENT=text.encode()) == 0
        answer = first.read()
        assert answer is not None
        got = [answer["REQ_ID"], answer["RESULT"], answer["ELEMENT"][0].decode()]
        self.seen["received by the first"] = got


def main(uids: list[int]) -> None:
    with tempfile.TemporaryDirectory(prefix="kc-", dir="/tmp") as name, ExitStack() as stack:
        place = Path(name)
        place.chmod(0o755)
        daemon = stack.enter_context(running_daemon(place, "--socket-mode", "666"))
        scene = Scene(daemon, stack)
        scene.play(uids)
    print(json.dumps(scene.seen))


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
