"""A peer: zmq.proxy, two lanes of PULL -> PUSH in one process. Usage: python -m
bench.peers.zmq_proxy PATH

Lane n listens on PATH.n.in and PATH.n.out; PATH itself is a listener that says the lanes are
bound. Sends are not replied: they end when the message stands in a local queue, so nobody knows
what was taken.
"""

from __future__ import annotations

import importlib
import socket
import sys
import threading
from typing import Any

zmq: Any = importlib.import_module("zmq")  # a peer: not there where we are type-checked

LANES = 2


def bind(context: Any, kind: int, path: str) -> Any:
    end = context.socket(kind)
    end.bind(f"ipc://{path}")
    return end


def main(path: str) -> None:
    context = zmq.Context()
    for lane in range(LANES):
        front = bind(context, zmq.PULL, f"{path}.{lane}.in")
        back = bind(context, zmq.PUSH, f"{path}.{lane}.out")
        threading.Thread(target=zmq.proxy, args=(front, back), daemon=True).start()
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    ready.bind(path)
    ready.listen(8)
    while True:
        ready.accept()[0].close()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(0)
