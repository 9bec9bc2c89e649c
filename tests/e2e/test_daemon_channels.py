"""Channels of a real daemon as a client sees them: names, handles, rights, lives, counters."""

import os
import subprocess
import sys
from typing import Any

import pytest

from kcoro_ipc import tlv

pytestmark = pytest.mark.e2e

READ, WRITE, EPHEMERAL, LAST_SENDER, EXCLUSIVE = (
    tlv.FLAGS["CHAN"][name]
    for name in ("READ", "WRITE", "EPHEMERAL", "CLOSE_ON_LAST_SENDER", "EXCLUSIVE")
)
ENOENT, EBADF, EACCES, EEXIST, EINVAL, EPIPE = -2, -9, -13, -17, -22, -32
ENOSYS, ETIME, EPROTO, EPROTONOSUPPORT, EDQUOT, ECANCELED = -38, -62, -71, -93, -122, -125


@pytest.fixture(params=["trio", "thread"])
def daemon(request: pytest.FixtureRequest, start_daemon: Any) -> Any:
    return start_daemon("--io", request.param)


# --- greeting ---


@pytest.mark.parametrize(("transport", "limit"), [("stream", 16842752), ("seqpacket", 131072)])
def test_hello_agrees_on_the_version_and_tells_the_frame_limit(
    daemon: Any, connect: Any, transport: str, limit: int
) -> None:
    answer = connect(daemon, transport, minor=None).hello(minor=9, CLIENT_NAME="test")
    assert answer == {"cmd": "HELLO", "ABI_MAJOR": 1, "ABI_MINOR": 1, "CAPS": 3, "MAX_FRAME": limit}


@pytest.mark.parametrize("transport", ["stream", "seqpacket"])
def test_another_major_version_is_told_ours_and_the_connection_ends(
    daemon: Any, connect: Any, transport: str
) -> None:
    wire = connect(daemon, transport, minor=None)
    wire.write("HELLO", ABI_MAJOR=2, ABI_MINOR=0)
    answer = wire.read()
    assert (answer["ABI_MAJOR"], answer["ABI_MINOR"]) == (1, 1)
    assert answer["RESULT"] == EPROTONOSUPPORT
    assert wire.at_end()


@pytest.mark.parametrize("greeted", [False, True])
def test_a_command_before_hello_and_a_second_hello_are_eproto_and_the_end(
    daemon: Any, connect: Any, greeted: bool
) -> None:
    wire, other = connect(daemon, minor=1 if greeted else None), connect(daemon)
    command = "HELLO" if greeted else "CHAN_MAKE"
    wire.write(command, ABI_MAJOR=1, ABI_MINOR=1)
    assert wire.read() == {"cmd": command, "RESULT": EPROTO}
    assert wire.at_end()
    assert other.ask("PING")["RESULT"] == 0


def test_requests_behind_hello_in_the_same_write_are_served_in_order(
    daemon: Any, connect: Any
) -> None:
    wire = connect(daemon, minor=None)
    hello = tlv.build_frame("HELLO", [("ABI_MAJOR", 1), ("ABI_MINOR", 1)], 0)
    make = tlv.build_frame("CHAN_MAKE", [("REQ_ID", 1), ("NAME", "jobs"), ("KIND", 3)], 1)
    send = [("REQ_ID", 2), ("CHAN_ID", 1001), ("ELEMENT", b"x")]
    wire.send(hello + make + tlv.build_frame("CHAN_SEND", send, 1))
    assert wire.read()["cmd"] == "HELLO"
    wire.minor = 1
    assert [wire.read()["cmd"] for _ in range(2)] == ["CHAN_MAKE", "CHAN_SEND"]


# --- names and handles ---


def test_two_clients_meet_by_name(daemon: Any, connect: Any) -> None:
    sender, receiver = connect(daemon), connect(daemon, "seqpacket")
    chan_id = sender.make("jobs")
    assert receiver.make("jobs") == chan_id
    receiver.write("CHAN_RECV", REQ_ID=9, CHAN_ID=chan_id, TIMEOUT_MS=-1)
    assert sender.ask("CHAN_SEND", CHAN_ID=chan_id, TIMEOUT_MS=-1, ELEMENT=[b"hi"])["RESULT"] == 0
    answer = receiver.read()
    assert (answer["REQ_ID"], answer["RESULT"], answer["ELEMENT"]) == (9, 0, [b"hi"])


