"""Nothing is lost and nothing made up, as the monitor sees it: under load, with cancels, deaths and
channels that end and begin again, every snapshot of every kind of channel obeys the laws, and when
all is quiet the three ways to look agree with each other and with those who sent."""

import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from kcoro_ipc.client import Channel, Client, open_client
from kcoro_ipc.embedded import EmbeddedDaemon, embedded_daemon
from kcoro_ipc.errors import KcoroError
from kcoro_ipc.metrics import ChannelSnapshot
from tests.e2e.eyes import Scraped, scrape

KINDS: dict[str, dict[str, Any]] = {
    "dead": {"kind": "unlimited"},
    "meet": {"kind": "rendezvous"},
    "room": {"kind": "buffered", "capacity": 3},
    "newest": {"kind": "buffered", "capacity": 2, "overflow": "drop_newest"},
    "oldest": {"kind": "buffered", "capacity": 2, "overflow": "drop_oldest"},
    "latest": {"kind": "conflated"},
    "endless": {"kind": "unlimited"},
    "acked": {
        "kind": "buffered",
        "capacity": 4,
        "ack": "required",
        "max_attempts": 2,
        "dead_letter": "dead",
    },
}
WORKERS, ROUNDS, STEPS = 4, 2, 50
PATIENCE_S = 60.0  # bounds a test that hangs


@pytest.fixture
def daemon(io: str, socket_dir: Path) -> Iterator[EmbeddedDaemon]:
    log = socket_dir / "log"
    options = ["--metrics", str(socket_dir / "m.sock"), "--io", io]
    with (
        log.open("wb") as output,
        embedded_daemon(socket_dir / "k.sock", options, log=output) as found,
    ):
        yield found
    assert "Traceback" not in log.read_text()


class Load:
    """Clients that do anything to any channel; what they know for sure is counted."""

    def __init__(self, path: str, seed: int) -> None:
        self.path = path
        self.dice = random.Random(seed)
        self.sent: Counter[str] = Counter()
        self.in_doubt: Counter[str] = Counter()
        self.acts: tuple[Callable[[Client, Channel], Awaitable[None]], ...] = (
            self.send,
            self.send,
            self.send_many,
            self.receive,
            self.receive,
            self.try_both,
            self.select,
            self.die,
            self.end,
        )

    async def work(self) -> None:
        async with open_client(self.path) as client:
            for _ in range(STEPS):
                name = self.dice.choice(list(KINDS))
                act = self.dice.choice(self.acts)
                try:
                    channel = await client.open_channel(name, **KINDS[name])
                    with trio.move_on_after(self.dice.choice((0.0005, 0.002, 0.01))):
                        await act(client, channel)
                    await channel.aclose()
                except (KcoroError, trio.WouldBlock):
                    pass  # it was ended under us, or would have to wait

    def name(self, channel: Channel) -> str:
        assert channel.name is not None
        return channel.name

    async def send(self, client: Client, channel: Channel) -> None:
        await channel.send(b"x" * self.dice.randrange(100))
        self.sent[self.name(channel)] += 1

    async def send_many(self, client: Client, channel: Channel) -> None:
        settled = await channel.send_many([b"y"] * self.dice.randrange(1, 8))
        self.sent[self.name(channel)] += settled

    async def receive(self, client: Client, channel: Channel) -> None:
        if self.name(channel) != "acked":
            await channel.receive()
            return
        async with channel.acking() as inbox:
            job = await inbox.receive()
            if self.dice.random() < 0.6:
                await (job.ack if self.dice.random() < 0.5 else job.nack)()

    async def try_both(self, client: Client, channel: Channel) -> None:
        await channel.try_send(b"z")
        self.sent[self.name(channel)] += 1
        await channel.try_receive()

    async def select(self, client: Client, channel: Channel) -> None:
        other = await client.open_channel("room", **KINDS["room"])
        try:
            clauses = [channel.sending(b"s"), other.receiving()]
            if (await client.select(*clauses)).index == 0:
                self.sent[self.name(channel)] += 1
        finally:
            with trio.CancelScope(shield=True):
                await other.aclose()

    async def die(self, client: Client, channel: Channel) -> None:
        """Another client that ends while it waits."""
        name = self.name(channel)
        async with trio.open_nursery() as nursery, open_client(self.path) as dying:
            theirs = await dying.open_channel(name, **KINDS[name])
            for send in (True, False, True):
                nursery.start_soon(self.doubtful, theirs, send)
            await dying.ping()

    async def doubtful(self, channel: Channel, send: bool) -> None:
        name = self.name(channel)
        try:
            if send:
                await channel.send(b"d")
                self.sent[name] += 1
            else:
                await channel.receive()
        except KcoroError as error:
            self.in_doubt[name] += send and bool(error.in_doubt)

    async def end(self, client: Client, channel: Channel) -> None:
        if self.dice.random() < 0.3 and self.name(channel) != "dead":
            if self.dice.random() < 0.5:
                await channel.close()
            with trio.CancelScope(shield=True):
                await channel.destroy("enough")
        elif self.dice.random() < 0.2:
            await channel.purge()

    async def certain(self, client: Client) -> None:
        """What chance may have left out: a closed channel reaches who waits, a letter dies, a
        message is dropped."""
        meet = await client.open_channel("meet", **KINDS["meet"])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.doubtful, meet, False)
            while not (await meet.statistics()).parked_receivers:
                pass
            await meet.close()
        await meet.destroy()
        acked = await client.open_channel("acked", **KINDS["acked"])
        await acked.purge()
        await self.send(client, acked)
        async with acked.acking() as inbox:
            for _ in range(2):
                await (await inbox.receive()).nack()
        newest = await client.open_channel("newest", **KINDS["newest"])
        for _ in range(3):
            await self.send(client, newest)


