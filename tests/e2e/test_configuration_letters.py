"""Dead letters of channels that the configuration declares: never a channel that a user made."""

import re

import pytest

from kcoro_ipc import blocking
from kcoro_ipc.errors import NoSuchChannel
from tests.e2e.configured import ALICE, Configure, as_another

pytestmark = pytest.mark.e2e

PAY = """
[[channel]]
name = "pay"
capacity = 4
mode = "0600"
ttl = 0.001
dead_letter = "pay.failed"

[[channel]]
name = "pay.failed"
kind = "unlimited"
"""


def not_declared(said: str, name: str) -> str:
    """Why, as the log says it."""
    found = re.search(rf'channel not declared (?:chan_id=\d+ )?name={name} why="(.*)"', said)
    assert found, said
    return found[1]


def lose_one(client: blocking.Client) -> None:
    """A message of pay expires, and the engine has seen that."""
    pay = client.open_channel("pay", existing=True)
    pay.send(b"secret")
    while pay.statistics().expired == 0:
        pass


@pytest.mark.parametrize("kind", ["unlimited", "rendezvous"])
def test_a_channel_whose_dead_letter_a_user_made_is_not_declared(
    configure: Configure, kind: str
) -> None:
    daemon = configure("")
    as_another(daemon, f'client.make_channel("pay.failed", kind="{kind}") and 1')
    said = daemon.reload(PAY)
    why = f"uid {ALICE} made a channel of this name; destroy it, then reload"
    assert not_declared(said, "pay.failed") == why
    assert not_declared(said, "pay") == (
        f"its dead letters would go to pay.failed, which uid {ALICE} made; destroy that channel, "
        "then reload"
    )
    with blocking.open_client(daemon.path) as client:
        with pytest.raises(NoSuchChannel):
            client.open_channel("pay", existing=True)
        client.destroy_channel("pay.failed")
        said = daemon.reload(PAY)
        assert said.count("channel declared") == 2
        lose_one(client)
        assert client.open_channel("pay.failed", existing=True).receive() == b"secret"


def test_dead_letters_are_declared_first_whatever_the_order_of_the_file(
    configure: Configure,
) -> None:
    daemon = configure(PAY)
    names = re.findall(r"channel declared chan_id=\d+ name=(\S+)", daemon.log)
    assert names == ["pay.failed", "pay"]


def test_a_dead_letter_that_was_declared_otherwise_is_named(configure: Configure) -> None:
    daemon = configure('[[channel]]\nname = "pay.failed"\n')
    said = daemon.reload(PAY)
    assert "name=pay.failed key=kind now=rendezvous file=unlimited" in said
    assert not_declared(said, "pay").startswith("pay.failed cannot take its dead letters: ")


def test_a_dead_letter_that_was_destroyed_and_is_declared_again_gets_what_is_lost_from_then_on(
    configure: Configure,
) -> None:
    daemon = configure(PAY)
    with blocking.open_client(daemon.path) as client:
        client.destroy_channel("pay.failed")
        said = daemon.reload(PAY)
        assert re.search(r"channel changed chan_id=\d+ name=pay dead_letter=pay.failed", said)
        lose_one(client)
        assert client.open_channel("pay.failed", existing=True).receive() == b"secret"
        assert "channel changed" not in daemon.reload(PAY)


def test_a_dead_letter_that_was_destroyed_and_taken_by_a_user_is_said_and_gets_nothing(
    configure: Configure,
) -> None:
    daemon = configure(PAY)
    with blocking.open_client(daemon.path) as client:
        client.destroy_channel("pay.failed")
        as_another(daemon, 'client.make_channel("pay.failed", kind="unlimited") and 1')
        said = daemon.reload(PAY)
        assert re.search(
            rf'channel kept chan_id=\d+ name=pay key=dead_letter why="its dead letters would go to '
            rf"pay.failed, which uid {ALICE} made; ",
            said,
        )
        lose_one(client)
        assert client.open_channel("pay.failed", existing=True).statistics().total_sends == 0
