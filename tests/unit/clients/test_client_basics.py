"""The trio client against a daemon played by hand: requests, replies, errors, handles."""

import os
from typing import Any

import pytest
import trio
import trio.testing

from kcoro_ipc import _wire, errors, tlv
from kcoro_ipc.client import Job, open_client


async def answer(daemon: Any, command: str, result: int = 0, *pairs: Any, **values: Any) -> Any:
    frame = await daemon.expect(command, **values)
    await daemon.reply(frame, result, *pairs)
    return frame


async def test_the_client_says_who_it_is_and_what_it_speaks(listener: Any) -> None:
    async def accept() -> None:
        sock, _ = await listener.socket.accept()
        data = await sock.recv(1000)
        frame = tlv.parse_frame(data, 1)
        seen.append((frame.get("CLIENT_NAME"), frame.get("REQ_ID")))
        await sock.send(tlv.build_frame("HELLO", [("ABI_MAJOR", 1), ("ABI_MINOR", 1)], 1))
        await sock.recv(1000)
        sock.close()

    seen: list[Any] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        async with open_client(listener.path, name="indexer"):
            pass
    assert seen == [(b"indexer", None)]


async def test_nobody_listening_is_an_error_that_says_what_to_do(socket_dir: Any) -> None:
    with pytest.raises(errors.NoDaemon, match="start one with `kcoro serve`"):
        async with open_client(socket_dir / "none"):
            raise AssertionError("there is no daemon")


async def test_a_daemon_that_does_not_greet_is_an_error(
    listener: Any, autojump_clock: trio.testing.MockClock
) -> None:
    with pytest.raises(errors.NoDaemon, match=r"did not answer within 3 s"):
        async with open_client(listener.path, connect_timeout=3):
            raise AssertionError("it never said HELLO")


async def test_a_daemon_of_another_version_is_refused(listener: Any, pairing: Any) -> None:
    refusal = tlv.build_frame("HELLO", [("ABI_MAJOR", 2), ("ABI_MINOR", 0), ("RESULT", -93)], 1)

    async def connect() -> None:
        async with open_client(listener.path):
            raise AssertionError("it was refused")

    with pytest.raises(errors.VersionMismatch):
        await pairing.both(connect(), listener.accept(refusal))


async def test_the_bodys_exception_arrives_as_it_is(listener: Any) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.accept)
        with pytest.raises(KeyError, match="mine"):
            async with open_client(listener.path):
                raise KeyError("mine")
    # the daemon's side of the socket is dropped with the nursery's task


async def test_open_asks_to_make_and_keeps_what_the_daemon_said(pairing: Any) -> None:
    channel, frame = await pairing.both(
        pairing.client.open_channel("jobs", kind="buffered", capacity=4), pairing.daemon.opens(1007)
    )
    assert tlv.COMMAND_NAMES[frame.cmd] == "CHAN_MAKE"
    assert (frame.get("NAME"), frame.get("KIND"), frame.get("CAPACITY")) == (b"jobs", 1, 4)
    assert frame.get("FLAGS") == _wire.FLAG_CHAN_READ | _wire.FLAG_CHAN_WRITE
    assert (channel.name, channel.chan_id, channel.info.kind) == ("jobs", 1007, "buffered")
    assert (channel.info.capacity, channel.info.elem_size) == (4, 100)


async def test_wait_and_existing_ask_to_open(pairing: Any) -> None:
    for options, timeout_ms in (({"wait": True}, -1), ({"existing": True}, 0)):
        _, frame = await pairing.both(
            pairing.client.open_channel("jobs", write=False, **options), pairing.daemon.opens()
        )
        assert tlv.COMMAND_NAMES[frame.cmd] == "CHAN_OPEN"
        assert frame.get("TIMEOUT_MS") == timeout_ms
        assert frame.get("FLAGS") == _wire.FLAG_CHAN_READ