def test_a_handle_has_the_rights_that_were_asked_for_and_no_others(
    daemon: Any, connect: Any
) -> None:
    maker, other = connect(daemon), connect(daemon)
    chan_id = maker.make("jobs", KIND=4)
    assert other.ask("CHAN_RECV", CHAN_ID=chan_id)["RESULT"] == EBADF
    other.ask("CHAN_OPEN", NAME="jobs", FLAGS=WRITE)
    assert other.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x"])["RESULT"] == 0
    assert other.ask("CHAN_RECV", CHAN_ID=chan_id)["RESULT"] == EACCES
    other.ask("CHAN_OPEN", CHAN_ID=chan_id, FLAGS=READ)
    assert other.ask("CHAN_RECV", CHAN_ID=chan_id)["ELEMENT"] == [b"x"]
    assert other.ask("CHAN_RELEASE", CHAN_ID=chan_id)["RESULT"] == 0
    assert other.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x"])["RESULT"] == EBADF
    assert other.ask("CHAN_RELEASE", CHAN_ID=chan_id)["RESULT"] == EBADF


def test_an_open_waits_for_the_make_that_brings_its_name(daemon: Any, connect: Any) -> None:
    waiting, maker = connect(daemon), connect(daemon)
    waiting.write("CHAN_OPEN", REQ_ID=7, NAME="late", TIMEOUT_MS=-1)
    assert waiting.ask("PING", req_id=8)["RESULT"] == 0  # the OPEN waits, the connection does not
    chan_id = maker.make("late", KIND=4)
    answer = waiting.read()
    assert (answer["REQ_ID"], answer["RESULT"], answer["CHAN_ID"]) == (7, 0, chan_id)
    assert waiting.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x"])["RESULT"] == 0


def test_an_open_that_waits_ends_by_its_deadline_and_by_cancel(daemon: Any, connect: Any) -> None:
    wire = connect(daemon)
    assert wire.ask("CHAN_OPEN", NAME="never")["RESULT"] == ENOENT
    assert wire.ask("CHAN_OPEN", NAME="never", TIMEOUT_MS=30)["RESULT"] == ETIME
    wire.write("CHAN_OPEN", REQ_ID=7, NAME="never", TIMEOUT_MS=-1)
    wire.write("CANCEL", REQ_ID=7)
    answer = wire.read()
    assert (answer["REQ_ID"], answer["RESULT"], answer["REASON"]) == (7, ECANCELED, b"cancelled")
    assert wire.ask("CHAN_OPEN", req_id=7, NAME="never")["RESULT"] == ENOENT  # the id is free


@pytest.mark.parametrize("name", [b"", b"a\0b", b"a/b", b"\xff\xfe", b"\x1b[2J"])
def test_a_bad_name_is_refused_and_the_connection_lives(
    daemon: Any, connect: Any, name: bytes
) -> None:
    wire = connect(daemon)
    assert wire.ask("CHAN_MAKE", NAME=name)["RESULT"] == EINVAL
    assert wire.ask("PING")["RESULT"] == 0


@pytest.mark.parametrize(("length", "code"), [(256, -36), (16_000, -36), (65_536, -90)])
def test_a_long_name_is_refused_by_itself_or_by_its_frame_and_the_connection_lives(
    daemon: Any, connect: Any, length: int, code: int
) -> None:
    wire = connect(daemon)
    assert wire.ask("CHAN_MAKE", NAME="x" * length)["RESULT"] == code
    assert wire.ask("PING")["RESULT"] == 0


def test_an_unknown_command_is_enosys_and_the_connection_lives(daemon: Any, connect: Any) -> None:
    wire = connect(daemon)
    assert wire.ask(99)["RESULT"] == ENOSYS
    assert wire.ask("PING")["RESULT"] == 0


# --- lives ---


def test_an_ephemeral_channel_goes_with_the_last_connection_that_holds_it(
    daemon: Any, connect: Any
) -> None:
    first, second, third = (connect(daemon) for _ in range(3))
    first.make("jobs", FLAGS=EPHEMERAL)
    second.make("jobs")
    first.close()
    assert third.ask("CHAN_OPEN", NAME="jobs")["RESULT"] == 0
    third.ask("CHAN_RELEASE", CHAN_ID=1001)
    second.write("CHAN_RELEASE", REQ_ID=5, CHAN_ID=1001)
    assert second.read()["RESULT"] == 0
    wait_for(lambda: third.ask("CHAN_OPEN", NAME="jobs")["RESULT"] == ENOENT, third)


def wait_for(done: Any, wire: Any) -> None:
    """Asks again until the daemon has dealt with another connection's end."""
    while not done():
        assert wire.ask("PING", req_id=6)["RESULT"] == 0
        wire.ask("CHAN_RELEASE", CHAN_ID=1001)


