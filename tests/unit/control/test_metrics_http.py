"""HTTP on the metrics socket, spoken byte for byte; the numbers come from a house of stand-ins."""

import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from kcoro_ipc import metrics_http, transport
from kcoro_ipc.exposition import CONTENT_TYPE
from kcoro_ipc.protocol.address import Address
from tests.unit.control.house import READ, House
from tests.unit.test_exposition import parsed

GET = b"GET /metrics HTTP/1.1\r\nHost: kcoro\r\n\r\n"


class Site:
    """The metrics socket of a house with one channel."""

    def __init__(self, path: Path) -> None:
        self.house = House()
        self.peer = self.house.peer()
        self.house.ask(self.peer, "CHAN_MAKE", NAME="jobs", FLAGS=READ)
        self.listener = transport.listen(Address("stream", str(path)), 0o660)

    async def connect(self) -> trio.SocketStream:
        client = trio.socket.socket(trio.socket.AF_UNIX)
        await client.connect(self.listener.address.path)
        return trio.SocketStream(client)

    async def ask(self, request: bytes) -> bytes:
        """The whole answer: the server ends the connection."""
        async with await self.connect() as client:
            await client.send_all(request)
            return await self.rest(client)

    @staticmethod
    async def rest(client: trio.SocketStream) -> bytes:
        answer = b""
        while data := await client.receive_some():
            answer += data
        return answer


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Site]:
    site = Site(path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(metrics_http.serve, site.listener, site.house.broker)
        yield site
        nursery.cancel_scope.cancel()
    site.listener.close()
    assert site.house.broker.books.walks == []


@pytest.fixture
async def site(socket_dir: Path) -> AsyncIterator[Site]:
    async with serving(socket_dir / "m.sock") as found:
        yield found


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def headers(answer: bytes) -> dict[str, str]:
    lines = answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def body(answer: bytes) -> bytes:
    """Chunks put together."""
    rest, found = answer.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        found, rest = found + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return found


async def test_a_get_is_answered_with_a_scrape_and_the_end(site: Site) -> None:
    answer = await site.ask(GET)
    assert status(answer) == 200
    assert headers(answer)["content-type"] == CONTENT_TYPE
    assert headers(answer)["connection"] == "close"
    assert ("jobs", "1000") in parsed(body(answer).decode())["kcoro_channel_sends_total"]


async def test_a_request_may_come_byte_by_byte_and_with_a_query(site: Site) -> None:
    async with await site.connect() as client:
        for byte in GET.replace(b"/metrics", b"/metrics?name=x"):
            await client.send_all(bytes([byte]))
        assert status(await site.rest(client)) == 200


async def test_head_has_the_headers_alone(site: Site) -> None:
    answer = await site.ask(GET.replace(b"GET", b"HEAD"))
    assert (status(answer), headers(answer)["content-type"]) == (200, CONTENT_TYPE)
    assert answer.endswith(b"\r\n\r\n")


async def test_http_1_0_gets_the_text_without_chunks(site: Site) -> None:
    answer = await site.ask(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert (status(answer), answer[-6:]) == (200, b"# EOF\n")
    assert "transfer-encoding" not in headers(answer)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (GET.replace(b"/metrics", b"/"), 404),
        (GET.replace(b"/metrics", b"/metricsx"), 404),
        (GET.replace(b"GET", b"POST"), 405),
        (GET.replace(b"GET", b"DELETE"), 405),
        (GET.replace(b"Host: kcoro\r\n", b""), 400),
        (b"\x00\x01\x02 nonsense\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: " + b"x" * (20 << 10), 431),
    ],
)
async def test_anything_else_is_refused_by_its_code(site: Site, request_: bytes, code: int) -> None:
    assert status(await site.ask(request_)) == code
    assert status(await site.ask(GET)) == 200


async def test_a_method_that_is_refused_hears_which_are_not(site: Site) -> None:
    assert headers(await site.ask(GET.replace(b"GET", b"PUT")))["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("accept", "code"),
    [
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3", 200),
        ("text/html, */*;q=0.1", 200),
        ("Application/*", 200),
        ("text/plain", 406),
        ("text/html, */*;q=0", 406),
        ("*/*; q=0.0", 406),
    ],
)
async def test_who_accepts_no_openmetrics_gets_none(site: Site, accept: str, code: int) -> None:
    request = GET.replace(b"\r\n\r\n", b"\r\nAccept: %s\r\n\r\n" % accept.encode())
    assert status(await site.ask(request)) == code


