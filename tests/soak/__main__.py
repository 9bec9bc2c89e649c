"""Mixed operations, cancels, kills and reconnects against one daemon, for a while.

    python -m tests.soak [--seconds 60] [--seed N]

After each round all clients are killed, one channel is filled once, and what is left is received.
Then the daemon must have exactly the descriptors and records of before, and nothing of any user;
its memory must stay within 2 % of what it was after the warm-up; the journals of all workers must
agree with the contract. A second daemon is killed and started again meanwhile (restarts.py). The
last line counts these checks; a failure prints the seed and the daemon's log.
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from kcoro_ipc import blocking
from kcoro_ipc.errors import WouldBlock
from tests.e2e.harness import STUCK_S, DaemonProcess, running_daemon
from tests.soak.checks import Checks
from tests.soak.journal import COUNTED, Account, Journal, lines_of
from tests.soak.restarts import Restarts

WORKERS = 4
ROUNDS = 8
WARM_UP = 4  # rounds after which memory is compared
MEMORY = 1.02
LOOKS = 3  # at memory that seems to grow: each goes on for as many rounds as warm it up
FULL_BYTES = 16 << 20  # twice of what the daemon keeps for the next burst
CHANNELS = {
    COUNTED: {"kind": "buffered", "capacity": 32, "ack": "required"},
    "meet": {"kind": "rendezvous"},
    "queue": {"kind": "buffered", "capacity": 64},
    "newest": {"kind": "conflated"},
    "evict": {"kind": "buffered", "capacity": 8, "overflow": "drop_oldest"},
    "open": {"kind": "unlimited", "max_bytes": FULL_BYTES},
    "shared": {"kind": "buffered", "capacity": 4},
    "files": {"kind": "buffered", "capacity": 16},
}
RECORDS = re.compile(r'kcoro_records\{pool="(\w+)"\} (\d+)')
AT_REST = {"connections": 1, "channels": len(CHANNELS)}


class Soak:
    def __init__(
        self,
        daemon: DaemonProcess,
        restarts: Restarts,
        chance: random.Random,
        place: Path,
        checks: Checks,
    ) -> None:
        self.daemon = daemon
        self.restarts = restarts
        self.chance = chance
        self.place = place
        self.workers: list[subprocess.Popen[bytes]] = []
        self.started = 0
        self.kills = 0
        self.memory: list[int] = []
        self.checks = checks

    # --- one round ---

    def round(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while (left := limit - time.monotonic()) > 0:
            while len(self.workers) < WORKERS:
                self.workers.append(self.start())
            time.sleep(min(left, self.chance.uniform(0.5, 2.0)))
            self.kill(self.chance.randrange(len(self.workers)))
            self.restarts.again()
        while self.workers:
            self.kill(0)

    def start(self) -> "subprocess.Popen[bytes]":
        self.started += 1
        words = (self.daemon.stream, str(self.chance.getrandbits(32)), self.journal())
        with (self.place / f"worker-{self.started}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.soak.worker", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def journal(self) -> str:
        return str(self.place / f"journal-{self.started}")

    def kill(self, index: int) -> None:
        """One that has ended by itself failed: it only ends by being killed."""
        worker = self.workers.pop(index)
        self.kills += 1
        ended = worker.poll()
        self.checks.that(ended is None, f"a worker ended by itself with {ended}")
        worker.kill()
        worker.wait()

    # --- at rest ---

    def settle(self, client: blocking.Client) -> dict[str, int]:
        """Until nobody but us is connected and nothing waits; what is here then."""
        self.empty(client)
        limit = time.monotonic() + STUCK_S
        while time.monotonic() < limit:
            usage = {name: number for name, number in client.info().usage.items() if number}
            if usage == AT_REST and self.daemon.descriptors() == self.descriptors:
                break
            self.empty(client)
        return usage

    def fill(self, client: blocking.Client) -> None:
        """The same peak in every round: how high the workers' own was is a matter of chance."""
        with client.open_channel("open") as channel, suppress(WouldBlock):
            while True:
                channel.try_send(bytes(60_000))

    def empty(self, client: blocking.Client) -> None:
        self.started += 1
        with (
            Journal(self.journal()) as journal,
            client.open_channel(COUNTED) as counted,
            counted.acking() as inbox,
            suppress(WouldBlock),
        ):
            while True:
                job = inbox.try_receive()
                journal.got(job.data, job.attempts)
                journal.acking(job.data)
                job.ack()
        for name in CHANNELS:
            if name != COUNTED:
                with client.open_channel(name) as channel:
                    channel.purge()

    def steady_memory(self, client: blocking.Client) -> int:
        """Least of what is seen while the daemon gives memory back, a piece a second."""
        seen = [self.daemon.resident_bytes()]
        for _ in range(30):
            time.sleep(0.1)
            client.ping()
            seen.append(self.daemon.resident_bytes())
        return min(seen)

    def look(self, client: blocking.Client) -> str:
        self.fill(client)
        usage = self.settle(client)
        self.checks.that(usage == AT_REST, f"at rest there is {usage}, not {AT_REST}")
        now = self.daemon.descriptors()
        self.checks.that(now == self.descriptors, f"{now} descriptors, not {self.descriptors}")
        records = records_of(client)
        self.checks.that(records == self.records, f"records are {records}, not {self.records}")
        self.memory.append(self.steady_memory(client))
        return f"descriptors={now} memory={self.memory[-1] >> 10}K"

    # --- all of it ---

    def run(self, seconds: float) -> None:
        with blocking.open_client(self.daemon.stream) as client:
            for name, options in CHANNELS.items():
                client.make_channel(name, **options).aclose()
            self.descriptors = self.daemon.descriptors()
            self.records = records_of(client)
            self.rounds(client, ROUNDS, seconds / ROUNDS)
            for _ in range(LOOKS - 1):
                if not self.is_steady():
                    self.rounds(client, WARM_UP, seconds / ROUNDS)
            self.count_use(client)
        self.judge()

    def rounds(self, client: blocking.Client, count: int, seconds: float) -> None:
        for _ in range(count):
            self.round(seconds)
            print(f"soak: round {len(self.memory) + 1} {self.look(client)}", flush=True)

    def count_use(self, client: blocking.Client) -> None:
        """A channel that nobody could use would make every other check mean nothing."""
        received = {name: client.statistics(name).total_recvs for name in CHANNELS}
        for name, number in received.items():
            self.checks.that(number > 0, f"nothing was received from {name}")
        print("soak: received", *(f"{name}={number}" for name, number in received.items()))

    def growth(self) -> tuple[int, int]:
        """Over the last ROUNDS. Allocators step by a percent a round; growth is in two of them."""
        last = self.memory[-ROUNDS:]
        return max(last[WARM_UP - 2 : WARM_UP]), min(last[-2:])

    def is_steady(self) -> bool:
        """On a busy machine later rounds may warm it up, and then no more; a leak goes on."""
        before, after = self.growth()
        return after <= before * MEMORY

    def judge(self) -> None:
        before, after = self.growth()
        self.checks.that(self.is_steady(), f"memory grew from {before} to {after} bytes")
        account = Account(lines_of(map(str, self.place.glob("journal-*"))))
        self.checks.none(account.faults())
        print(f"soak: kills={self.kills} {account}", flush=True)


def records_of(client: blocking.Client) -> dict[str, int]:
    """How many of each table of the engine are in use, whoever uses them."""
    found = {pool: int(number) for pool, number in RECORDS.findall(client.metrics())}
    assert found["channels"] == len(CHANNELS), found
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Soak one daemon.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    place = Path(tempfile.mkdtemp(prefix="kc-soak-"))
    print(f"soak: seed={seed} seconds={options.seconds:g}", flush=True)
    with running_daemon(place, log_level="warning") as daemon:
        chance = random.Random(seed)
        checks = Checks()
        restarts = Restarts(place, chance, checks)
        try:
            soak = Soak(daemon, restarts, chance, place, checks)
            soak.run(options.seconds)
            restarts.finish()
        finally:
            restarts.end()
        status = daemon.stop()
        checks.that(status == 0, f"the daemon ended with {status}")
    if checks.failed:
        print(f"soak: seed={seed}, everything is in {place}\n{daemon.log()[-4000:]}")
        for fault in checks.faults[:50]:
            print(f"soak: {fault}")
    else:
        shutil.rmtree(place)
    print(checks)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
