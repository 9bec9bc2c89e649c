"""A camera, a filter and a sink: three processes, two channels, frames of 1080p that nobody copies.

    kcoro serve &
    python examples/camera.py 300        # so many frames; --socket PATH for another daemon

Each process works on the frames where they lie: the camera draws into shared memory (`empty`), the
filter reads the camera's memory and writes its own, the sink reads that. Only descriptions of
frames pass through the daemon. Every frame carries its number, and the sink computes what the
frame's sum must be, so a frame that was lost, torn or used again too early is seen.

Needs NumPy: pip install 'kcoro-ipc[numpy]'.
"""

import argparse
import os
import sys
import time
from multiprocessing import Process

import numpy
from numpy.typing import NDArray

from kcoro_ipc import blocking
from kcoro_ipc.errors import EndOfChannel, NoDaemon

SHAPE = (1080, 1920, 3)
FRAMES = 300
WAITING = 2  # frames in a channel; one more is being written, one read
PATIENCE = 30.0  # seconds without a frame


def camera(path: str | None, raw: str, frames: int) -> None:
    """Draws: a background that changes with each frame, its number in the first pixel."""
    with blocking.open_client(path, name="camera") as client:
        out = client.open_channel(raw, kind="buffered", capacity=WAITING)
        for number in range(frames):
            frame = client.empty(SHAPE, numpy.uint8)
            frame[...] = number % 200
            frame[0, 0] = number_to_pixel(number)
            out.send(frame, timeout=PATIENCE)
        out.close()


def darken(path: str | None, raw: str, dark: str) -> None:
    """Halves the brightness, except of the pixel with the number."""
    with blocking.open_client(path, name="filter") as client:
        frames = client.open_channel(raw, kind="buffered", capacity=WAITING)
        out = client.open_channel(dark, kind="buffered", capacity=WAITING)
        while (frame := receive(frames)) is not None:
            result = client.empty(SHAPE, numpy.uint8)
            numpy.right_shift(frame, 1, out=result)
            result[0, 0] = frame[0, 0]
            del frame  # gives the camera its memory back
            out.send(result, timeout=PATIENCE)
        frames.destroy()
        out.close()


def sink(path: str | None, dark: str, frames: int) -> int:
    """Checks every frame and says how fast they came; the number of those that were wrong."""
    wrong = 0
    with blocking.open_client(path, name="sink") as client:
        channel = client.open_channel(dark, kind="buffered", capacity=WAITING)
        begin = time.monotonic()
        seen = 0
        while (frame := receive(channel)) is not None:
            wrong += int(frame.sum()) != expected_sum(seen)
            seen += 1
            del frame
        spent = time.monotonic() - begin
        channel.destroy()
    megabytes = seen * SHAPE[0] * SHAPE[1] * SHAPE[2] / 1e6
    print(
        f"{seen} frames, {wrong} wrong, {seen / spent:.0f} frames/s, {megabytes / spent:.0f} MB/s"
    )
    return wrong + abs(frames - seen)


def receive(channel: blocking.Channel) -> NDArray[numpy.uint8] | None:
    """The next frame, in its sender's memory; None after the last."""
    try:
        frame: NDArray[numpy.uint8] = channel.receive_array(timeout=PATIENCE)
    except EndOfChannel:
        return None
    return frame


def number_to_pixel(number: int) -> tuple[int, int, int]:
    return number & 255, number >> 8 & 255, number >> 16 & 255


def expected_sum(number: int) -> int:
    pixels = SHAPE[0] * SHAPE[1] - 1
    return pixels * SHAPE[2] * (number % 200 >> 1) + sum(number_to_pixel(number))


def main() -> int:
    parser = argparse.ArgumentParser(description="frames through three processes")
    parser.add_argument("frames", type=int, nargs="?", default=FRAMES)
    parser.add_argument("--socket", help="of the daemon; else $KCORO_SOCKET or the usual places")
    chosen = parser.parse_args()
    try:
        blocking.open_client(chosen.socket).aclose()
    except NoDaemon as error:
        parser.exit(1, f"camera: {error}\n")
    raw, dark = f"camera-{os.getpid()}-raw", f"camera-{os.getpid()}-dark"
    workers = [
        Process(target=camera, args=(chosen.socket, raw, chosen.frames), daemon=True),
        Process(target=darken, args=(chosen.socket, raw, dark), daemon=True),
    ]
    for worker in workers:
        worker.start()
    failed = sink(chosen.socket, dark, chosen.frames)
    for worker in workers:
        worker.join(PATIENCE)
        failed += worker.exitcode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
