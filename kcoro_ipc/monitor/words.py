"""A picture of who waits for whom, in sentences and as plain data. No I/O."""

from collections.abc import Mapping
from typing import Any

from kcoro_ipc.metrics import ChannelSnapshot
from kcoro_ipc.monitor.lines import clean, seconds
from kcoro_ipc.monitor.waits import (
    Party,
    Picture,
    Step,
    Wait,
    opposite,
    servers,
    waits_at,
)

VERBS = {"send": "sending on", "receive": "receiving from"}
DOES = {"send": "sent to", "receive": "received"}
MOST_NAMED = 4  # servers in one sentence


def who(picture: Picture, conn: int) -> str:
    """ "pid 812 (producer.py)"; a connection by its number where that is all there is, and also by
    its number where its process has several."""
    party = picture.parties.get(conn)
    if party is None or party.pid is None:
        return f"connection {conn}"
    program = f" ({clean(party.program)})" if party.program else ""
    several = sum(one.pid == party.pid for one in picture.parties.values()) > 1
    return f"pid {party.pid}{program}" + (f" by connection {conn}" if several else "")


def named(picture: Picture, chan_id: int) -> str:
    place = picture.places.get(chan_id)
    return repr(place.name) if place is not None and place.name else f"channel #{chan_id}"


def state(wait: Wait, snapshot: ChannelSnapshot | None) -> str:
    """Why this wait is not over."""
    if wait.status == "taken":
        return "its message was accepted and is not yet acknowledged"
    if snapshot is None:
        return "the channel is gone by now"
    if wait.side == "receive":
        return "the channel is empty" + (f" ({snapshot.held} held)" if snapshot.held else "")
    if snapshot.kind_name == "rendezvous":
        return "nobody receives"
    return f"the channel is full ({snapshot.depth} of {snapshot.capacity})"


def sentence(
    picture: Picture, party: Party, wait: Wait, snapshots: Mapping[int, ChannelSnapshot]
) -> str:
    """Who waits since when for what, why, and who could end it."""
    snapshot = snapshots.get(wait.chan_id)
    verb = "send to" if wait.side == "send" else "receive from"
    start = (
        f"{who(picture, party.conn)} has waited {seconds(wait.age_ns)} "
        f"to {verb} {named(picture, wait.chan_id)}"
    )
    limited = "; the wait has a limit and ends by itself" if wait.limited else ""
    return f"{start}: {state(wait, snapshot)}; {_helped(picture, party, wait)}{limited}"


def _helped(picture: Picture, party: Party, wait: Wait) -> str:
    able = sorted(servers(picture, party.conn, wait))
    does = DOES.get(opposite(wait), "served")
    place = picture.places.get(wait.chan_id)
    strangers = place.strangers.get(opposite(wait), 0) if place is not None else 0
    if not able and not strangers:
        return f"nobody has a handle that could {_could(wait)}" + _fellows(picture, party, wait)
    found = [_server(picture, conn) for conn in able[:MOST_NAMED]]
    if len(able) > MOST_NAMED:
        found.append(f"{len(able) - MOST_NAMED} more")
    if strangers:
        found.append(f"{strangers} of other users")
    return f"it can be {does} by " + "; or ".join(found)


def _could(wait: Wait) -> str:
    return "receive it" if wait.side == "send" else "send one"


def _fellows(picture: Picture, party: Party, wait: Wait) -> str:
    """Others that have the right, and wait for the same."""
    place = picture.places.get(wait.chan_id)
    holders = {} if place is None else place.rights
    same = picture.waiting_at(wait.chan_id, wait.side) - {party.conn}
    able = [conn for conn in same if opposite(wait) in holders.get(conn, ())]
    return f" but {len(able)} that wait for the same" if able else ""


def _server(picture: Picture, conn: int) -> str:
    party = picture.parties.get(conn)
    if party is None or not party.waits:
        return f"{who(picture, conn)}, which is not waiting"
    doing = [f"{VERBS[w.side]} {named(picture, w.chan_id)}" for w in party.waits[:2]]
    more = " or others" if len(party.waits) > 2 else ""
    return f"{who(picture, conn)}, which is parked {' or '.join(doing)}{more}"


def chain(picture: Picture, cycle: list[Step]) -> list[str]:
    """One line for each step of a deadlock."""
    return [
        f"{who(picture, step.conn)} {_waits(step.wait)} "
        f"{named(picture, step.wait.chan_id)} ({seconds(step.wait.age_ns)}), "
        f"which waits for {who(picture, step.server)}"
        for step in cycle
    ]


def _waits(wait: Wait) -> str:
    return "waits to send to" if wait.side == "send" else "waits to receive from"


def report(
    picture: Picture, chan_ids: list[int], snapshots: Mapping[int, ChannelSnapshot]
) -> list[str]:
    """A sentence for each wait at these channels, the longest first."""
    return [
        sentence(picture, party, wait, snapshots)
        for chan_id in chan_ids
        for party, wait in waits_at(picture, chan_id)
    ]


# --- as data ---


def as_data(
    picture: Picture,
    chan_ids: list[int],
    snapshots: Mapping[int, ChannelSnapshot],
    steps: Mapping[int, list[Step]],
    cycle: list[Step],
) -> dict[str, Any]:
    """The same for programs: `waits`, `stuck` (connections) and `deadlock` (the cycle)."""
    waits = [
        {
            **_party(party),
            **_wait(picture, wait),
            "reason": state(wait, snapshots.get(wait.chan_id)),
            "servers": [
                _party(picture.parties.get(conn) or Party(conn))
                for conn in sorted(servers(picture, party.conn, wait))
            ],
            "stuck": party.conn in steps,
        }
        for chan_id in chan_ids
        for party, wait in waits_at(picture, chan_id)
    ]
    return {
        "waits": waits,
        "stuck": sorted(steps),
        "deadlock": [
            {
                **_party(picture.parties[step.conn]),
                **_wait(picture, step.wait),
                "waits_for": step.server,
            }
            for step in cycle
        ],
    }


def _party(party: Party) -> dict[str, Any]:
    return {"conn": party.conn, "pid": party.pid, "program": party.program, "uid": party.uid}


def _wait(picture: Picture, wait: Wait) -> dict[str, Any]:
    place = picture.places.get(wait.chan_id)
    return {
        "channel": None if place is None else place.name,
        "chan_id": wait.chan_id,
        "side": wait.side,
        "status": wait.status,
        "age_ns": wait.age_ns,
        "gives_up": wait.limited,
    }