async def test_an_opened_channel_that_differs_is_released_and_refused(pairing: Any) -> None:
    async def daemon() -> None:
        await pairing.daemon.opens(1001, CAPACITY=9)
        await answer(pairing.daemon, "CHAN_RELEASE", CHAN_ID=1001, FLAGS=3)

    with pytest.raises(errors.ChannelExists, match="has capacity 9, not 4"):
        await pairing.both(pairing.client.open_channel("jobs", existing=True, capacity=4), daemon())


async def test_a_refusal_names_the_channel(pairing: Any) -> None:
    with pytest.raises(errors.ChannelExists, match="channel jobs"):
        await pairing.both(
            pairing.client.make_channel("jobs", exclusive=True),
            answer(pairing.daemon, "CHAN_MAKE", _wire.KC_EEXIST),
        )


async def test_send_and_receive_are_one_frame_each(pairing: Any) -> None:
    jobs = await pairing.open()
    daemon = pairing.daemon
    sent, frame = await pairing.both(
        jobs.send(b"payload"), answer(daemon, "CHAN_SEND", CHAN_ID=1001, TIMEOUT_MS=-1)
    )
    assert sent is True
    assert frame.get("ELEMENT") == b"payload"
    got, _ = await pairing.both(
        jobs.receive(),
        answer(daemon, "CHAN_RECV", 0, ("ELEMENT", b"back"), CHAN_ID=1001, TIMEOUT_MS=-1),
    )
    assert got == b"back"


async def test_a_send_that_was_dropped_by_policy_says_so(pairing: Any) -> None:
    jobs = await pairing.open()
    sent, _ = await pairing.both(
        jobs.send(b"x"), answer(pairing.daemon, "CHAN_SEND", 0, ("DROPPED", 1))
    )
    assert sent is False


async def test_tries_do_not_wait(pairing: Any) -> None:
    jobs = await pairing.open()
    for operation, command in ((jobs.try_send, "CHAN_SEND"), (jobs.try_receive, "CHAN_RECV")):
        arguments = [b"x"] if command == "CHAN_SEND" else []
        with pytest.raises(trio.WouldBlock) as caught:
            await pairing.both(
                operation(*arguments), answer(pairing.daemon, command, -11, TIMEOUT_MS=0)
            )
        assert isinstance(caught.value, errors.WouldBlock)


@pytest.mark.parametrize(
    ("result", "sending", "receiving"),
    [
        (_wire.KC_EPIPE, trio.BrokenResourceError, trio.EndOfChannel),
        (_wire.KC_EBADF, trio.ClosedResourceError, trio.ClosedResourceError),
        (_wire.KC_ECANCELED, trio.BrokenResourceError, trio.BrokenResourceError),
        (_wire.KC_ENOENT, errors.NoSuchChannel, errors.NoSuchChannel),
        (_wire.KC_EDQUOT, errors.QuotaExceeded, errors.QuotaExceeded),
    ],
)
async def test_codes_have_trios_names_where_trio_has_one(
    pairing: Any, result: int, sending: type, receiving: type
) -> None:
    jobs = await pairing.open()
    with pytest.raises(sending) as caught:
        await pairing.both(jobs.send(b"x"), answer(pairing.daemon, "CHAN_SEND", result))
    assert caught.value.code == result
    with pytest.raises(receiving):
        await pairing.both(jobs.receive(), answer(pairing.daemon, "CHAN_RECV", result))


async def test_iteration_ends_with_the_channel(pairing: Any) -> None:
    jobs = await pairing.open()

    async def daemon() -> None:
        for data in (b"a", b"b"):
            await answer(pairing.daemon, "CHAN_RECV", 0, ("ELEMENT", data))
        await answer(pairing.daemon, "CHAN_RECV", _wire.KC_EPIPE)

    async def collect() -> list[bytes]:
        return [data async for data in jobs]

    got, _ = await pairing.both(collect(), daemon())
    assert got == [b"a", b"b"]


async def test_too_long_an_element_is_refused_before_it_is_sent(pairing: Any) -> None:
    jobs = await pairing.open()
    with pytest.raises(errors.MessageTooLong, match="101 bytes is over the 100"):
        await jobs.send(bytes(101))
    with pytest.raises(errors.MessageTooLong):
        await jobs.send_many([b"x", bytes(101)])
    with pytest.raises(errors.InvalidArgument, match="bytes, not str"):
        await jobs.send("text")
    await pairing.both(pairing.client.ping(), answer(pairing.daemon, "PING"))


