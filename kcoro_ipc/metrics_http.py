"""The metrics socket: `GET /metrics` over HTTP/1.1, answered with one scrape, then the end.

h11 reads and writes HTTP; this is no web server beyond that one page. A task of trio for each of a
few connections: places, bytes of a request and seconds from accept(2) to the last byte are bounded,
and a scraper that does not read stops its own scrape only. Who may ask is the socket's mode.
"""

import errno
import logging
from collections.abc import Sequence
from contextlib import closing
from http import HTTPStatus

import h11
import trio

from kcoro_ipc.broker import Broker
from kcoro_ipc.exposition import CONTENT_TYPE
from kcoro_ipc.logs import say
from kcoro_ipc.scrape import scrape
from kcoro_ipc.transport import Listener

PATH = b"/metrics"
METHODS = (b"GET", b"HEAD")
PLACES = 8
REQUEST_BYTES = 16 << 10
SECONDS = 10.0
PAUSE_S = 1.0  # when no descriptor is left
_ACCEPTABLE = ("application/openmetrics-text", "application/*", "*/*")

Headers = Sequence[tuple[str, str]]


async def serve(listener: Listener, broker: Broker) -> None:
    """Until cancelled. The listener stays the caller's."""
    listening = trio.socket.from_stdlib_socket(listener.socket)
    places = trio.Semaphore(PLACES)
    async with trio.open_nursery() as nursery:
        while True:
            await places.acquire()  # the others wait in the backlog
            try:
                connected, _ = await listening.accept()
            except OSError as error:
                places.release()
                await _pause(error)
            else:
                nursery.start_soon(_attend, trio.SocketStream(connected), broker, places)


async def _pause(error: OSError) -> None:
    if error.errno != errno.ECONNABORTED:
        say(logging.WARNING, "metrics paused", why=error.strerror)
        await trio.sleep(PAUSE_S)


async def _attend(stream: trio.SocketStream, broker: Broker, places: trio.Semaphore) -> None:
    try:
        with trio.move_on_after(SECONDS):
            await _Exchange(stream, broker).run()
    except (trio.BrokenResourceError, h11.LocalProtocolError):
        pass  # who asked is gone
    except Exception as error:  # noqa: BLE001  a fault of ours must not end the daemon
        say(logging.ERROR, "metrics failed", error)
    finally:
        await trio.aclose_forcefully(stream)
        places.release()


class _Exchange:
    """One request and its answer."""

    def __init__(self, stream: trio.SocketStream, broker: Broker) -> None:
        self._stream = stream
        self._broker = broker
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
