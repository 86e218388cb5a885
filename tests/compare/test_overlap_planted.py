"""A short form of `tests.campaigns.overlap_planted`: what was planted is told from what was not, by its proposal."""

from pathlib import Path

import numpy as np
import pytest

from tests.campaigns.overlap_planted import COPIES, Planted, Size, plant
from tests.campaigns.overlap_report import choose
from vitret.compare.overlap import geometry
from vitret.compare.overlap.evidence import Parts
from vitret.compare.overlap.hashes import hash_file
from vitret.core.pairs import PHOTOGRAPH, PLACE, UNCLEAR

pytest.importorskip("cv2")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """One building for each kind of copy and level of difficulty."""
    return plant(tmp_path_factory.mktemp("planted"), seeds=[5], size=Size(each=1, photos=1, others=0))


def _proposal(root: Path, train: str, image: str) -> str:
    found, asked = geometry.read_keypoints(root / train), geometry.read_keypoints(root / image)
    assert found is not None
    assert asked is not None
    agreed = geometry.compare_with_mirror(found, asked, geometry.mirrored(asked))
    own = hash_file(root / train)[0]
    bits = min(int(np.bitwise_count(own ^ other)) for other in hash_file(root / image))
    parts = Parts(
        cosines=(),
        bits=bits,
        inliers=agreed.inliers,
        matches=agreed.matches,
        pixels=agreed.pixels,
        mirrored=agreed.mirrored,
    )
    return parts.proposal


def test_every_copy_is_the_same_photograph(planted: Planted):
    root = planted.trainset.images.root
    copies = {kind: (name, source) for name, (kind, source) in planted.planted.items() if kind in COPIES}
    assert copies.keys() == COPIES.keys()
    found = {kind: _proposal(root, name, str(source)) for kind, (name, source) in copies.items()}
    assert found == dict.fromkeys(COPIES, PHOTOGRAPH)


def test_the_same_side_is_the_same_place_and_another_building_is_not(planted: Planted):
    root, queries = planted.trainset.images.root, planted.evalset.queries
    sides = [name for name, (level, _) in planted.planted.items() if level == "same side"]
    assert {_proposal(root, name, queries.name(0)) for name in sides} == {PLACE}
    assert {_proposal(root, sides[0], queries.name(row)) for row in range(1, 6)} == {UNCLEAR}


def test_thresholds_are_the_lowest_that_are_right():
    def pair(truth: str, inliers: int, pixels: float = 0.0, bits: int | None = None) -> dict[str, object]:
        return {"truth": truth, "inliers": inliers, "pixels": pixels, "hash_bits": bits}

    pairs = [
        pair("different", 9, 0.95, 7),
        pair("same place", 12, 0.7, 8),
        pair("same photograph", 30, 0.9, 3),
        pair("same photograph", 5, 0.0, 6),
    ]
    found = choose(pairs)
    assert (found.place_inliers, found.photograph_pixels, found.photograph_bits) == (10, 0.71, 6)