class Eyes:
    """Everything that looks, all the time."""

    def __init__(self, client: Client, metrics: str) -> None:
        self.client = client
        self.metrics = metrics
        self.looks = 0
        self._before: dict[Any, float] = {}

    async def watch(self, name: str) -> None:
        """Whole lives of channels of that name, one after the other."""
        while True:
            try:
                await self.client.open_channel(name, **KINDS[name])
                async with self.client.watch(name, 0.1) as snapshots:
                    async for snapshot in snapshots:
                        self.judge(snapshot)
            except KcoroError:
                pass  # it was ended

    async def ask(self) -> None:
        while True:
            await self.scraped()
            for name in KINDS:
                try:
                    self.judge(await self.client.statistics(name))
                except KcoroError:
                    pass

    async def scraped(self) -> Scraped:
        """Lawful, and no counter fell."""
        found = Scraped(await scrape(self.metrics))
        assert list(found.breaches()) == []
        fallen = {key for key, value in found.counters.items() if value < self._before.get(key, 0)}
        assert fallen == set()
        self._before = found.counters
        self.looks += 1
        return found

    def judge(self, snapshot: ChannelSnapshot) -> None:
        assert snapshot.breaches() == []
        self.looks += 1


async def quiet(eyes: Eyes, name: str) -> ChannelSnapshot:
    """Once nobody waits and nothing is on its way any more: the state itself is the condition."""
    while True:
        found = await eyes.client.statistics(name)
        if not (found.parked_senders or found.parked_receivers or found.held):
            return found


