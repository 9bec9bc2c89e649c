"""What goes out by the socket of a blocking client.

How much of a frame the kernel has is stored by C code in the step that sent it, in a list of the
caller's: whoever is interrupted knows it, and can finish the frame. Which frame is next, and who
may send it, is the connection's matter.
"""

import socket

from kcoro_ipc.files import Loose


class Outflow:
    """`untold`: frames without an answer that another request kept back."""

    def __init__(self, sock: socket.socket) -> None:
        self.send_some = sock.send
        self.untold: list[bytes] = []

    def send(self, frame: bytes, sent: list[int]) -> None:
        """`sent` says how much of the frame the kernel has, whatever interrupts this."""
        while (done := sum(sent)) < len(frame):
            rest = memoryview(frame)[done:] if done else frame
            sent.extend(map(self.send_some, (rest,)))

    def behind_untold(self, frame: bytes, files: Loose | None) -> tuple[bytes, int]:
        """`frame` behind what could not be sent before, and how many that are. Files go with the
        first byte, so with them nothing else does."""
        untold = [] if files else self.untold[:]
        return b"".join([*untold, frame]), len(untold)
