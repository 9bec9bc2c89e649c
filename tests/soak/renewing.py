"""A client of the soak whose daemon is killed and started again: it connects anew and goes on.

    python -m tests.soak.renewing PATH SEED JOURNAL

Every send waits until a receiver acknowledged its message (`confirm`). One that returned is `sent`;
one that lost its connection is in `doubt`: it may have arrived or not, and is not repeated. Ends
only by being killed; any other error ends it with a traceback, which the soak counts as a fault.
"""

import random
import sys

import trio

import kcoro_ipc
from kcoro_ipc.errors import ConnectionLost
from tests.soak.journal import RENEWED, Journal

SENDERS = 3
RECEIVERS = 3
WORK_S = 0.03  # the middle of what a receiver does before it answers: meanwhile sends are under way
CHANNEL = {"kind": "buffered", "capacity": 8, "ack": "required"}


async def send(channel: kcoro_ipc.Channel, journal: Journal) -> None:
    while True:
        body = journal.sending()
        try:
            await channel.send(body, confirm=True)
        except ConnectionLost:
            journal.doubt(body)
        else:
            journal.sent(body)


async def receive(channel: kcoro_ipc.Channel, journal: Journal, chance: random.Random) -> None:
    async with channel.acking() as inbox:
        while True:
            try:
                job = await inbox.receive()
                journal.got(job.data, job.attempts)
                await trio.sleep(chance.expovariate(1 / WORK_S))
                if chance.random() < 0.1:
                    await job.nack()
                else:
                    journal.acking(job.data)
                    await job.ack()
            except ConnectionLost:
                continue


async def main(path: str, seed: int, journal_path: str) -> None:
    chance = random.Random(seed)
    with Journal(journal_path) as journal:
        async with (
            kcoro_ipc.open_client(path, reconnect=True) as client,
            await client.open_channel(RENEWED, **CHANNEL) as channel,
            trio.open_nursery() as nursery,
        ):
            for _ in range(SENDERS):
                nursery.start_soon(send, channel, journal)
            for _ in range(RECEIVERS):
                nursery.start_soon(receive, channel, journal, random.Random(chance.random()))


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), sys.argv[3])
