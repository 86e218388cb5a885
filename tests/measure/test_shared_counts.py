"""One count by several shares: the ranks of one machine, to the last, whoever ends last."""

from pathlib import Path

import numpy as np
import pytest
from unit_rows import unit_rows

from vitret.core.errors import DataError
from vitret.core.records import Ragged, Truth
from vitret.core.shares import Share
from vitret.measure import counting
from vitret.measure.counting import count_ranks
from vitret.measure.scoring import Rows
from vitret.measure.shared_counts import count_share


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks of few rows, so that each share has some."""
    monkeypatch.setattr(counting, "_SQUARE", 32)
    monkeypatch.setattr(counting, "_NARROWEST", 16)
    monkeypatch.setattr(counting, "WIDE", 16)


def labelled(images: int) -> Truth:
    """Each image asks for the next three; it is junk for itself."""
    own = np.arange(images)[:, None]
    return Truth(judgements={"positive": Ragged.of((own + np.arange(1, 4)) % images), "junk": Ragged.of(own)})


def cases() -> dict[str, tuple[np.ndarray, Rows, Truth]]:
    rng = np.random.default_rng(0)
    rows, more = unit_rows(rng, 150, 8), unit_rows(rng, 333, 8).astype(np.float16)
    rows[40:60] = rows[20:40]  # ties
    kinds = {"easy": 0, "hard": 30, "junk": 60}
    few = Truth(judgements={kind: Ragged.of(np.arange(q, q + 20).reshape(5, 4)) for kind, q in kinds.items()})
    return {
        "few queries": (unit_rows(rng, 5, 8), Rows.of(rows, more), few),
        "queries are the database": (rows, Rows.of(rows, more), labelled(150)),
    }


@pytest.mark.parametrize("case", list(cases()))
@pytest.mark.parametrize("of", [1, 2, 3, 40])
def test_shares_add_up_to_the_ranks_of_one(case: str, of: int, tmp_path: Path):
    queries, rows, truth = cases()[case]
    whole = count_ranks(queries, rows, truth)
    order = np.random.default_rng(of).permutation(of).tolist()
    for place, i in enumerate(order):
        found = count_share(queries, rows, truth, share=Share(i, of), folder=tmp_path)
        assert found.missing == tuple(sorted(order[place + 1 :]))
        assert (found.ranks is None) == bool(found.missing)
    assert found.ranks is not None
    for level, ranks in whole.items():
        assert np.array_equal(found.ranks[level].values, ranks.values)
        assert np.array_equal(found.ranks[level].offsets, ranks.offsets)
    # What is counted is not counted again: without the rows that were counted the numbers come too.
    files = sorted(tmp_path.rglob("*.npz"))
    assert len(files) == of
    stamps = [file.stat().st_mtime_ns for file in files]
    assert count_share(queries, rows, truth, share=Share(0, of), folder=tmp_path).ranks is not None
    assert [file.stat().st_mtime_ns for file in files] == stamps


def test_each_share_reads_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    queries, rows, truth = cases()["few queries"]
    seen: list[int] = []
    plain = counting._Stream._block

    def watched(self, offset, part, *rest, **more):
        seen.append(len(part))
        plain(self, offset, part, *rest, **more)

    monkeypatch.setattr(counting._Stream, "_block", watched)
    for i in range(4):
        count_share(queries, rows, truth, share=Share(i, 4), folder=tmp_path)
        assert sum(seen) == pytest.approx(len(rows) / 4, abs=16 * 2)
        seen.clear()


def test_counts_of_other_descriptors_are_not_mixed_in_and_damage_is_named(tmp_path: Path):
    queries, rows, truth = cases()["few queries"]
    other = Rows.of(rows.parts[0], -rows.parts[1])
    assert count_share(queries, rows, truth, share=Share(0, 2), folder=tmp_path).missing == (1,)
    assert count_share(queries, other, truth, share=Share(1, 2), folder=tmp_path).missing == (0,)
    own = next(tmp_path.rglob("1.npz"))
    own.write_bytes(own.read_bytes()[:40])
    with pytest.raises(DataError, match=r"1\.npz: is damaged .* Remove it"):
        count_share(queries, rows, truth, share=Share(1, 2), folder=tmp_path)
