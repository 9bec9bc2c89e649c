"""The subject whose payloads go by descriptor does what its name says; all else is in the cases."""

import pytest

from tests.conformance.conftest import Daemons
from tests.conformance.descriptor_subject import DescriptorSubject


@pytest.mark.parametrize("transport", ["stream", "seqpacket"])
def test_its_payloads_go_by_descriptor_and_no_byte_of_them_through_the_daemon(
    daemons: Daemons, transport: str
) -> None:
    subject = DescriptorSubject(daemons["daemon"], transport)
    sender, receiver = subject.users(2)
    chan = subject.channel("buffered", 4)
    for _ in range(3):
        sender.try_send(chan, b"x" * 100_000).ok()
    now = sender.statistics(chan)
    assert (now["descriptors"], now["bytes"], now["zref_sent"]) == (3, 0, 3)
    assert receiver.try_receive(chan).data == b"x" * 100_000
    now = sender.statistics(chan)
    assert (now["zref_received"], now["total_bytes_recv"]) == (1, 100_000)
    subject.check()
    subject.finish()
