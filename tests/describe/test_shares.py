"""An extraction divided among processes that share only files ends with the bytes of one."""

import numpy as np
import pytest
import torch

from vitret.core.errors import DataError, UserError
from vitret.core.protocol import Protocol
from vitret.core.shares import Share, parse_share
from vitret.describe.blocks import failed_file
from vitret.describe.cache import cached_extract, cached_share, entry_of, joined_shares
from vitret.describe.devices import own_device
from vitret.describe.extract import extract, extract_share, join_shares
from vitret.describe.request import Request
from vitret.describe.shares import launched_share


@pytest.fixture
def asked(network, photographs):
    """Six sizes, one image that is none; blocks of four rows make three blocks, the last of one row."""
    photographs.file(3).write_bytes(b"no image")
    return Request(
        model=network,
        images=photographs,
        protocol=Protocol(size=64),
        device=torch.device("cpu"),
        precision="fp32",
    )


@pytest.mark.parametrize("shares", [1, 2, 3, 7])
def test_shares_end_with_the_bytes_of_one_process(asked, tmp_path, shares):
    one, out = tmp_path / "one.npy", tmp_path / "rows.npy"
    whole = extract(asked, out=one, block=4)
    for i in reversed(range(shares)):
        assert join_shares(asked, shares, out=out, block=4) is None
        extract_share(asked, Share(i, shares), out=out, block=4)
    joined = join_shares(asked, shares, out=out, block=4)
    assert joined is not None
    assert out.read_bytes() == one.read_bytes()
    assert failed_file(out).read_bytes() == failed_file(one).read_bytes()
    assert joined[0].failed.tolist() == whole.failed.tolist() == [3]
    assert joined[1] > 0


def test_a_share_goes_on_after_its_last_piece_and_counts_those_of_others(asked, tmp_path):
    out = tmp_path / "rows.npy"
    seen = []
    extract_share(asked, Share(0, 2), out=out, block=4)
    pieces = sorted((tmp_path / "rows.npy.pieces").rglob("*.npz"))
    before = {path: path.stat().st_mtime_ns for path in pieces[1:]}
    pieces[0].unlink()
    extract_share(asked, Share(0, 2), out=out, block=4)
    assert {path: path.stat().st_mtime_ns for path in pieces[1:]} == before
    assert pieces[0].is_file()
    extract_share(asked, Share(1, 2), out=out, block=4, progress=lambda done, total, words: seen.append(done))
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] == len(asked.images)


def test_a_damaged_piece_is_named(asked, tmp_path):
    out = tmp_path / "rows.npy"
    extract_share(asked, Share(0, 1), out=out, block=4)
    piece = next((tmp_path / "rows.npy.pieces").rglob("*.npz"))
    piece.write_bytes(piece.read_bytes()[:-40])
    with pytest.raises(DataError, match=piece.name):
        join_shares(asked, 1, out=out, block=4)


def test_the_cache_has_one_entry_whoever_made_it(asked, tmp_path):
    homes = [tmp_path / "one", tmp_path / "two"]
    whole = cached_extract(asked, home=homes[0])
    for i in range(2):
        assert joined_shares(asked, 2, home=homes[1]) is None
        cached_share(asked, Share(i, 2), home=homes[1])
    found = joined_shares(asked, 2, home=homes[1], wait=True)
    assert found is not None
    np.testing.assert_array_equal(found.rows, whole.rows)
    one, two = (entry_of(home, asked) for home in homes)
    assert one.card is not None
    assert two.card is not None
    assert one.card["sha256"] == two.card["sha256"]
    assert one.card["failed"] == two.card["failed"]
    assert {path.name for path in one.path.iterdir()} == {path.name for path in two.path.iterdir()}
    cached_share(asked, Share(0, 2), home=homes[1])  # nothing is left to do
    assert not list(two.path.rglob("*.npz"))


def test_what_a_share_may_be_called():
    assert parse_share("1/1") == Share(0, 1)
    for wrong in ("0/2", "3/2", "1", "a/b", "1/0"):
        with pytest.raises(UserError, match="--shard 1/4"):
            parse_share(wrong)


def test_processes_of_torchrun_know_their_share(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert launched_share() is None
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert launched_share() == Share(2, 4)
    assert own_device(torch.device("cpu")) == torch.device("cpu")
