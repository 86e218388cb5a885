import numpy as np
import pytest

from vitret.core.errors import DataError
from vitret.core.records import Ragged, Ranking, Truth
from vitret.measure.judge import judge


def truth(**judgements):
    return Truth(judgements={kind: Ragged.of(rows) for kind, rows in judgements.items()})


def test_junk_is_taken_out_before_ranks_are_counted():
    ranking = Ranking(indices=np.array([[3, 0, 1, 2]]))  # 3 is junk, 1 is the only positive
    assert judge(ranking, truth(positive=[[1]], junk=[[3]]), "all").values.tolist() == [1]


def test_levels_take_different_images_out():
    ranking = Ranking(indices=np.array([[0, 1, 2, 3, 4]]))
    known = truth(easy=[[1, 4]], hard=[[3]], junk=[[0]])
    # Worked on paper. Easy drops 0 and 3; medium drops 0; hard drops 0, 1 and 4.
    assert judge(ranking, known, "easy").values.tolist() == [0, 2]
    assert judge(ranking, known, "medium").values.tolist() == [0, 2, 3]
    assert judge(ranking, known, "hard").values.tolist() == [1]


def test_a_truncated_ranking_keeps_count_of_all_positives():
    ranking = Ranking(indices=np.array([[5, 2, -1], [1, -1, -1]]))
    ranks = judge(ranking, truth(positive=[[2, 9], [7]]), "all")
    assert ranks.values.tolist() == [1]
    assert ranks.n_positive.tolist() == [2, 1]


def test_an_image_named_twice_is_refused():
    with pytest.raises(DataError, match="twice"):
        judge(Ranking(indices=np.array([[1, 1]])), truth(positive=[[1]]), "all")


def test_a_ranking_of_another_set_is_refused():
    with pytest.raises(DataError, match="2 queries, the truth 1"):
        judge(Ranking(indices=np.array([[1], [0]])), truth(positive=[[1]]), "all")


def test_random_rankings_against_walking_down_the_list():
    rng = np.random.default_rng(0)
    for _ in range(200):
        images = int(rng.integers(1, 40))
        shuffled = rng.permutation(images)
        good, junk = np.sort(shuffled[: images // 3]), np.sort(shuffled[images // 3 : images // 2])
        ranked = rng.permutation(images)[: rng.integers(0, images + 1)]
        expected, rank = [], 0
        for image in ranked:
            if image in good:
                expected.append(rank)
            rank += image not in junk
        ranks = judge(Ranking(indices=ranked[None]), truth(positive=[good], junk=[junk]), "all")
        assert ranks.values.tolist() == expected