def test_a_channel_may_close_with_its_last_sender(daemon: Any, connect: Any) -> None:
    receiver, sender = connect(daemon), connect(daemon)
    chan_id = receiver.make("jobs", KIND=4, FLAGS=LAST_SENDER | READ)
    sender.ask("CHAN_OPEN", NAME="jobs", FLAGS=WRITE)
    sender.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"last"])
    receiver.write("CHAN_RECV", REQ_ID=1, CHAN_ID=chan_id, TIMEOUT_MS=-1)
    assert receiver.read()["ELEMENT"] == [b"last"]
    receiver.write("CHAN_RECV", REQ_ID=2, CHAN_ID=chan_id, TIMEOUT_MS=-1)
    sender.close()
    assert receiver.read()["RESULT"] == EPIPE


def test_destroy_tells_the_reason_to_who_waits_and_to_old_handles(
    daemon: Any, connect: Any
) -> None:
    destroyer, holder = connect(daemon), connect(daemon)
    chan_id = destroyer.make("jobs")
    holder.make("jobs")
    holder.write("CHAN_RECV", REQ_ID=1, CHAN_ID=chan_id, TIMEOUT_MS=-1)
    assert holder.ask("PING")["RESULT"] == 0
    assert destroyer.ask("CHAN_DESTROY", CHAN_ID=chan_id, REASON="enough")["RESULT"] == 0
    answer = holder.read()
    assert (answer["RESULT"], answer["REASON"]) == (ECANCELED, b"enough")
    again = destroyer.make("jobs")
    assert again == chan_id + 1
    for command in ("CHAN_RECV", "CHAN_CLOSE"):
        answer = holder.ask(command, CHAN_ID=chan_id)
        assert (answer["RESULT"], answer["REASON"]) == (ECANCELED, b"enough")
    holder.ask("CHAN_RELEASE", CHAN_ID=chan_id)
    assert holder.ask("CHAN_RECV", CHAN_ID=chan_id)["RESULT"] == EBADF


def test_purge_drops_what_waits_and_says_how_much(daemon: Any, connect: Any) -> None:
    wire = connect(daemon)
    chan_id = wire.make("jobs", KIND=4)
    for _ in range(3):
        wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x"])
    answer = wire.ask("CHAN_PURGE", CHAN_ID=chan_id)
    assert (answer["RESULT"], answer["COUNT"]) == (0, 3)
    assert wire.stats(chan_id)["depth"] == 0


# --- looking ---


def test_list_and_info_tell_what_there_is(daemon: Any, connect: Any) -> None:
    wire = connect(daemon)
    for number in range(300):
        wire.make(f"c{number}", KIND=number + 2)
    found: list[Any] = []
    cursor: dict[str, Any] = {}
    while True:
        page = wire.ask("LIST", **cursor)
        found += page["ITEM"]
        if "CURSOR" not in page:
            break
        cursor = {"CURSOR": page["CURSOR"]}
    assert [(item["NAME"], item["CAPACITY"]) for item in found] == [
        (f"c{number}".encode(), number + 2) for number in range(300)
    ]
    assert wire.ask("GET_INFO")["SENDER_PID"] == daemon.process.pid


def test_stats_count_and_name_who_waits(daemon: Any, connect: Any) -> None:
    wire = connect(daemon, minor=None)
    wire.hello(CLIENT_NAME="the receiver")
    chan_id = wire.make("jobs")
    wire.write("CHAN_RECV", REQ_ID=1, CHAN_ID=chan_id, TIMEOUT_MS=-1)
    answer = connect(daemon).ask("GET_STATS", NAME="jobs", FLAGS=1)
    stats = {tlv.STATS[one["STAT_ID"] - 1]: one["VALUE"] for one in answer["STAT"]}
    assert (stats["parked_receivers"], stats["handles_read"], stats["handles_write"]) == (1, 1, 1)
    (waiter,) = answer["ITEM"]
    assert waiter["WAITER_SIDE"] == 1
    assert waiter["WAITER_STATUS"] == b"enqueued"
    assert waiter["AGE_NS"] >= 0
    assert (waiter["SENDER_UID"], waiter["SENDER_PID"]) == (os.getuid(), os.getpid())
    assert waiter["CLIENT_NAME"] == b"the receiver"
    assert waiter["VALUE"] > 0


