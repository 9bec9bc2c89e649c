"""After a lost connection, without I/O: delays, what is known of a request, what opens again."""

from itertools import islice

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.errors import ConnectionLost, InvalidArgument, NoDaemon
from kcoro_ipc.protocol.renewal import (
    FIRST_SECONDS,
    IN_DOUBT,
    LONGEST_SECONDS,
    again,
    delays,
    making,
    opening,
    what_is_known,
)
from kcoro_ipc.trio_errors import ConnectionLost as TrioConnectionLost


def test_delays_double_up_to_a_bound_and_each_has_jitter() -> None:
    longest = list(islice(delays(lambda: 1.0), 12))
    assert longest[:4] == [0.01, 0.02, 0.04, 0.08]
    assert longest[7:] == [LONGEST_SECONDS] * 5
    shortest = list(islice(delays(lambda: 0.0), 12))
    assert shortest == [delay / 2 for delay in longest]
    drawn = list(islice(delays(), 100))
    assert all(FIRST_SECONDS / 2 <= delay <= LONGEST_SECONDS for delay in drawn)
    assert len(set(drawn[10:])) > 10


@pytest.mark.parametrize("side", IN_DOUBT)
def test_an_error_says_for_each_side_whether_it_is_in_doubt(side: str) -> None:
    error = TrioConnectionLost("the daemon closed the connection")
    nothing = what_is_known(error, side, renews=True)
    assert str(nothing) == (
        "the daemon closed the connection; nothing of this request had left: it did not happen"
    )
    error.in_doubt = True
    doubtful = what_is_known(error, side, renews=True)
    assert (type(doubtful), doubtful.in_doubt) == (TrioConnectionLost, True)
    assert "in doubt" in str(doubtful)
    assert str(doubtful).endswith(IN_DOUBT[side])


def test_who_does_not_connect_again_is_told_to() -> None:
    assert str(what_is_known(ConnectionLost("over"), "", renews=False)).endswith("connect again")
    assert type(what_is_known(NoDaemon("none"), "", renews=False)) is NoDaemon


def test_only_what_was_opened_by_a_name_is_opened_again() -> None:
    assert making("jobs", {}).gone is None
    assert opening("jobs", {}, 0).gone is None
    by_number = opening(1001, {}, 0)
    assert (by_number.label, "1001 was opened by its number" in str(by_number.gone)) == (
        "1001",
        True,
    )
    assert "anonymous" in str(making(None, {}).gone)


def test_it_is_asked_for_as_before_but_need_not_be_the_first() -> None:
    origin = making("jobs", {"kind": "buffered", "capacity": 4, "exclusive": True, "write": False})
    asked = again(origin)
    before, after = dict(origin.pairs), dict(asked.pairs)
    assert before.pop(_wire.ATTR_FLAGS) == _wire.FLAG_CHAN_READ | _wire.FLAG_CHAN_EXCLUSIVE
    assert after.pop(_wire.ATTR_FLAGS) == _wire.FLAG_CHAN_READ
    assert before == after
    assert (origin.rights, asked.rights) == (_wire.FLAG_CHAN_READ, _wire.FLAG_CHAN_READ)


def test_what_no_channel_can_be_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(InvalidArgument):
        opening("jobs", {"kind": "ring"}, 0)  # type: ignore[typeddict-item]
