"""What goes as bytes instead of shared memory is counted by the daemon, and can be turned off."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from kcoro_ipc.errors import MessageTooLong, PoolExhausted, QuotaExceeded
from tests.e2e.harness import DaemonProcess, running_daemon

COPIED_FROM = 16 << 10
LARGE = bytes(20 << 10)  # so that two of them fit into one seqpacket
PAGE = 4096


async def counted(either: Any, channel: Any) -> tuple[int, int]:
    found = await either.do(channel.statistics())
    return found.zref_fallback_small, found.zref_fallback_capacity


async def made(either: Any, one: Any, name: str) -> Any:
    return await either.do(one.make_channel(name, kind="unlimited"))


async def test_a_small_loan_moves_the_counter_of_small_ones_and_no_other(
    either: Any, address: str, name: str
) -> None:
    async with either.open(address) as one:
        channel = await made(either, one, name)
        for size, expected in ((65535, (1, 0)), (65536, (1, 0)), (1, (2, 0))):
            with one.loan(size) as block:
                await either.do(channel.send(block))
            assert await counted(either, channel) == expected
        await either.do(channel.send(b"bytes are no loan"))
        assert await counted(either, channel) == (2, 0)
        await either.do(channel.purge())


async def test_without_inline_below_no_loan_is_counted_as_small(
    either: Any, address: str, name: str
) -> None:
    async with either.open(address, inline_below=None) as one:
        channel = await made(either, one, name)
        with one.loan(1) as block:
            await either.do(channel.send(block))
        assert await counted(either, channel) == (0, 0)
        await either.do(channel.purge())


async def test_a_copy_that_finds_the_pool_exhausted_moves_the_counter_of_capacity(
    either: Any, address: str, name: str
) -> None:
    numpy = pytest.importorskip("numpy", reason="needs the extra numpy")
    async with either.open(address, pool_bytes=PAGE, zero_copy_from=COPIED_FROM) as one:
        channel = await made(either, one, name)
        await either.do(channel.send(LARGE))
        assert await counted(either, channel) == (0, 1)
        await either.do(channel.send(b"small bytes are no copy"))
        assert await counted(either, channel) == (0, 1)
        assert await either.do(channel.send_many([LARGE, LARGE])) == 2
        assert await counted(either, channel) == (0, 3)
        await either.do(channel.send(numpy.zeros(len(LARGE), "u1")))
        assert await counted(either, channel) == (0, 4)
        await either.do(channel.purge())


async def test_a_select_sends_what_falls_back_too_and_the_clause_that_won_is_counted(
    either: Any, address: str, name: str
) -> None:
    async with either.open(address, pool_bytes=PAGE, zero_copy_from=COPIED_FROM) as one:
        channel = await made(either, one, name)
        nobody = await either.do(one.make_channel(f"{name}-nobody"))
        await either.do(one.select(nobody.sending(LARGE), channel.sending(LARGE)))
        assert await counted(either, channel) == (0, 1)
        with one.loan(1) as block:
            block[0] = 7
            await either.do(one.select(nobody.sending(block), channel.sending(block)))
        assert await counted(either, channel) == (1, 1)
        await either.do(one.select(nobody.sending(LARGE), channel.sending(b"small bytes")))
        assert await counted(either, channel) == (1, 1)
        assert await counted(either, nobody) == (0, 0)
        assert await either.do(channel.receive()) == LARGE
        assert await either.do(channel.receive()) == b"\x07"
        assert await either.do(channel.receive()) == b"small bytes"


@pytest.mark.parametrize("selects", [False, True], ids=["a send", "a select"])
async def test_a_fallback_that_waits_is_counted_when_its_message_is_taken_and_not_before(
    either: Any, address: str, name: str, selects: bool
) -> None:
    async with (
        either.open(address, pool_bytes=PAGE, zero_copy_from=COPIED_FROM) as one,
        either.open(address) as other,
    ):
        channel = await either.do(one.make_channel(name))
        seen = await either.do(other.open_channel(name))
        select = partial(one.select, channel.sending(LARGE))
        send = select if selects else partial(channel.send, LARGE)
        async with trio.open_nursery() as nursery:
            if either.kind == "trio":
                nursery.start_soon(send)
            else:
                nursery.start_soon(trio.to_thread.run_sync, send)
            while not (await either.do(seen.statistics())).parked_senders:
                await trio.lowlevel.checkpoint()
            assert await counted(either, seen) == (0, 0)
            assert await either.do(seen.receive()) == LARGE
        assert await counted(either, seen) == (0, 1)


async def test_a_select_that_falls_back_to_more_than_a_frame_is_refused_and_costs_no_connection(
    either: Any, daemon: Any, name: str
) -> None:
    async with either.open(daemon.seqpacket, pool_bytes=PAGE, zero_copy_from=COPIED_FROM) as one:
        channel = await made(either, one, name)
        most = bytes(channel._handle.longest_element)
        with pytest.raises(MessageTooLong, match="in one select"):
            await either.do(one.select(channel.sending(most), channel.sending(most)))
        await either.do(one.select(channel.sending(most), biased=True))
        assert await either.do(channel.receive()) == most


async def test_without_fallback_an_exhausted_pool_refuses_and_nothing_is_sent_or_counted(
    either: Any, address: str, name: str
) -> None:
    numpy = pytest.importorskip("numpy", reason="needs the extra numpy")
    async with either.open(
        address, pool_bytes=PAGE, zero_copy_from=COPIED_FROM, fallback=False
    ) as one:
        channel = await made(either, one, name)
        with pytest.raises(PoolExhausted, match="pool_bytes"):
            await either.do(channel.send(LARGE))
        with pytest.raises(PoolExhausted):
            await either.do(channel.send(numpy.zeros(len(LARGE), "u1")))
        with pytest.raises(PoolExhausted):
            await either.do(channel.send_many([LARGE]))
        with pytest.raises(PoolExhausted):
            await either.do(one.select(channel.sending(LARGE)))
        await either.do(channel.send(b"small"))
        found = await either.do(channel.statistics())
        assert (found.zref_fallback_small, found.zref_fallback_capacity, found.depth) == (0, 0, 1)
        await either.do(channel.purge())


async def test_with_fallback_turned_off_small_loans_still_go_as_bytes(
    either: Any, address: str, name: str
) -> None:
    async with either.open(address, fallback=False) as one:
        channel = await made(either, one, name)
        with one.loan(1) as block:
            await either.do(channel.send(block))
        assert await counted(either, channel) == (1, 0)
        await either.do(channel.purge())


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    """A daemon that takes hardly any shared memory."""
    directory = tmp_path_factory.mktemp("n")
    with running_daemon(Path(directory), "--limit", "region_bytes_per_uid=64K") as found:
        yield found


async def test_a_daemon_that_takes_no_region_makes_copies_go_as_bytes(
    either: Any, narrow: DaemonProcess, name: str
) -> None:
    numpy = pytest.importorskip("numpy", reason="needs the extra numpy")
    async with either.open(narrow.stream, zero_copy_from=COPIED_FROM) as one:
        channel = await made(either, one, name)
        await either.do(channel.send(LARGE))
        assert await either.do(channel.send_many([LARGE])) == 1
        await either.do(channel.send(numpy.zeros(len(LARGE), "u1")))
        assert await counted(either, channel) == (0, 3)
        await either.do(channel.purge())


async def test_a_select_goes_as_bytes_too_when_the_daemon_takes_no_region(
    either: Any, narrow: DaemonProcess, name: str
) -> None:
    async with either.open(narrow.stream, zero_copy_from=COPIED_FROM) as one:
        full = await either.do(one.make_channel(f"{name}-full", kind="buffered", capacity=1))
        await either.do(full.send(b"full"))
        channel = await made(either, one, name)
        other = bytes([1]) * len(LARGE)
        won = await either.do(one.select(full.sending(LARGE), channel.sending(other)))
        assert won.index == 1
        assert await either.do(channel.receive()) == other
        assert [region.space.idle for region in one._connection.side.pool.regions] == [True]
        await either.do(full.purge())


async def test_a_loan_in_a_select_needs_its_region_and_nothing_is_sent_without(
    either: Any, narrow: DaemonProcess, name: str
) -> None:
    async with either.open(narrow.stream, zero_copy_from=COPIED_FROM) as one:
        channel = await made(either, one, name)
        with one.loan(64 << 10) as block:
            with pytest.raises(QuotaExceeded):
                await either.do(one.select(channel.sending(block), channel.sending(LARGE)))
            block[0] = 1
        assert (await either.do(channel.statistics())).depth == 0
        assert [region.space.idle for region in one._connection.side.pool.regions] == [True]


async def test_without_fallback_the_quota_of_the_daemon_is_named(
    either: Any, narrow: DaemonProcess, name: str
) -> None:
    async with either.open(narrow.stream, zero_copy_from=COPIED_FROM, fallback=False) as one:
        channel = await made(either, one, name)
        with pytest.raises(PoolExhausted) as caught:
            await either.do(channel.send(LARGE))
        assert (caught.value.setting, caught.value.limit) == ("limits.region_bytes_per_uid", 65536)
        with pytest.raises(PoolExhausted):
            await either.do(channel.send_many([LARGE]))
        with pytest.raises(PoolExhausted):
            await either.do(one.select(channel.sending(LARGE)))
        found = await either.do(channel.statistics())
        assert (found.zref_fallback_capacity, found.depth) == (0, 0)


async def test_a_file_over_the_quota_is_refused_before_a_byte_of_it_is_copied(
    either: Any, narrow: DaemonProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100 << 10))
    copied: list[int] = []
    monkeypatch.setattr("kcoro_ipc.regions.filling._copy", lambda *_: copied.append(1))
    async with either.open(narrow.stream) as one:
        with path.open("rb") as file, pytest.raises(QuotaExceeded) as caught:
            one.loan_file(file).__enter__()
        assert (caught.value.setting, caught.value.limit, caught.value.usage) == (
            "limits.region_bytes_per_uid",
            64 << 10,
            0,
        )
    assert copied == []
