"""Every limit, lowered to a small number and hit for real: the refusal names quota, limit, use and
setting, in the answer, the exception, the line of the command and the log. And what is no refusal:
a pace."""

import fcntl
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kcoro_ipc import _wire, quotas, tlv
from kcoro_ipc.cli.exits import line_of
from kcoro_ipc.protocol.outcome import failure_of
from kcoro_ipc.protocol.replies import Reply
from kcoro_ipc.quotas import Limits

pytestmark = pytest.mark.e2e

EDQUOT, ENOMEM = -122, -12
ACK = _wire.FLAG_RECV_ACK
SEALS = 0x1 | 0x2 | 0x4 | 0x10  # SEAL, SHRINK, GROW, FUTURE_WRITE (fcntl(2))

Answer = dict[str, Any]


class House(NamedTuple):
    """A daemon with one limit lowered, and a first connection."""

    running: Any
    connect: Callable[..., Any]
    wire: Any


def with_files(wire: Any, command: str, files: list[int], **attributes: Any) -> Answer:
    pairs = [("REQ_ID", 9), *attributes.items()]
    frame = tlv.build_frame(command, pairs, 1, len(files))
    socket.send_fds(wire.socket, [frame], files)
    answer: Answer = wire.read()
    return answer


def add_region(wire: Any, size: int = 4096) -> Answer:
    memory = os.memfd_create("region", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(memory, 0, size)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
        return with_files(wire, "REGION_ADD", [memory], SIZE=size)
    finally:
        os.close(memory)


# --- one recipe for each limit: the answer that is refused ---


def another_connection(house: House) -> Answer:
    house.connect(house.running)
    third = house.connect(house.running, minor=None)
    answer: Answer = third.hello()
    return answer


def second_channel(house: House) -> Answer:
    house.wire.make("a")
    answer: Answer = house.wire.ask("CHAN_MAKE", NAME="b")
    return answer


def second_receive(house: House) -> Answer:
    """It parks, as the first does."""
    chan_id = house.wire.make("a")
    for req_id in (1, 2, 3):
        house.wire.write("CHAN_RECV", REQ_ID=req_id, CHAN_ID=chan_id, TIMEOUT_MS=-1)
    answer: Answer = house.wire.read()
    return answer


def third_clause(house: House) -> Answer:
    chan_id = house.wire.make("a")
    clauses = [[("CHAN_ID", chan_id)]] * 4
    answer: Answer = house.wire.ask("SELECT", TIMEOUT_MS=-1, CLAUSE=clauses)
    return answer


def second_delivery(house: House) -> Answer:
    chan_id = house.wire.make("a", KIND=-2)
    house.wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x", b"y"])
    assert house.wire.ask("CHAN_RECV", CHAN_ID=chan_id, FLAGS=ACK)["RESULT"] == 0
    answer: Answer = house.wire.ask("CHAN_RECV", CHAN_ID=chan_id, FLAGS=ACK)
    return answer


def long_element(house: House) -> Answer:
    chan_id = house.wire.make("a", KIND=-2)
    answer: Answer = house.wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[bytes(4 << 20)])
    return answer


def third_message(house: House) -> Answer:
    chan_id = house.wire.make("a", KIND=-2)
    assert house.wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x", b"y"])["COUNT"] == 2
    answer: Answer = house.wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"z"])
    return answer


def two_files(house: House) -> Answer:
    chan_id = house.wire.make("a", KIND=-2)
    with open(os.devnull) as file:
        number = file.fileno()
        return with_files(house.wire, "CHAN_SEND", [number, number], CHAN_ID=chan_id, ELEMENT=b"x")


def second_region(house: House) -> Answer:
    assert add_region(house.wire)["RESULT"] == 0
    return add_region(house.wire)


def second_handle(house: House) -> Answer:
    house.wire.make("a")
    other = house.connect(house.running)
    other.make("b")
    answer: Answer = house.wire.ask("CHAN_OPEN", NAME="b")
    return answer


def second_opening(house: House) -> Answer:
    for req_id in (1, 2):
        house.wire.write("CHAN_OPEN", REQ_ID=req_id, NAME="later", TIMEOUT_MS=-1)
    answer: Answer = house.wire.read()
    return answer


def second_subscription(house: House) -> Answer:
    chan_id = house.wire.make("a")
    for req_id in (1, 2):
        house.wire.write("SUBSCRIBE", REQ_ID=req_id, CHAN_ID=chan_id, INTERVAL_MS=60_000)
    while "RESULT" not in (answer := house.wire.read()):
        pass  # the first counters of the first
    return dict(answer)


def second_tap(house: House) -> Answer:
    source = house.wire.make("a")
    assert house.wire.ask("CHAN_MAKE", TAP_OF=source)["RESULT"] == 0
    answer: Answer = house.wire.ask("CHAN_MAKE", TAP_OF=source)
    return answer


class Case(NamedTuple):
    limit: int
    recipe: Callable[[House], Answer]


