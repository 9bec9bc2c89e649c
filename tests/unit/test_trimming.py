"""When memory of a burst goes back: not while it lasts, not at once, not for few connections."""

import pytest

from kcoro_ipc import trimming
from kcoro_ipc.trimming import MANY, PAUSE_NS, Trimmer


class Scene:
    """A trimmer whose clock and connections are set by hand, and an engine that keeps notes."""

    def __init__(self) -> None:
        self.now_ns = 5
        self.connections = 0
        self.over = 0  # MiB that the engine could give
        self.asked: list[int] = []  # how much it was asked to give
        self.trimmed = 0
        self.trimmer = Trimmer(self, lambda: self.now_ns, lambda: self.connections)  # type: ignore[arg-type]

    def trim(self, keep: int, most: int) -> int:
        self.asked.append(most)
        self.over -= min(self.over, most)
        return self.over

    def trim_heap(self) -> None:
        self.trimmed += 1

    def look(self, connections: int = 0) -> int | None:
        self.connections = connections
        self.trimmer.look()
        return self.trimmer.next_deadline_ns()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene()
    monkeypatch.setattr(trimming, "trim_heap", made.trim_heap)
    return made


def test_an_idle_daemon_has_nothing_to_wake_for(scene: Scene) -> None:
    assert scene.look() is None
    assert scene.look(MANY) is None
    assert scene.look(1) is None
    assert scene.trimmed == 0


def test_when_many_connections_have_left_the_heap_is_trimmed_once_a_pause_later(
    scene: Scene,
) -> None:
    scene.look(MANY + 7)
    due_ns = scene.look(7)
    assert due_ns == scene.now_ns + PAUSE_NS
    scene.now_ns = due_ns - 1
    assert scene.look(7) == due_ns
    assert scene.trimmed == 0
    scene.now_ns = due_ns
    assert scene.look(7) is None
    assert scene.trimmed == 1
    assert scene.look(0) is None


def test_connections_that_came_back_meanwhile_keep_their_memory(scene: Scene) -> None:
    scene.look(MANY)
    due_ns = scene.look(0)
    assert due_ns is not None
    scene.now_ns = due_ns
    assert scene.look(MANY) is None
    assert scene.trimmed == 0
    assert scene.look(0) is not None


def test_payload_is_given_back_a_piece_each_pause(scene: Scene) -> None:
    scene.over = trimming.MOST_MIB + 1
    assert scene.look() == scene.now_ns + PAUSE_NS
    scene.now_ns += PAUSE_NS
    assert scene.look() == scene.now_ns + PAUSE_NS
    scene.now_ns += PAUSE_NS
    assert scene.look() is None
    assert scene.asked == [0, trimming.MOST_MIB, trimming.MOST_MIB]