async def test_who_leaves_in_the_middle_leaves_nothing(site: Site) -> None:
    for request in (b"", GET[:10], GET):
        client = await site.connect()
        await client.send_all(request)
        await client.aclose()
    assert status(await site.ask(GET)) == 200
    await trio.testing.wait_all_tasks_blocked()
    assert site.house.broker.books.walks == []


async def test_a_slow_scraper_costs_its_place_for_a_while_and_a_dead_one_too(
    socket_dir: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with serving(socket_dir / "m.sock") as site:
        # One never asks; one never reads what is more than a socket holds.
        silent, deaf = await site.connect(), await site.connect()
        for i in range(400):
            site.house.ask(site.peer, "CHAN_MAKE", NAME=f"{i}{'x' * 200}", FLAGS=READ)
        await deaf.send_all(GET)
        begun = trio.current_time()
        assert status(await site.ask(GET)) == 200
        assert trio.current_time() == begun
        assert await site.rest(silent) == b""
        assert len(site.house.broker.books.walks) == 0
        assert trio.current_time() == begun + metrics_http.SECONDS
        with pytest.raises((trio.BrokenResourceError, AssertionError)):
            assert (await site.rest(deaf)).endswith(b"0\r\n\r\n")  # it was cut off
        for one in (silent, deaf):
            await one.aclose()


class Comers:
    """Says of which user each of those who connect is, one after the other."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self._site = site
        self._uid = 0
        monkeypatch.setattr(metrics_http, "credentials", self._credentials)

    def _credentials(self, connected: object) -> transport.Credentials:
        return transport.Credentials(1, self._uid, self._uid, frozenset(), unmapped=False)

    async def come(self, uid: int) -> trio.SocketStream:
        """Connected, and in its place."""
        self._uid = uid
        client = await self._site.connect()
        await trio.testing.wait_all_tasks_blocked()
        return client

    async def ask(self, uid: int) -> bytes:
        async with await self.come(uid) as client:
            await client.send_all(GET)
            return await self._site.rest(client)


async def over(clients: list[trio.SocketStream]) -> list[int]:
    """Whose connection the server has ended."""
    ended = []
    for i, client in enumerate(clients):
        with trio.move_on_after(0.01) as patience:
            assert await client.receive_some() == b""
        if not patience.cancelled_caught:
            ended.append(i)
    return ended


async def test_who_sits_in_all_places_keeps_no_other_user_waiting(
    site: Site, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    comers = Comers(site, monkeypatch)
    slow = [await comers.come(1) for _ in range(metrics_http.PLACES)]
    begun = trio.current_time()
    assert status(await comers.ask(2)) == 200
    assert trio.current_time() == begun
    assert await over(slow) == [0]
    assert status(await comers.ask(2)) == 200  # in the place that is free since
    assert await over(slow[1:]) == []
    for one in slow:
        await one.aclose()


async def test_who_comes_with_many_takes_places_of_its_own_user_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    comers = Comers(site, monkeypatch)
    others = [await comers.come(2), await comers.come(3)]
    many = [await comers.come(1) for _ in range(3 * metrics_http.PLACES)]
    assert await over(others) == []
    assert len(await over(many)) == 2 * metrics_http.PLACES + 2
    for one in [*others, *many]:
        await one.aclose()


async def test_of_one_user_who_has_not_moved_for_longest_gives_its_place(
    site: Site, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    comers = Comers(site, monkeypatch)
    clients = [await comers.come(1) for _ in range(metrics_http.PLACES)]
    await clients[0].send_all(GET[:9])
    await trio.testing.wait_all_tasks_blocked()
    clients.append(await comers.come(1))
    assert await over(clients) == [1]
    for one in clients:
        await one.aclose()


async def test_a_fault_of_ours_ends_that_scrape_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(chan: int) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(site.house.engine, "chan_stats", broken)
        assert not (await site.ask(GET)).endswith(b"0\r\n\r\n")
    assert "metrics failed" in caplog.text
    assert status(await site.ask(GET)) == 200


async def test_accepting_goes_on_after_descriptors_ran_out(
    socket_dir: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.socket.socket(trio.socket.AF_UNIX) as any_socket:
        kind = type(any_socket)
    accept, refused = kind.accept, [OSError(errno.EMFILE, "Too many open files")]

    async def once(listening: trio.socket.SocketType) -> object:
        if refused:
            raise refused.pop()
        return await accept(listening)

    monkeypatch.setattr(kind, "accept", once)
    async with serving(socket_dir / "m.sock") as site:
        assert status(await site.ask(GET)) == 200
    assert refused == []