async def test_replies_may_come_in_any_order(pairing: Any) -> None:
    a, b = await pairing.open("a", 1001), await pairing.open("b", 1002)

    async def daemon() -> None:
        first = await pairing.daemon.expect("CHAN_RECV")
        second = await pairing.daemon.expect("CHAN_RECV")
        for frame in (second, first):
            named = {1001: b"for a", 1002: b"for b"}[frame.get("CHAN_ID")]
            await pairing.daemon.reply(frame, 0, ("ELEMENT", named))

    async def client() -> Any:
        return await pairing.both(a.receive(), b.receive())

    got, _ = await pairing.both(client(), daemon())
    assert got == (b"for a", b"for b")


async def test_requests_of_many_tasks_go_out_together(pairing: Any) -> None:
    jobs = await pairing.open()
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(jobs.send, b"%d" % number)
        await trio.testing.wait_all_tasks_blocked()
        data = await pairing.daemon.stream.receive_some(1 << 20)
        pairing.daemon._frames.feed(data)
        elements = []
        for _ in range(100):
            frame = pairing.daemon._frames.next()
            assert frame is not None, "all of them had arrived in one piece"
            elements.append(frame.get("ELEMENT"))
            await pairing.daemon.reply(frame)
    assert sorted(elements) == sorted(b"%d" % number for number in range(100))


async def test_send_many_is_one_frame_and_returns_what_was_settled(pairing: Any) -> None:
    jobs = await pairing.open()
    assert await jobs.send_many([]) == 0
    settled, frame = await pairing.both(
        jobs.send_many([b"a", b"bb", b"c"]),
        answer(pairing.daemon, "CHAN_SEND", 0, ("COUNT", 2), ("DROPPED", 0)),
    )
    assert settled == 2
    assert frame.all("ELEMENT") == [b"a", b"bb", b"c"]


async def test_send_many_goes_on_frame_by_frame_and_stops_at_the_first_failure(
    pairing: Any,
) -> None:
    jobs = await pairing.open()

    async def daemon() -> None:
        first = await answer(pairing.daemon, "CHAN_SEND", 0, ("COUNT", 1024))
        assert len(first.all("ELEMENT")) == 1024
        await answer(pairing.daemon, "CHAN_SEND", _wire.KC_EPIPE)

    settled, _ = await pairing.both(jobs.send_many([b"x"] * 3000), daemon())
    assert settled == 1024
    with pytest.raises(trio.BrokenResourceError):
        await pairing.both(
            jobs.send_many([b"x", b"y"]), answer(pairing.daemon, "CHAN_SEND", _wire.KC_EPIPE)
        )


async def test_receive_many_takes_what_is_there(pairing: Any) -> None:
    jobs = await pairing.open()
    got, _ = await pairing.both(
        jobs.receive_many(64),
        answer(pairing.daemon, "CHAN_RECV", 0, ("ELEMENT", b"a"), ("ELEMENT", b""), MAX_ITEMS=64),
    )
    assert got == [b"a", b""]


async def test_select_says_which_clause_and_what(pairing: Any) -> None:
    a, b = await pairing.open("a", 1001), await pairing.open("b", 1002)
    done, frame = await pairing.both(
        pairing.client.select(a.receiving(), b.sending(b"x"), biased=True),
        answer(pairing.daemon, "SELECT", 0, ("INDEX", 0), ("ELEMENT", b"got")),
    )
    assert done == (0, a, b"got")
    assert frame.get("FLAGS") == _wire.FLAG_SELECT_BIASED
    assert [dict(clause) for clause in frame.all("CLAUSE")] == [
        {_wire.ATTR_CHAN_ID: 1001},
        {_wire.ATTR_CHAN_ID: 1002, _wire.ATTR_ELEMENT: b"x"},
    ]
    done, _ = await pairing.both(
        pairing.client.select(a.receiving(), b.sending(b"x")),
        answer(pairing.daemon, "SELECT", 0, ("INDEX", 1), TIMEOUT_MS=-1),
    )
    assert (done.index, done.channel, done.value) == (1, b, None)