async def agree(eyes: Eyes, load: Load) -> None:
    """Three ways to look at each channel, and what the senders know."""
    for name, options in KINDS.items():
        await eyes.client.open_channel(name, **options)
        asked = await quiet(eyes, name)
        async with eyes.client.watch(name, 0.1) as snapshots:
            assert await anext(snapshots) == asked
        eyes.judge(asked)
    scraped = await eyes.scraped()
    printed = Scraped(await eyes.client.metrics())
    told = [one for one in scraped.counters if one[0].startswith("kcoro_channel_")]
    assert {key: printed.counters[key] for key in told} == {
        key: scraped.counters[key] for key in told
    }
    for name in KINDS:
        series = {"name": name}
        if scraped.sum("sends_total", **series) and name != "dead":
            total = scraped.sum("sends_total", **series)
            assert load.sent[name] <= total <= load.sent[name] + load.in_doubt[name], name
    # Dead letters are sent by the daemon itself.
    letters = scraped.sum("undelivered_total", end="dead_lettered")
    total = scraped.sum("sends_total") - letters
    assert load.sent.total() <= total <= load.sent.total() + load.in_doubt.total()


@pytest.mark.parametrize(("io", "seed"), [("trio", 1), ("thread", 2)])
async def test_every_look_at_every_kind_of_channel_obeys_the_laws(
    daemon: EmbeddedDaemon, seed: int
) -> None:
    load = Load(daemon.path, seed)
    with trio.fail_after(PATIENCE_S):
        async with open_client(daemon.path) as client:
            eyes = Eyes(client, str(Path(daemon.path).parent / "m.sock"))
            for name, options in KINDS.items():
                await client.open_channel(name, **options)
            for _ in range(ROUNDS):
                async with trio.open_nursery() as looking:
                    for name in KINDS:
                        looking.start_soon(eyes.watch, name)
                    looking.start_soon(eyes.ask)
                    async with trio.open_nursery() as working:
                        for _ in range(WORKERS):
                            working.start_soon(load.work)
                    await load.certain(client)
                    looking.cancel_scope.cancel()
                await agree(eyes, load)
            found = await eyes.scraped()
    assert eyes.looks > 50
    # The load did what it is for.
    for counted in ("drops_total", "cancelled_waiters_total", "closed_waiters_total"):
        assert found.sum(counted) > 0, counted
    assert found.sum("undelivered_total") > 0
    assert found.sum("acknowledgements_total") > 0


# --- the eyes themselves ---

HEALTHY = """\
# TYPE kcoro_channel_sends counter
kcoro_channel_sends_total{name="a",uid="0"} 21
# TYPE kcoro_channel_receives counter
kcoro_channel_receives_total{name="a",uid="0"} 9
# TYPE kcoro_channel_depth gauge
kcoro_channel_depth{name="a",uid="0"} 5
# TYPE kcoro_channel_messages gauge
kcoro_channel_messages{name="a",uid="0",state="ready"} 3
kcoro_channel_messages{name="a",uid="0",state="held"} 2
# TYPE kcoro_channel_drops counter
kcoro_channel_drops_total{name="a",uid="0",policy="drop_oldest"} 3
# TYPE kcoro_channel_undelivered counter
kcoro_channel_undelivered_total{name="a",uid="0",end="dropped"} 4
# TYPE kcoro_channel_finished_waiters counter
kcoro_channel_finished_waiters_total{name="a",uid="0"} 20
# TYPE kcoro_channel_matched_waiters counter
kcoro_channel_matched_waiters_total{name="a",uid="0"} 7
# TYPE kcoro_channel_closed_waiters counter
kcoro_channel_closed_waiters_total{name="a",uid="0"} 3
# TYPE kcoro_channel_cancelled_waiters counter
kcoro_channel_cancelled_waiters_total{name="a",uid="0",reason="dead"} 10
# EOF
"""
SAMPLES = [line for line in HEALTHY.splitlines() if not line.startswith("#")]


def test_the_eyes_find_nothing_wrong_where_nothing_is() -> None:
    assert list(Scraped(HEALTHY).breaches()) == []


@pytest.mark.parametrize("line", SAMPLES, ids=lambda line: line.split("{")[0])
def test_the_eyes_see_any_number_that_is_off_by_one(line: str) -> None:
    name, _, value = line.rpartition(" ")
    broken = HEALTHY.replace(line, f"{name} {int(value) + 1}")
    assert len(list(Scraped(broken).breaches())) in (1, 2)
