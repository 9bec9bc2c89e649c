"""The metrics socket: `GET /metrics` over HTTP/1.1, answered with one scrape, then the end.

h11 reads and writes HTTP; this is no web server beyond that one page. A task of trio for each of a
few connections: places, bytes of a request and seconds from accept(2) to the last byte are bounded,
and a scraper that does not read stops its own scrape only. Who comes when all places are taken gets
that of the user who has most, so nobody waits for slow ones. Who may ask is the socket's mode.
"""

import errno
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from http import HTTPStatus

import h11
import trio

from kcoro_ipc.broker import Broker
from kcoro_ipc.exposition import CONTENT_TYPE
from kcoro_ipc.logs import say
from kcoro_ipc.scrape import scrape
from kcoro_ipc.transport import Listener, credentials

PATH = b"/metrics"
METHODS = (b"GET", b"HEAD")
PLACES = 16
REQUEST_BYTES = 16 << 10
SECONDS = 10.0
PAUSE_S = 1.0  # when no descriptor is left
_ACCEPTABLE = ("application/openmetrics-text", "application/*", "*/*")

Headers = Sequence[tuple[str, str]]


async def serve(listener: Listener, broker: Broker) -> None:
    """Until cancelled. The listener stays the caller's."""
    listening = trio.socket.from_stdlib_socket(listener.socket)
    places = _Places()
    async with trio.open_nursery() as nursery:
        while True:
            try:
                connected, _ = await listening.accept()
                uid = credentials(connected).uid
            except OSError as error:
                await _pause(error)
            else:
                guest = places.take(uid)
                nursery.start_soon(_attend, trio.SocketStream(connected), broker, places, guest)


async def _pause(error: OSError) -> None:
    if error.errno != errno.ECONNABORTED:
        say(logging.WARNING, "metrics paused", why=error.strerror)
        await trio.sleep(PAUSE_S)


class _Guest:
    """Who has a place. Its `scope` ends what it is given."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.scope = trio.CancelScope(deadline=trio.current_time() + SECONDS)


class _Places:
    """PLACES at most. Who moved last, by a byte read or written, stands last."""

    def __init__(self) -> None:
        self._guests: dict[_Guest, None] = {}

    def take(self, uid: int) -> _Guest:
        """A place: a free one or, of the user who has most with this one, that of who has not
        moved for longest. Without that, whoever sits in all of them would be waited for."""
        if len(self._guests) >= PLACES:
            counts = Counter([uid, *(guest.uid for guest in self._guests)])
            most = max(counts[guest.uid] for guest in self._guests)
            last = next(guest for guest in self._guests if counts[guest.uid] == most)
            last.scope.cancel()
            self.leave(last)
        guest = _Guest(uid)
        self._guests[guest] = None
        return guest

    def moved(self, guest: _Guest) -> None:
        if guest in self._guests:
            del self._guests[guest]
            self._guests[guest] = None

    def leave(self, guest: _Guest) -> None:
        """Safe twice."""
        self._guests.pop(guest, None)


async def _attend(
    stream: trio.SocketStream, broker: Broker, places: _Places, guest: _Guest
) -> None:
    try:
        with guest.scope:
            await _Exchange(stream, broker, places, guest).run()
    except (trio.BrokenResourceError, h11.LocalProtocolError):
        pass  # who asked is gone
    except Exception as error:  # noqa: BLE001  a fault of ours must not end the daemon
        say(logging.ERROR, "metrics failed", error)
    finally:
        places.leave(guest)
        await trio.aclose_forcefully(stream)


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, stream: trio.SocketStream, broker: Broker, places: _Places, guest: _Guest
    ) -> None:
        self._stream = stream
        self._broker = broker
        self._places = places
        self._guest = guest
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_BYTES)

    async def run(self) -> None:
        try:
            request = await self._receive()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint, str(error))
            return
        if isinstance(request, h11.Request):
            await self._answer(request)

    async def _receive(self) -> object:
        """The request; ConnectionClosed when there was none."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._stream.receive_some(4096))
            self._places.moved(self._guest)
        return event

    async def _answer(self, request: h11.Request) -> None:
        if request.target.partition(b"?")[0] != PATH:
            await self._refuse(404, "there is one page, /metrics")
        elif request.method not in METHODS:
            await self._refuse(405, "ask with GET", [("Allow", "GET, HEAD")])
        elif not _accepts(request):
            await self._refuse(406, f"there is only {CONTENT_TYPE}")
        else:
            await self._begin(200, CONTENT_TYPE)
            if request.method == b"GET":
                await self._send_scrape()
            await self._send(h11.EndOfMessage())

    async def _send_scrape(self) -> None:
        with closing(scrape(self._broker)) as pieces:
            for piece in pieces:
                await trio.lowlevel.checkpoint()  # a turn of the daemon
                if piece:
                    await self._send(h11.Data(data=piece))

    async def _refuse(self, status: int, why: str, headers: Headers = ()) -> None:
        await self._begin(status, "text/plain; charset=utf-8", headers)
        await self._send(h11.Data(data=f"{why}\n".encode()))  # h11 leaves it out for HEAD
        await self._send(h11.EndOfMessage())
        # What is left of the request would make a reset of our end, and the answer could get lost.
        await self._stream.send_eof()
        while await self._stream.receive_some(REQUEST_BYTES):
            pass

    async def _begin(self, status: int, content_type: str, headers: Headers = ()) -> None:
        every = [("Content-Type", content_type), ("Connection", "close"), *headers]
        phrase = HTTPStatus(status).phrase
        await self._send(h11.Response(status_code=status, headers=every, reason=phrase))

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if data:
            await self._stream.send_all(data)
            self._places.moved(self._guest)


def _accepts(request: h11.Request) -> bool:
    """Whether Accept, if there is one, has a range with our type and does not weigh it 0."""
    given = [value.decode("latin-1") for name, value in request.headers if name == b"accept"]
    ranges = [one.split(";") for value in given for one in value.split(",")]
    return not given or any(
        words[0].strip().lower() in _ACCEPTABLE and not _is_refused(words[1:]) for words in ranges
    )


def _is_refused(parameters: Sequence[str]) -> bool:
    weights = [word.partition("=")[2] for word in parameters if word.strip().startswith("q=")]
    return any(weight.strip(" 0.") == "" for weight in weights)