async def test_a_select_error_is_that_of_its_clause(pairing: Any) -> None:
    a, b = await pairing.open("a", 1001), await pairing.open("b", 1002)
    clauses = (a.receiving(), b.sending(b"x"))
    for index, error in ((0, trio.EndOfChannel), (1, trio.BrokenResourceError)):
        with pytest.raises(error) as caught:
            await pairing.both(
                pairing.client.select(*clauses),
                answer(pairing.daemon, "SELECT", _wire.KC_EPIPE, ("INDEX", index)),
            )
        assert caught.value.index == index
    with pytest.raises(trio.WouldBlock):
        await pairing.both(
            pairing.client.try_select(*clauses),
            answer(pairing.daemon, "SELECT", _wire.KC_EAGAIN, TIMEOUT_MS=0),
        )
    with pytest.raises(errors.InvalidArgument, match="1 to 64 clauses"):
        await pairing.client.select()


def item(data: bytes, delivery_id: int, attempts: int = 0) -> Any:
    pairs = [("ELEMENT", data), ("DELIVERY_ID", delivery_id), ("REDELIVERED", attempts)]
    return ("ITEM", pairs)


async def test_a_job_is_held_until_it_is_acknowledged(pairing: Any) -> None:
    jobs = await pairing.open()
    daemon = pairing.daemon
    async with jobs.acking() as inbox:
        job, _ = await pairing.both(
            inbox.receive(), answer(daemon, "CHAN_RECV", 0, item(b"work", 77, 2), FLAGS=1)
        )
        assert (job.data, job.redelivered, job.attempts) == (b"work", True, 2)
        _, frame = await pairing.both(job.ack(), answer(daemon, "ACK", 0, ("COUNT", 1)))
        assert frame.all("DELIVERY_ID") == [77]
        with pytest.raises(errors.UnknownDelivery, match="no longer yours"):
            await pairing.both(job.ack(), answer(daemon, "ACK", _wire.KC_ENOENT))


async def test_what_is_open_when_the_inbox_ends_is_given_back(pairing: Any) -> None:
    jobs = await pairing.open()
    daemon = pairing.daemon

    async def work() -> None:
        async with jobs.acking() as inbox:
            async for job in inbox:
                if job.data == b"bad":
                    raise ValueError("cannot do this")
                await job.ack()

    async def play() -> Any:
        await answer(daemon, "CHAN_RECV", 0, item(b"good", 1))
        await answer(daemon, "ACK", 0, ("COUNT", 1), DELIVERY_ID=1)
        await answer(daemon, "CHAN_RECV", 0, item(b"bad", 2))
        return await answer(daemon, "NACK", 0, ("COUNT", 1), DELIVERY_ID=2)

    with pytest.raises(ValueError, match="cannot do this"):
        await pairing.both(work(), play())


async def test_a_job_as_a_block_is_acknowledged_or_given_back(pairing: Any) -> None:
    jobs = await pairing.open()
    daemon = pairing.daemon

    async def work(inbox: Any) -> None:
        first, second = await inbox.receive_many(2)
        async with first:
            pass
        async with second:
            raise ValueError("no")

    async def play() -> None:
        await answer(daemon, "CHAN_RECV", 0, item(b"a", 1), item(b"b", 2), MAX_ITEMS=2, FLAGS=1)
        await answer(daemon, "ACK", 0, DELIVERY_ID=1)
        await answer(daemon, "NACK", 0, DELIVERY_ID=2)

    async with jobs.acking() as inbox:
        with pytest.raises(ValueError, match="no"):
            await pairing.both(work(inbox), play())


async def test_a_job_can_be_selected(pairing: Any) -> None:
    jobs = await pairing.open()
    daemon = pairing.daemon
    inbox = jobs.acking()
    done, frame = await pairing.both(
        pairing.client.select(inbox.receiving()),
        answer(daemon, "SELECT", 0, ("INDEX", 0), item(b"w", 5)),
    )
    assert isinstance(done.value, Job)
    assert done.value.data == b"w"
    assert dict(frame.all("CLAUSE")[0])[_wire.ATTR_FLAGS] == _wire.FLAG_CLAUSE_ACK
    await pairing.both(inbox.aclose(), answer(daemon, "NACK", 0, DELIVERY_ID=5))


