"""Control frames while the daemon drains."""

import pytest

from kcoro_ipc import _wire, control
from tests.unit.control.house import House


@pytest.mark.parametrize("command", ["CHAN_MAKE", "CHAN_OPEN"])
def test_while_draining_make_and_open_are_cancelled_with_the_reason(command: str) -> None:
    house = House()
    peer = house.peer()
    house.broker.draining = True
    answer = house.ask(peer, command, NAME="jobs")
    assert (answer["RESULT"], answer["REASON"]) == (_wire.KC_ECANCELED, b"shutting down")


def test_at_the_end_everything_that_was_let_go_hears_of_it() -> None:
    house = House()
    peer = house.peer()
    house.ask(peer, "CHAN_MAKE", NAME="jobs")
    house.ask(peer, "SUBSCRIBE", NAME="jobs", INTERVAL_MS=100, req_id=8)
    house.ask(peer, "CHAN_OPEN", NAME="late", TIMEOUT_MS=-1, req_id=9)
    control.end_waiting(house.broker, openings_only=True)
    assert [answer["REQ_ID"] for _, answer in house.pump.finished] == [9]
    control.end_waiting(house.broker, openings_only=False)
    assert [answer["REQ_ID"] for _, answer in house.pump.finished] == [9, 8]
    assert {answer["REASON"] for _, answer in house.pump.finished} == {b"shutting down"}
