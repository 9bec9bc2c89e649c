"""Small words that the cases share."""

import pytest

from tests.conformance.subject import Spec, User


def of(specs: list[Spec]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("spec", specs, ids=lambda spec: spec.label)


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"%d" % number for number in range(start, start + count)]


def fill(user: User, chan: int, spec: Spec) -> list[bytes]:
    """As many messages as the channel accepts without a receiver."""
    messages = numbered(spec.room)
    for message in messages:
        user.try_send(chan, message).ok()
    return messages


def drain(user: User, chan: int) -> list[bytes]:
    """All that can be received without waiting; conservation holds afterwards."""
    got = []
    while (outcome := user.try_receive(chan).now()).code == 0:
        assert outcome.data is not None
        got.append(outcome.data)
    conserved(user.statistics(chan))
    return got


def conserved(now: dict[str, int]) -> None:
    """Contract 4.17."""
    ends = now["total_recvs"] + now["drops_oldest"] + now["drops_newest"] + now["undelivered"]
    assert now["total_sends"] == ends + now["depth"], now
    assert now["depth"] == now["ready"] + now["held"], now
    assert now["undelivered"] == (now["undelivered_dropped"] + now["undelivered_dead_lettered"]), (
        now
    )
    assert now["finished_waiters"] == (
        now["matched_waiters"] + now["cancelled_waiters"] + now["closed_waiters"]
    ), now
    reasons = ("cancel", "timeout", "dead", "destroyed")
    assert now["cancelled_waiters"] == sum(now[f"cancelled_{reason}"] for reason in reasons), now
