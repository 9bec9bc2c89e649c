"""METRICS: all for who runs the machine, its own for everybody else, page by page."""

import os
from typing import Any

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.control import measuring
from kcoro_ipc.records import Peer
from tests.unit.control.house import OWNER, READ, ROOT, STRANGER, House, refused
from tests.unit.test_exposition import parsed


def pages(house: House, peer: Peer) -> list[bytes]:
    found: list[bytes] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = house.ask(peer, "METRICS", **cursor)
        assert answer["RESULT"] == 0
        assert house.last is not None
        assert len(house.last.frame) <= peer.max_frame
        found.append(answer.get("TEXT", b""))
        if "CURSOR" not in answer:
            return found
        cursor = {"CURSOR": answer["CURSOR"]}


@pytest.fixture
def house() -> House:
    house = House()
    house.ask(house.peer(), "CHAN_MAKE", NAME="secret", FLAGS=READ, MODE=0o600)
    house.ask(house.peer(), "CHAN_MAKE", NAME="public", FLAGS=READ, MODE=0o604)
    return house


def names(text: bytes) -> set[str]:
    return {labels[0] for labels in parsed(text.decode())["kcoro_channel_info"]}


def test_root_and_the_daemons_own_user_get_everything(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 999)
    for uid in (ROOT, 999):
        text = b"".join(pages(house, house.peer(uid)))
        assert names(text) == {"secret", "public"}
        assert f'kcoro_user_connections{{uid="{OWNER}"}} 2\n'.encode() in text
        assert b"process_open_fds" in text


def test_others_get_the_channels_that_they_may_see(house: House) -> None:
    text = b"".join(pages(house, house.peer(STRANGER)))
    assert names(text) == {"public"}
    assert b"secret" not in text and b"kcoro_user" not in text and b"process" not in text


@pytest.mark.parametrize("max_frame", [4096, 1 << 17])
def test_a_page_fits_the_askers_max_frame_and_all_are_the_whole(
    house: House, max_frame: int
) -> None:
    long = '"' * 255
    house.ask(house.peer(), "CHAN_MAKE", NAME=long, FLAGS=READ)
    root = house.connect(ROOT)
    house.ask(root, "HELLO", ABI_MAJOR=1, ABI_MINOR=1, MAX_FRAME=max_frame)
    assert names(b"".join(pages(house, root))) == {"secret", "public", long}


def test_a_cursor_that_is_not_the_last_is_einval(house: House) -> None:
    root = house.peer(ROOT)
    first = house.ask(root, "METRICS")["CURSOR"]
    second = house.ask(root, "METRICS", CURSOR=first)["CURSOR"]
    assert refused(house.ask(root, "METRICS", CURSOR=first), _wire.KC_EINVAL)
    assert house.ask(root, "METRICS", CURSOR=second)["RESULT"] == 0
    assert refused(house.ask(house.peer(ROOT), "METRICS", CURSOR=second), _wire.KC_EINVAL)


def test_only_a_few_are_read_at_a_time_and_a_flood_ends_its_own(house: House) -> None:
    root, owner = house.peer(ROOT), house.peer()
    kept = [(peer, house.ask(peer, "METRICS")["CURSOR"]) for peer in (root, owner)]
    for _ in range(3 * measuring.READINGS):
        house.ask(house.peer(STRANGER), "METRICS")
        assert len(house.broker.readings) <= measuring.READINGS
    for peer, cursor in kept:
        assert house.ask(peer, "METRICS", CURSOR=cursor)["RESULT"] == 0


def test_who_leaves_or_begins_again_leaves_nothing(house: House) -> None:
    peer = house.peer()
    house.ask(peer, "METRICS")
    house.ask(peer, "METRICS")
    assert len(house.broker.books.walks) == 1
    house.leave(peer)
    assert (house.broker.books.walks, house.broker.readings) == ([], {})


def test_refusals_are_counted_for_who_was_refused(house: House) -> None:
    stranger = house.peer(STRANGER)
    house.ask(stranger, "GET_STATS", NAME="secret")
    text = b"".join(pages(house, house.peer(ROOT))).decode()
    assert parsed(text)["kcoro_user_refusals_total"][str(STRANGER),] == 1
