from dataclasses import replace

import numpy as np
import pytest
import torch

from vitret.core.errors import DataError
from vitret.core.protocol import Protocol, WhiteningSpec
from vitret.describe import cache, request
from vitret.describe.cache import cached_extract
from vitret.describe.request import Request, extraction_key

CPU = torch.device("cpu")


def made(network, photographs, home, **changes):
    usual = {"images_digest": "bytes", "device": CPU, "precision": "fp32", "protocol": Protocol(size=64)}
    return cached_extract(Request(model=network, images=photographs, **{**usual, **changes}), home=home)


def test_the_second_time_nothing_is_computed(network, photographs, own_home):
    first = made(network, photographs, own_home)
    for i in range(len(photographs)):
        photographs.file(i).unlink()
    second = made(network, photographs, own_home)
    assert second.rows.tobytes() == first.rows.tobytes()
    assert second.model_digest == first.model_digest
    assert len(cache.ls(own_home)) == 1


def test_everything_that_can_change_a_byte_makes_another_entry(network, photographs, own_home):
    made(network, photographs, own_home)
    made(network, photographs, own_home, protocol=Protocol(size=48))
    made(network, photographs, own_home, protocol=Protocol(size=64, scales=(0.5, 1.0)))
    made(network, photographs, own_home, images_digest="others")
    made(network, photographs.take(np.arange(5)), own_home)
    with torch.no_grad():
        next(network.parameters()).flatten()[0] += 1
    made(network, photographs, own_home)
    assert len(cache.ls(own_home)) == 6


def test_what_comes_after_extraction_makes_none(network, photographs, own_home):
    made(network, photographs, own_home)
    later = Protocol(size=64, whitening=WhiteningSpec(kind="pca", data="town"))
    assert made(network, photographs, own_home, protocol=later).protocol == later.fingerprint
    assert len(cache.ls(own_home)) == 1


def test_failed_images_are_remembered(network, photographs, own_home):
    photographs.file(4).write_bytes(b"nothing")
    assert made(network, photographs, own_home).failed.tolist() == [4]
    assert made(network, photographs, own_home).failed.tolist() == [4]


def test_why_names_the_switch(network, photographs, own_home):
    made(network, photographs, own_home)
    entry = cache.ls(own_home)[0]
    made(network, photographs, own_home, protocol=Protocol(size=48))
    made(network, photographs, own_home, protocol=Protocol(size=32, interpolation="bilinear"))
    one, two, apart = cache.why(own_home, entry.name[:10])
    assert apart == {"protocol.size": (64, 48)}
    assert one.name == entry.name != two.name
    assert set(cache.why(own_home, one.name, two.name)[2]) == {"protocol.size"}


def test_damage_is_found_and_pruned(network, photographs, own_home):
    made(network, photographs, own_home)
    entry = cache.ls(own_home)[0]
    assert [problem for _, problem in cache.verify(own_home)] == [None]
    path = entry.path / "rows.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert "changed" in str(next(cache.verify(own_home))[1])
    path.write_bytes(bytes(content[:-8]))
    with pytest.raises(DataError, match="vitret cache prune"):
        made(network, photographs, own_home)
    assert [e.name for e in cache.prune(own_home, names=(entry.name[:8],), dry=True)] == [entry.name]
    assert entry.path.exists()
    cache.prune(own_home, names=(entry.name[:8],))
    assert cache.ls(own_home) == []


def test_prune_by_age_and_unfinished(network, photographs, own_home):
    made(network, photographs, own_home)
    (cache.folder(own_home) / "half").mkdir()
    assert cache.prune(own_home, older_than_days=1) == []
    assert [e.name for e in cache.prune(own_home, unfinished=True)] == ["half"]
    assert len(cache.prune(own_home, older_than_days=0)) == 1
    with pytest.raises(DataError, match="no descriptors"):
        cache.find(own_home, "ab")


def test_the_version_of_boxes_is_in_the_key_of_cut_images_only(network, photographs):
    whole = Protocol(size=64, crop="none")
    marked = replace(photographs, marks=True)

    def key(images, protocol=whole):
        return extraction_key(Request(model=network, images=images, protocol=protocol, device=CPU))

    assert [key(photographs)["boxes"], key(marked, Protocol(size=64))["boxes"]] == [request.BOX_VERSION] * 2
    assert "boxes" not in key(marked)
    assert "boxes" not in key(replace(photographs, boxes=None), Protocol(size=64))
    assert key(marked) != key(photographs)