CASES: dict[str, Case] = {
    "connections_per_uid": Case(2, another_connection),
    "connections": Case(2, another_connection),
    "channels_per_uid": Case(1, second_channel),
    "channels": Case(1, second_channel),
    "parked_per_uid": Case(2, second_receive),
    "parked_per_channel": Case(2, second_receive),
    "taps_per_channel": Case(1, second_tap),
    "parked_per_connection": Case(2, second_receive),
    "requests_per_connection": Case(2, second_receive),
    "tokens": Case(2, second_receive),
    "clauses": Case(2, third_clause),
    "held_per_uid": Case(1, second_delivery),
    "held_per_connection": Case(1, second_delivery),
    "bytes_per_uid": Case(1 << 20, long_element),
    "bytes": Case(1 << 20, long_element),
    "messages_per_uid": Case(2, third_message),
    "messages": Case(2, third_message),
    "files_per_uid": Case(1, two_files),
    "files": Case(1, two_files),
    "region_bytes_per_uid": Case(6000, second_region),
    "regions_per_uid": Case(1, second_region),
    "regions_per_connection": Case(1, second_region),
    "regions": Case(1, second_region),
    "handles_per_connection": Case(1, second_handle),
    "openings_per_connection": Case(1, second_opening),
    "openings_per_uid": Case(1, second_opening),
    "subscriptions_per_connection": Case(1, second_subscription),
    "subscriptions_per_uid": Case(1, second_subscription),
}
BY_ANOTHER_USER = {"accounts"}
PACES = {"frames_per_second_per_uid", "frames_per_second_per_connection"}
ROLLS = {"metrics_channels", "metrics_users"}  # what is over them is summed up, nothing is refused


def test_every_limit_has_its_case() -> None:
    assert {field.name for field in fields(Limits)} == set(CASES) | BY_ANOTHER_USER | PACES | ROLLS


@pytest.mark.parametrize("name", CASES)
def test_a_refusal_names_quota_limit_use_and_setting_everywhere(
    name: str, start_daemon: Any, connect: Any
) -> None:
    limit, recipe = CASES[name]
    running = start_daemon("--limit", f"{name}={limit}")
    answer = recipe(House(running, connect, connect(running)))
    quota, setting = quotas.words(name)
    assert answer["RESULT"] in (EDQUOT, ENOMEM)
    assert answer["QUOTA_NAME"].decode() == quota
    assert answer["QUOTA_SETTING"].decode() == setting
    assert answer["QUOTA_LIMIT"] == limit
    assert 0 < answer["QUOTA_USAGE"] <= limit + 1 or name.startswith("bytes")
    error = failure_of(as_client_reads_it(answer))
    assert (error.quota, error.limit, error.setting) == (quota, limit, setting)
    said = f"quota {quota}, limit {limit}, usage {answer['QUOTA_USAGE']}, setting {setting}"
    assert said in line_of(error)
    assert said in str(error)
    if not name.startswith("connections"):
        connect(running).ask("GET_INFO")  # a turn later: the line was written in the one before
    (line,) = [line for line in running.log.splitlines() if setting in line]
    assert "refused" in line
    assert f"quota={quota if ' ' not in quota else chr(34) + quota + chr(34)}" in line
    assert f"limit={limit} usage={answer['QUOTA_USAGE']} setting={setting}" in line
    if name != "connections":  # at the door nobody has asked yet who it is
        assert re.search(rf"uid={os.getuid()} pid={os.getpid()} ", line)


def as_client_reads_it(answer: Answer) -> Reply:
    """The same reply as the clients' reader has it."""
    known = {
        tlv.ATTRIBUTES[name].number: value.decode() if isinstance(value, bytes) else value
        for name, value in answer.items()
        if name.startswith("QUOTA_")
    }
    return Reply(0, answer.get("REQ_ID", 0), answer["RESULT"], (), known)


def test_a_user_without_an_account_hears_at_the_door_which_table_is_full(
    start_daemon: Any, connect: Any, only_root: None, socket_dir: Path
) -> None:
    running = start_daemon("--limit", "accounts=1", "--socket-mode", "666")
    connect(running)
    os.chmod(socket_dir, 0o755)
    program = (
        "import os, sys; from kcoro_ipc import blocking, errors; blocking.open_client\n"
        "from kcoro_ipc.cli.exits import line_of\n"
        "os.setuid(12345)\n"
        "try: blocking.open_client(sys.argv[1])\n"
        "except errors.QuotaExceeded as error: print(line_of(error))\n"
    )
    words = [sys.executable, "-c", program, running.path]
    done = subprocess.run(words, capture_output=True, text=True)
    assert "(quota uids, limit 1, usage 1, setting limits.accounts)" in done.stdout, done.stderr
    assert running.log.count("setting=limits.accounts") == 1


# --- a pace is no refusal ---


@pytest.mark.parametrize("name", sorted(PACES))
def test_a_pace_delays_and_is_told_in_the_log_and_in_the_usage_once(
    name: str, start_daemon: Any, connect: Any
) -> None:
    running = start_daemon("--limit", f"{name}=20")
    wire = connect(running)
    pings = [tlv.build_frame("PING", [("REQ_ID", n)], 1) for n in range(1, 31)]
    wire.send(b"".join(pings))  # at once: one by one might be slow enough
    assert [wire.read()["REQ_ID"] for _ in range(30)] == list(range(1, 31))
    info = wire.ask("GET_INFO")
    usage = {item["NAME"]: item["VALUE"] for item in info["ITEM"]}
    assert usage[b"slowed"] >= 1
    (line,) = [line for line in running.log.splitlines() if "slowed" in line]
    quota, setting = quotas.words(name)
    assert f'uid={os.getuid()} pid={os.getpid()} quota="{quota}" limit=20' in line
    assert f"setting={setting}" in line
