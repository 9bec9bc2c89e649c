"""P1 for D-Bus: dbus-daemon, jeepney's blocking connection, one method call and its return.

Two messages through the broker, as in P1; sends are not replied. jeepney is pure Python, so a
part of this figure is the client's; the libraries in C need headers that a stranger's machine
lacks.
"""

from __future__ import annotations

import functools
import importlib
import time
from array import array
from typing import Any

from bench import loads
from bench.lab import Lab
from bench.model import Sample
from bench.processes import Gate
from bench.transports import PAYLOAD

# A peer: not there where we are type-checked.
jeepney: Any = importlib.import_module("jeepney")
blocking: Any = importlib.import_module("jeepney.io.blocking")


def ping_pong(lab: Lab) -> Sample:
    return loads.round_trips(lab, "dbus ping", functools.partial(_trial, lab))


def _open(path: str) -> Any:
    return blocking.open_dbus_connection(bus=f"unix:path={path}")


def _trial(lab: Lab, rounds: int) -> array[int]:
    path, name = lab.server("dbus").path, f"bench.{lab.fresh('echo')}"
    caller = functools.partial(_caller, path, name, rounds)
    echo = functools.partial(_echo, path, name, rounds)
    times: array[int] = lab.workers([caller, echo])[0]
    return times


def _caller(path: str, name: str, rounds: int, gate: Gate) -> array[int]:
    link = _open(path)
    address = jeepney.DBusAddress("/bench", bus_name=name, interface="bench.Echo")
    gate()
    times = array("q", bytes(8 * rounds))
    for i in range(-loads.WARM_ROUNDS, rounds):
        begin = time.monotonic_ns()
        link.send_and_get_reply(jeepney.new_method_call(address, "Echo", "ay", (PAYLOAD,)))
        if i >= 0:
            times[i] = time.monotonic_ns() - begin
    return times


def _echo(path: str, name: str, rounds: int, gate: Gate) -> None:
    link = _open(path)
    link.send_and_get_reply(jeepney.DBus().RequestName(name))
    gate()
    served = 0
    while served < rounds + loads.WARM_ROUNDS:
        call = link.receive()
        if call.header.message_type is jeepney.MessageType.method_call:
            link.send(jeepney.new_method_return(call, "ay", call.body))
            served += 1
