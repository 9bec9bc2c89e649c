"""How many regions of others a connection maps, whatever its daemon announces."""

import gc
import os
import resource
from collections.abc import Iterator

import pytest

from kcoro_ipc import _wire
from kcoro_ipc.errors import ProtocolError
from kcoro_ipc.protocol.descriptors import Descriptor
from kcoro_ipc.protocol.replies import Reply, ReplyWithFiles
from kcoro_ipc.regions import mappings
from kcoro_ipc.regions.memory import PAGE, create_memory


@pytest.fixture
def few_files() -> Iterator[int]:
    """The bound that follows from RLIMIT_NOFILE, which has room for what is open already."""
    gc.collect()  # what earlier tests left open
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = len(os.listdir("/proc/self/fd"))
    if not 2 * (open_files + 20) <= min(before[1] % (1 << 64), 2 * mappings.MOST):
        pytest.skip(f"{open_files} files are open already: no room for a limit above them")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * (open_files + 20), before[1]))
    yield open_files + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def announce(to: mappings.Mappings, region_id: int) -> ReplyWithFiles:
    memory, own = create_memory(PAGE)
    memory.close()
    attributes = {_wire.ATTR_REGION_ID: region_id, _wire.ATTR_SIZE: PAGE}
    notice = ReplyWithFiles(Reply(_wire.CMD_REGION_MAP, 0, None, (), attributes), 1)
    notice.take_files(own)
    to.add(notice)
    return notice


def test_regions_are_bounded_by_the_files_that_may_be_open(few_files: int) -> None:
    ours = mappings.Mappings(lambda frame: None)
    assert mappings.most_mappings() == few_files
    before = len(os.listdir("/proc/self/fd"))
    for region_id in range(1, few_files + 1):
        announce(ours, region_id)
    with pytest.raises(ProtocolError, match=f"more than {few_files} regions"):
        announce(ours, few_files + 1)
    assert len(os.listdir("/proc/self/fd")) == before + few_files  # one each, and none of the last
    ours.remove(1)
    announce(ours, few_files + 1)  # in the place of the one that is gone
    ours.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_region_that_is_gone_counts_while_a_lease_reads_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mappings, "MOST", 2)
    ours = mappings.Mappings(lambda frame: None)
    for region_id in (1, 2):
        announce(ours, region_id)
    lease = ours.lease(Descriptor(1, 0, 1, 7))
    ours.remove(1)
    with pytest.raises(ProtocolError, match="more than 2 regions"):
        announce(ours, 3)
    lease.release()
    announce(ours, 3)
    assert ours.maps_made == 3
