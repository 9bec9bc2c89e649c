"""A scrape as an administrator sees it, and the laws of conservation (contract 4.17) in it."""

from collections.abc import Iterator

import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families

GET = b"GET /metrics HTTP/1.0\r\n\r\n"


async def scrape(path: str) -> str:
    """The text at the metrics socket."""
    answer = b""
    with trio.socket.socket(trio.socket.AF_UNIX) as client:
        await client.connect(path)
        await client.send(GET)
        while data := await client.recv(1 << 16):
            answer += data
    head, _, text = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK"), head
    return text.decode()


class Scraped:
    """Samples by name and labels, and their sums over labels that are not asked for."""

    def __init__(self, text: str) -> None:
        self.samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        self.counters = {key: value for key, value in self.samples.items() if "_total" in key[0]}

    def sum(self, name: str, /, **labels: str) -> float:
        return sum(
            value
            for (found, its), value in self.samples.items()
            if found == f"kcoro_channel_{name}" and labels.items() <= dict(its).items()
        )

    def series(self) -> list[dict[str, str]]:
        return [
            dict(labels) for name, labels in self.samples if name == "kcoro_channel_sends_total"
        ]

    def breaches(self) -> Iterator[str]:
        for labels in self.series():
            for whole, parts in LAWS.items():
                is_now = self.sum(whole, **labels)
                adds_up = sum(self.sum(part, **labels) for part in parts)
                if is_now != adds_up:
                    yield f"{labels}: {whole} is {is_now}, its parts are {adds_up}"


LAWS = {
    "sends_total": ("receives_total", "depth", "drops_total", "undelivered_total"),
    "finished_waiters_total": (
        "matched_waiters_total",
        "closed_waiters_total",
        "cancelled_waiters_total",
    ),
    "depth": ("messages",),
}
