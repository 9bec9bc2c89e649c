"""A client of the soak: many tasks that do everything a client can, until it is killed.

    python -m tests.soak.worker PATH SEED JOURNAL

What it does to the channel whose messages are counted goes into JOURNAL first, one line each, by
write(2): a kernel that outlives this process keeps it (tests/soak/journal.py has the words).
"""

import os
import random
import sys
from collections.abc import Awaitable, Callable

import trio

import kcoro_ipc
from kcoro_ipc.errors import InvalidArgument, KcoroError
from tests.soak.journal import COUNTED, Journal

TASKS = 6
ROUNDS_PER_CONNECTION = 50  # then it connects anew
PATIENCE_S = 0.05  # the middle of the times after which an operation is cancelled
SIZES = (0, 10, 1_000, 60_000, 200_000)


class Worker:
    def __init__(
        self, path: str, client: kcoro_ipc.Client, chance: random.Random, journal: Journal
    ) -> None:
        self.path = path
        self.client = client
        self.chance = chance
        self.journal = journal
        self.operations: list[Callable[[], Awaitable[None]]] = [
            self.send_counted,
            self.send_counted,
            self.receive_counted,
            self.receive_counted,
            self.send_plain,
            self.send_plain,
            self.receive_plain,
            self.receive_plain,
            self.send_batch,
            self.receive_batch,
            self.select,
            self.lend,
            self.read_lease,
            self.pass_file,
            self.take_file,
            self.churn,
            self.connect,
            self.connect,
            self.ask,
        ]

    async def run(self) -> None:
        for _ in range(ROUNDS_PER_CONNECTION):
            operation = self.chance.choice(self.operations)
            with trio.move_on_after(self.chance.expovariate(1 / PATIENCE_S)):
                await self.attempt(operation)

    async def attempt(self, operation: Callable[[], Awaitable[None]]) -> None:
        """What load and other workers do to it is no fault; a wrong request would be ours."""
        try:
            await operation()
        except InvalidArgument:
            raise
        except (KcoroError, trio.EndOfChannel):
            pass

    async def channel(self, name: str) -> kcoro_ipc.Channel:
        return await self.client.open_channel(name)

    def payload(self) -> bytes:
        return bytes(self.chance.choice(SIZES))

    # --- messages that are counted ---

    async def send_counted(self) -> None:
        async with await self.channel(COUNTED) as channel:
            body = self.journal.sending()
            try:
                await channel.send(body)
            except trio.Cancelled:
                self.journal.cancelled(body)
                raise
            self.journal.sent(body)

    async def receive_counted(self) -> None:
        async with await self.channel(COUNTED) as channel, channel.acking() as inbox:
            job = await inbox.receive()
            self.journal.got(job.data, job.attempts)
            if self.chance.random() < 0.2:
                await job.nack()
            else:
                self.journal.acking(job.data)
                await job.ack()

    # --- everything else ---

    async def send_plain(self) -> None:
        async with await self.channel(self.any_name()) as channel:
            await channel.send(self.payload())

    async def receive_plain(self) -> None:
        async with await self.channel(self.any_name()) as channel:
            await channel.receive()

    def any_name(self) -> str:
        return self.chance.choice(("meet", "queue", "newest", "evict", "open"))

    async def send_batch(self) -> None:
        async with await self.channel("queue") as channel:
            await channel.send_many([self.payload() for _ in range(self.chance.randrange(1, 20))])

    async def receive_batch(self) -> None:
        async with await self.channel("queue") as channel:
            await channel.receive_many(16)

    async def select(self) -> None:
        async with await self.channel("meet") as one, await self.channel("queue") as other:
            await self.client.select(one.receiving(), other.sending(b"x"), one.sending(b"y"))

    async def lend(self) -> None:
        async with await self.channel("shared") as channel:
            with self.client.loan(100_000) as block:
                block[:4] = b"lent"
                await channel.send(block)

    async def read_lease(self) -> None:
        async with await self.channel("shared") as channel:
            with await channel.receive_lease() as block:
                assert bytes(block[:4]) == b"lent"

    async def pass_file(self) -> None:
        reading, writing = os.pipe()
        try:
            async with await self.channel("files") as channel:
                await channel.send(b"a pipe", files=[reading])
        finally:
            os.close(reading)
            os.close(writing)

    async def take_file(self) -> None:
        async with await self.channel("files") as channel:
            message = await channel.receive_message()
            for file in message.files:
                file.close()

    async def churn(self) -> None:
        async with await self.client.make_channel(None, capacity=2) as channel:
            await channel.send(self.payload())
            await channel.receive()

    async def connect(self) -> None:
        async with kcoro_ipc.open_client(self.path) as client:
            await client.ping()

    async def ask(self) -> None:
        for info in await self.client.list_channels():
            await self.client.statistics(info.chan_id)


async def main(path: str, seed: int, journal_path: str) -> None:
    chance = random.Random(seed)
    with Journal(journal_path) as journal:
        while True:
            async with kcoro_ipc.open_client(path) as client, trio.open_nursery() as nursery:
                for _ in range(TASKS):
                    worker = Worker(path, client, random.Random(chance.random()), journal)
                    nursery.start_soon(worker.run)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), sys.argv[3])
