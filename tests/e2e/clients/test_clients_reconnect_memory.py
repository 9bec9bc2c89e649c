"""Leases, loans and arrays of a connection whose daemon was killed and started again."""

from typing import Any

import pytest

from kcoro_ipc.errors import (
    ClosedResourceError,
    NoDaemon,
)
from tests.e2e.clients.restarted import SIZE, Restarted


async def test_an_open_lease_can_be_read_and_its_release_tells_nobody(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("frames", kind="buffered", capacity=4))
        with one.loan(SIZE) as block:
            block[:5] = b"first"
            await either.do(channel.send(block))
        lease = await either.do(channel.receive_lease())
        assert lease.is_shared
        town.again()
        await either.do(one.ping())
        assert bytes(lease.data[:5]) == b"first"
        with one.loan(SIZE) as block:
            block[:6] = b"second"
            await either.do(channel.send(block))
        later = await either.do(channel.receive_lease())
        assert one.leases_open == 1
        lease.release()
        await either.do(one.ping())
        assert (one.leases_open, bytes(later.data[:6])) == (1, b"second")
        (region,) = one._connection.side.pool.regions
        assert not region.space.idle, "the release of the old lease freed the new one"
        later.release()
        await either.do(one.ping())
        assert one.leases_open == 0


async def test_a_block_of_the_lost_connection_refuses_to_be_sent_and_a_new_one_goes(
    either: Any, town: Restarted, renewing: Any
) -> None:
    async with renewing() as one:
        channel = await either.do(one.open_channel("frames", kind="buffered", capacity=4))
        with one.loan(SIZE) as block, one.loan(100) as small:
            town.again()
            for through in ("send", "small", "batch", "select"):
                with pytest.raises(ClosedResourceError, match="another loan"):
                    if through == "batch":
                        await either.do(channel.send_many([block]))
                    elif through == "select":
                        await either.do(one.select(channel.sending(block)))
                    else:
                        await either.do(channel.send(block if through == "send" else small))
            block[0] = 1
        with one.loan(SIZE) as block:
            await either.do(channel.send(block))
        found = await either.do(channel.statistics())
        assert (found.depth, found.zref_sent) == (1, 1)


@pytest.mark.parametrize("noticed", [False, True])
async def test_who_begins_with_a_loan_comes_to_the_next_connection(
    either: Any, town: Restarted, renewing: Any, noticed: bool
) -> None:
    numpy = pytest.importorskip("numpy", reason="needs the extra numpy")
    async with renewing() as one:
        channel = await either.do(one.open_channel("frames", kind="buffered", capacity=4))
        with one.loan(SIZE) as block:
            await either.do(channel.send(block))
        await either.do(channel.receive())
        town.kill()
        one._link._dialer.keep_trying = 0.01
        with pytest.raises(NoDaemon):
            await either.do(channel.send(b"x"))
        one._link._dialer.keep_trying = 30.0
        with one.loan(SIZE) as block, one.loan(SIZE) as never:
            never[0] = 1
            block[:4] = b"next"
            array = one.empty((SIZE,), "u1")
            array[:] = 7
            town.start()
            if noticed:
                await either.do(one.ping())
            await either.do(channel.send(block))
            await either.do(channel.send(array))
        lease = await either.do(channel.receive_lease())
        assert bytes(lease.data[:4]) == b"next"
        lease.release()
        got = await either.do(channel.receive_array())
        assert numpy.array_equal(got, array)
        found = await either.do(channel.statistics())
        assert (found.zref_sent, found.zref_fallback_capacity) == (2, 0)
        del got, array
        await either.do(one.ping())
        await either.do(one.ping())
        (region,) = one._connection.side.pool.regions
        assert region.space.idle
        assert one.reconnects == 1


async def test_an_array_of_the_lost_connection_goes_as_a_copy(
    either: Any, town: Restarted, renewing: Any
) -> None:
    numpy = pytest.importorskip("numpy", reason="needs the extra numpy")
    async with renewing() as one:
        channel = await either.do(one.open_channel("frames", kind="buffered", capacity=4))
        array = one.empty((SIZE,), "u1")
        array[:] = 7
        town.again()
        await either.do(one.ping())
        await either.do(channel.send(array))
        assert array.flags.writeable
        got = await either.do(channel.receive_array())
        assert numpy.array_equal(got, array)
        del got
