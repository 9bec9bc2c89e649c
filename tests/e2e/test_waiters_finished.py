"""Every operation that waited is counted once by how it ended, as the monitor sees it: a test parks
them one by one, ends them in a random order in every way there is, and keeps its own account."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from kcoro_ipc import blocking
from kcoro_ipc.errors import KC_ECANCELED, KC_EPIPE, KC_ETIME, KC_OK
from tests.e2e.eyes import Scraped

# As KIND of MAKE; a number over 1 is a buffered channel of so many places.
KINDS = {"rendezvous": 0, "buffered": 2, "conflated": -1, "unlimited": -2}
TIMEOUT_MS = 1
ENDS = ("matched", "cancel", "timeout", "dead", "closed", "destroyed")
CANCELS = ("cancel", "timeout", "dead", "destroyed")
COUNTERS = {
    "matched": "matched_waiters",
    "closed": "closed_waiters",
    **{end: f"cancelled_{end}" for end in CANCELS},
}


class Yard:
    """One channel and its keeper; `wait` parks a receive on a connection of its own."""

    def __init__(self, daemon: Any, connect: Callable[..., Any], kind: int) -> None:
        self.daemon = daemon
        self.connect = connect
        self.kind = kind
        self.account: Counter[str] = Counter()
        self.keeper = connect(daemon)
        self.make()

    def make(self) -> None:
        self.chan_id = self.keeper.make("jobs", KIND=self.kind)

    def parked(self) -> int:
        return int(self.keeper.stats(self.chan_id)["parked_receivers"])

    def wait(self, timeout_ms: int = -1) -> Any:
        waiter = self.connect(self.daemon)
        waiter.make("jobs", KIND=self.kind)
        before = self.parked()
        waiter.write("CHAN_RECV", REQ_ID=9, CHAN_ID=self.chan_id, TIMEOUT_MS=timeout_ms)
        while timeout_ms < 0 and self.parked() == before:
            pass
        return waiter

    # --- ends: each of one waiter, or of all that wait ---

    def matched(self) -> None:
        waiter = self.wait()
        assert self.keeper.ask("CHAN_SEND", CHAN_ID=self.chan_id, ELEMENT=b"x")["RESULT"] == KC_OK
        assert waiter.read()["RESULT"] == KC_OK

    def cancel(self) -> None:
        waiter = self.wait()
        waiter.write("CANCEL", REQ_ID=9)
        assert waiter.read()["RESULT"] == KC_ECANCELED

    def timeout(self) -> None:
        assert self.wait(TIMEOUT_MS).read()["RESULT"] == KC_ETIME

    def dead(self) -> None:
        self.wait().close()
        while self.parked():
            pass

    def closed(self) -> None:
        waiters = [self.wait(), self.wait()]
        assert self.keeper.ask("CHAN_CLOSE", CHAN_ID=self.chan_id)["RESULT"] == KC_OK
        assert [waiter.read()["RESULT"] for waiter in waiters] == [KC_EPIPE] * 2
        self.account["closed"] += 1
        self.begin_anew()

    def destroyed(self) -> None:
        waiters = [self.wait(), self.wait(), self.wait()]
        self.begin_anew()
        assert [waiter.read()["RESULT"] for waiter in waiters] == [KC_ECANCELED] * 3
        self.account["destroyed"] += 2

    def begin_anew(self) -> None:
        """The numbers of a channel end with it, those of its series go on."""
        assert self.keeper.ask("CHAN_DESTROY", CHAN_ID=self.chan_id)["RESULT"] == KC_OK
        self.make()

    def end(self, how: str) -> None:
        getattr(self, how)()
        self.account[how] += 1


def by_end(scraped: Scraped) -> dict[str, float]:
    found = {
        end: scraped.sum("cancelled_waiters_total", name="jobs", reason=end) for end in CANCELS
    }
    found |= {
        end: scraped.sum(f"{end}_waiters_total", name="jobs") for end in ("matched", "closed")
    }
    return {end: value for end, value in found.items() if value}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_waiter_that_finished_is_counted_once_by_how(
    start_daemon: Any, connect: Any, kind: int
) -> None:
    daemon = start_daemon(log_level="warning")
    dice = random.Random(kind)
    yard = Yard(daemon, connect, kind)
    with blocking.open_client(daemon.path) as client:
        for how in dice.sample(ENDS * 3, k=3 * len(ENDS)):
            yard.end(how)
            scraped = Scraped(client.metrics())
            assert by_end(scraped) == dict(yard.account), how
            total = scraped.sum("finished_waiters_total", name="jobs")
            assert total == yard.account.total()
        # What lives now has counted only since it was made.
        alive = client.statistics("jobs")
        assert alive.breaches() == []
        for end, name in COUNTERS.items():
            assert getattr(alive, name) <= yard.account[end]