def test_a_subscription_tells_counters_until_it_is_cancelled(daemon: Any, connect: Any) -> None:
    wire = connect(daemon)
    chan_id = wire.make("jobs", KIND=4)
    wire.write("SUBSCRIBE", REQ_ID=7, CHAN_ID=chan_id, INTERVAL_MS=100)
    first = wire.read()
    assert (first["cmd"], first["REQ_ID"], first["CHAN_ID"]) == ("SUBSCRIBE", 7, chan_id)
    assert "RESULT" not in first
    sender = connect(daemon)
    sender.make("jobs", KIND=4)
    sender.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x"])
    told: list[int] = []
    while not told:  # what nothing changed before is an event, too
        changed = wire.read().get("STAT", [])
        told = [one["VALUE"] for one in changed if one["STAT_ID"] == 1]
    assert told == [1]
    wire.write("CANCEL", REQ_ID=7)
    answer = wire.read()
    while "RESULT" not in answer:
        answer = wire.read()
    assert (answer["REQ_ID"], answer["RESULT"]) == (7, ECANCELED)


def test_a_subscriber_that_does_not_read_skips_events_and_slows_nobody(
    daemon: Any, connect: Any
) -> None:
    deaf, wire = connect(daemon), connect(daemon)
    chan_id = deaf.make("jobs", KIND=4)
    wire.make("jobs", KIND=4)
    for req_id in range(1, 65):
        deaf.write("SUBSCRIBE", REQ_ID=req_id, CHAN_ID=chan_id, INTERVAL_MS=100)
    answer = deaf_over_limit = None
    deaf.write("SUBSCRIBE", REQ_ID=65, CHAN_ID=chan_id, INTERVAL_MS=100)
    for _ in range(200):
        answer = wire.ask("CHAN_SEND", CHAN_ID=chan_id, ELEMENT=[b"x"])
        assert answer["RESULT"] == 0
        assert wire.ask("CHAN_RECV", CHAN_ID=chan_id)["ELEMENT"] == [b"x"]
    while deaf_over_limit is None:
        answer = deaf.read()
        deaf_over_limit = answer if "RESULT" in answer else None
    assert (deaf_over_limit["REQ_ID"], deaf_over_limit["RESULT"]) == (65, EDQUOT)
    assert deaf_over_limit["QUOTA_NAME"] == b"subscriptions per connection"


# --- rights of other users ---

AS_ANOTHER = """
import os, socket, sys
from kcoro_ipc import tlv
path, gid, uid, command, name, flags = sys.argv[1:]
os.setgroups([int(gid)]); os.setgid(12345); os.setuid(int(uid))
s = socket.socket(socket.AF_UNIX); s.connect(path)
s.sendall(tlv.build_frame("HELLO", [("ABI_MAJOR", 1), ("ABI_MINOR", 1)], 0)); s.recv(4096)
pairs = [("REQ_ID", 1), ("NAME", name)] + ([("FLAGS", int(flags))] if flags != "0" else [])
s.sendall(tlv.build_frame(command, pairs, 1))
print(tlv.parse_frame(s.recv(65536), 1).get("RESULT"))
"""


@pytest.mark.parametrize(
    ("mode", "gid", "command", "flags", "result"),
    [
        (0o600, 12345, "CHAN_OPEN", READ, ENOENT),
        (0o604, 12345, "CHAN_OPEN", READ, 0),
        (0o604, 12345, "CHAN_OPEN", WRITE, EACCES),
        (0o604, 12345, "CHAN_CLOSE", 0, EACCES),
        (0o601, 12345, "CHAN_CLOSE", 0, 0),
        (0o660, 0, "CHAN_OPEN", WRITE, 0),
        (0o660, 12345, "CHAN_OPEN", WRITE, ENOENT),
        (0o600, 12345, "CHAN_MAKE", 0, EACCES),
        (0o600, 12345, "CHAN_DESTROY", 0, ENOENT),
    ],
)
def test_another_user_has_what_the_mode_gives(
    start_daemon: Any,
    connect: Any,
    socket_dir: Any,
    only_root: None,
    mode: int,
    gid: int,
    command: str,
    flags: int,
    result: int,
) -> None:
    daemon = start_daemon("--socket-mode", "666")
    os.chmod(socket_dir, 0o755)
    connect(daemon).make("jobs", MODE=mode)
    words = [daemon.path, str(gid), "12345", command, "jobs", str(flags)]
    ended = subprocess.run(
        [sys.executable, "-c", AS_ANOTHER, *words], capture_output=True, text=True, check=True
    )
    assert int(ended.stdout) == result
    refused = [line for line in daemon.log.splitlines() if " refused " in line]
    assert len(refused) == (1 if result else 0)
