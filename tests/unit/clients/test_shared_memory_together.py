"""Batches and selects of a blocking client that send loans and copies."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from kcoro_ipc import blocking, tlv
from kcoro_ipc.errors import (
    KC_ETIME,
    TimedOut,
)
from tests.unit.clients.peers import serve_region

Played = Callable[..., AbstractContextManager[Path]]
KIB, MIB = 1 << 10, 1 << 20


def test_a_batch_goes_in_runs_of_one_kind_and_counts_over_all(shared: Any) -> None:
    seen: list[tuple[int, int]] = []

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        for counts in ((2, 0), (0, 3), (1, 0)):
            if counts == (0, 3):
                number, _ = serve_region(peer, 77)
                os.close(number)
            frame = peer.expect("CHAN_SEND")
            seen.append((len(frame.all("ELEMENT")), len(frame.all("DESC"))))
            peer.reply(frame, 0, ("COUNT", sum(counts)))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(100) as one, client.loan(64 * KIB) as two:
            values = [b"a", b"b", one, two, bytes(300 * KIB), b"c"]
            assert channel.send_many(values) == 6
    assert seen == [(2, 0), (0, 3), (1, 0)]


def test_a_batch_that_ends_early_keeps_the_loans_that_were_not_sent(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        peer.serve("CHAN_SEND", 0, ("COUNT", 1))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(64 * KIB) as one, client.loan(64 * KIB) as two:
            assert channel.send_many([one, two, b"never"]) == 1
            with pytest.raises(ValueError, match="released"):
                one[0] = 1
            two[0] = 1


def test_a_batch_of_loans_goes_in_one_frame_however_large_they_are(shared: Any) -> None:
    """Cutting it is for copies, whose memory is wanted back early."""

    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        for region_id in (77, 78, 79):
            number, _ = serve_region(peer, region_id)
            os.close(number)
        frame = peer.serve("CHAN_SEND", 0, ("COUNT", 3))
        assert len(frame.all("DESC")) == 3

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(9 * MIB) as one, client.loan(9 * MIB) as two, client.loan(9 * MIB) as tre:
            assert channel.send_many([one, two, tre]) == 3


def test_only_the_winning_clause_of_a_select_takes_its_loan(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        frame = peer.expect("SELECT")
        clauses = [dict(clause) for clause in frame.all("CLAUSE")]
        desc = tlv.ATTRIBUTES["DESC"].number
        assert [desc in clause for clause in clauses] == [True, True, False]
        peer.reply(frame, 0, ("INDEX", 1))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(64 * KIB) as one, client.loan(64 * KIB) as two:
            clauses = [channel.sending(one), channel.sending(two), channel.receiving()]
            assert client.select(*clauses).index == 1
            one[0] = 1
            with pytest.raises(ValueError, match="released"):
                two[0] = 1
        (region,) = client._connection.side.pool.regions
        assert region.size - region.space.free_bytes == 64 * KIB  # the winner's


def test_one_loan_in_several_clauses_is_sent_by_the_one_that_wins(shared: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens(ELEM_SIZE=16 * MIB)
        number, _ = serve_region(peer, 77)
        os.close(number)
        peer.serve("SELECT", KC_ETIME)
        peer.serve("SELECT", 0, ("INDEX", 1))

    with shared(script) as path, blocking.open_client(path) as client:
        channel = client.make_channel("frames")
        with client.loan(64 * KIB) as block:
            clauses = [channel.sending(block), channel.sending(block)]
            with pytest.raises(TimedOut):
                client.select(*clauses, timeout=1)
            block[0] = 1
            client.select(*clauses)
            with pytest.raises(ValueError, match="released"):
                block[0] = 1
