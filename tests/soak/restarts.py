"""The part of the soak whose daemon dies: killed and started again at its path, while its clients
connect again by themselves (renewing.py) and account for what was in doubt.

Between two kills there was traffic: in each of its lives the daemon handed over messages.
"""

import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from kcoro_ipc import blocking
from kcoro_ipc.errors import NoSuchChannel
from tests.e2e.harness import STUCK_S, DaemonProcess
from tests.soak.checks import Checks
from tests.soak.journal import RENEWED, Renewed, lines_of
from tests.soak.renewing import SENDERS

WORKERS = 2
TRAFFIC = 50  # messages that a life hands over at least


class Restarts:
    def __init__(self, place: Path, chance: random.Random, checks: Checks) -> None:
        self.place = place / "restarts"
        self.place.mkdir()
        self.checks = checks
        self.kills = 0
        self.daemon = self._daemon()
        self.workers = [self._worker(number, chance) for number in range(WORKERS)]

    def _daemon(self) -> DaemonProcess:
        return DaemonProcess(self.place, log_level="warning")

    def _worker(self, number: int, chance: random.Random) -> "subprocess.Popen[bytes]":
        journal = str(self.place / f"journal-{number}")
        words = (self.daemon.stream, str(chance.getrandbits(32)), journal)
        with (self.place / f"worker-{number}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.soak.renewing", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def again(self) -> None:
        """Once there was traffic: killed, and started again."""
        self._traffic()
        self.daemon.kill()
        self.kills += 1
        self._read_log()
        self.daemon = self._daemon()

    def _traffic(self) -> None:
        until = time.monotonic() + STUCK_S
        with blocking.open_client(self.daemon.stream) as probe:
            while (many := self._handed_over(probe)) < TRAFFIC and time.monotonic() < until:
                time.sleep(0.01)
        went_on = many >= TRAFFIC
        self.checks.that(went_on, f"after restart {self.kills} the clients did not go on")

    def _handed_over(self, probe: blocking.Client) -> int:
        with suppress(NoSuchChannel):
            return probe.statistics(RENEWED).total_recvs
        return 0

    def _read_log(self) -> None:
        clean = "Traceback" not in self.daemon.log()
        self.checks.that(clean, f"life {self.kills} of the daemon that is killed has a traceback")

    def finish(self) -> None:
        """The last life ends in order, with nobody there."""
        self._traffic()
        for worker in self.workers:
            ended = worker.poll()
            self.checks.that(ended is None, f"a renewing worker ended by itself with {ended}")
            worker.kill()
            worker.wait()
        with blocking.open_client(self.daemon.stream) as client:
            client.open_channel(RENEWED).purge()
        status = self.daemon.stop()
        self.checks.that(status == 0, f"the daemon that was killed ended at last with {status}")
        self._read_log()
        account = Renewed(lines_of(map(str, self.place.glob("journal-*"))))
        self.checks.none(account.faults(unfinished=WORKERS * SENDERS))
        print(f"soak: daemon kills={self.kills} {account}", flush=True)

    def end(self) -> None:
        """At once, whatever happened."""
        for worker in self.workers:
            worker.kill()
            worker.wait()
        if self.daemon.alive():
            self.daemon.kill()