async def test_a_codec_stands_between_values_and_elements(pairing: Any) -> None:
    jobs = await pairing.open(codec="json")
    daemon = pairing.daemon
    _, frame = await pairing.both(jobs.send({"a": 1}), answer(daemon, "CHAN_SEND"))
    assert frame.get("ELEMENT") == b'{"a":1}'
    got, _ = await pairing.both(jobs.receive(), answer(daemon, "CHAN_RECV", 0, ("ELEMENT", b"[1]")))
    assert got == [1]


async def test_clones_share_the_handle_and_the_last_one_gives_it_back(pairing: Any) -> None:
    jobs = await pairing.open(write=False)
    other = jobs.clone()
    await jobs.aclose()
    await jobs.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await jobs.receive()
    with pytest.raises(trio.ClosedResourceError):
        jobs.clone()
    got, _ = await pairing.both(
        other.receive(), answer(pairing.daemon, "CHAN_RECV", 0, ("ELEMENT", b"x"))
    )
    assert got == b"x"
    await pairing.both(
        other.aclose(), answer(pairing.daemon, "CHAN_RELEASE", CHAN_ID=1001, FLAGS=1)
    )


async def test_close_destroy_and_purge_say_so_to_the_daemon(pairing: Any) -> None:
    jobs = await pairing.open()
    daemon = pairing.daemon
    await pairing.both(jobs.close(), answer(daemon, "CHAN_CLOSE", CHAN_ID=1001))
    purged, _ = await pairing.both(jobs.purge(), answer(daemon, "CHAN_PURGE", 0, ("COUNT", 3)))
    assert purged == 3
    await pairing.both(
        jobs.destroy("done"), answer(daemon, "CHAN_DESTROY", CHAN_ID=1001, REASON=b"done")
    )


async def test_statistics_are_a_snapshot(pairing: Any) -> None:
    jobs = await pairing.open()
    stats = [[("STAT_ID", 1), ("VALUE", 7)], [("STAT_ID", 39), ("VALUE", 2)]]
    snapshot, _ = await pairing.both(
        jobs.statistics(),
        answer(pairing.daemon, "GET_STATS", 0, *(("STAT", one) for one in stats), CHAN_ID=1001),
    )
    assert (snapshot.name, snapshot.total_sends, snapshot.depth) == ("jobs", 7, 2)


async def test_a_list_is_read_page_by_page(pairing: Any) -> None:
    def entry(name: str, chan_id: int) -> Any:
        pairs = [("NAME", name), ("CHAN_ID", chan_id), ("KIND", -2), ("CAPACITY", 0)]
        return ("ITEM", pairs)

    async def play() -> None:
        await answer(pairing.daemon, "LIST", 0, entry("a", 1), ("CURSOR", b"\1"), CURSOR=None)
        await answer(pairing.daemon, "LIST", 0, entry("b", 2), CURSOR=b"\1")

    found, _ = await pairing.both(pairing.client.list_channels(), play())
    assert [(one.name, one.chan_id, one.kind) for one in found] == [
        ("a", 1, "unlimited"),
        ("b", 2, "unlimited"),
    ]


async def test_after_fork_a_client_is_of_no_use_and_says_so(pairing: Any) -> None:
    jobs = await pairing.open()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:  # no trio here: step the coroutine by hand, it fails before it would wait
        try:
            with pytest.raises(trio.ClosedResourceError, match="after fork"):
                jobs._handle.connection.request(1, b"", must_go=True).send(None)
            pairing.client._connection.close()
            os.write(write_end, b"ok")
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as report:
        assert await trio.to_thread.run_sync(report.read) == b"ok"
    await trio.to_thread.run_sync(os.waitpid, child, 0)
    await pairing.both(pairing.client.ping(), answer(pairing.daemon, "PING"))
