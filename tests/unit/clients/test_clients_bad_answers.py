"""Answers that a sound daemon never gives: a clear error, never a crash of the client's own."""

from typing import Any

import pytest

from kcoro_ipc import blocking, errors, tlv

ANSWERS = {
    "a receive without an element": [("COUNT", 1)],
    "a delivery without its id": [("ITEM", [("ELEMENT", b"x")])],
    "nothing": [],
}


@pytest.mark.parametrize("pairs", list(ANSWERS.values()), ids=list(ANSWERS))
async def test_the_trio_client_says_what_is_wrong(pairing: Any, pairs: Any) -> None:
    jobs = await pairing.open()
    inbox = jobs.acking()

    async def answer(command: str, *more: Any) -> None:
        frame = await pairing.daemon.expect(command)
        await pairing.daemon.reply(frame, 0, *pairs, *more)

    for receive in (jobs.receive, jobs.receive_many, inbox.receive):
        with pytest.raises(errors.ProtocolError):
            await pairing.both(receive(), answer("CHAN_RECV"))
    for clause in (jobs.receiving(), inbox.receiving()):
        with pytest.raises(errors.ProtocolError):
            await pairing.both(pairing.client.select(clause), answer("SELECT", ("INDEX", 0)))


@pytest.mark.parametrize("pairs", list(ANSWERS.values()), ids=list(ANSWERS))
def test_the_blocking_client_says_what_is_wrong(played: Any, pairs: Any) -> None:
    def script(peer: Any) -> None:
        peer.opens()
        for _ in range(3):
            peer.serve("CHAN_RECV", 0, *pairs)
        for _ in range(2):
            peer.serve("SELECT", 0, ("INDEX", 0), *pairs)

    with played(script) as path, blocking.open_client(path) as client:
        jobs = client.open_channel("jobs")
        inbox = jobs.acking()
        for receive in (jobs.receive, jobs.receive_many, inbox.receive):
            with pytest.raises(errors.ProtocolError):
                receive()
        for clause in (jobs.receiving(), inbox.receiving()):
            with pytest.raises(errors.ProtocolError):
                client.select(clause)


@pytest.mark.parametrize("pairs", [[], [("INDEX", 5)]])
async def test_a_select_without_a_clause_is_no_answer(pairing: Any, pairs: Any) -> None:
    jobs = await pairing.open()

    async def answer() -> None:
        frame = await pairing.daemon.expect("SELECT")
        await pairing.daemon.reply(frame, 0, *pairs, ("ELEMENT", b"x"))

    with pytest.raises(errors.ProtocolError, match="names no clause"):
        await pairing.both(pairing.client.select(jobs.receiving()), answer())


def without_result(frame: Any) -> bytes:
    return tlv.build_frame("PING", [("REQ_ID", frame.get("REQ_ID"))], 1)


async def test_an_answer_without_a_result_ends_the_connection_and_is_no_success(
    pairing: Any,
) -> None:
    async def answer() -> None:
        await pairing.daemon.says(without_result(await pairing.daemon.expect("PING")))

    with pytest.raises(errors.ConnectionLost, match="has no result"):
        await pairing.both(pairing.client.ping(), answer())
    assert pairing.client._connection._exchange.in_flight == {}
    with pytest.raises(errors.ConnectionLost):
        await pairing.client.ping()


def test_an_answer_without_a_result_is_no_success_for_a_blocking_client(played: Any) -> None:
    def script(peer: Any) -> None:
        peer.socket.sendall(without_result(peer.expect("PING")))

    with played(script) as path, blocking.open_client(path) as client:
        for _ in range(2):
            with pytest.raises(errors.ProtocolError):
                client.ping()
