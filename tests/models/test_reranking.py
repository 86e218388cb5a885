import numpy as np
import pytest
import torch
from safetensors.torch import save

from vitret.core import plugins
from vitret.core.errors import DataError
from vitret.core.records import Ranking
from vitret.core.reranking import MatcherSpec
from vitret.measure.reranking_shortlist import Evidence
from vitret.measure.scoring import Rows
from vitret.models.reranking import Matcher, load_matcher, pair_score, save_matcher

TINY = {"width": 8, "layers": 1, "heads": 2, "hidden": 16}


def matcher(**options):
    torch.manual_seed(0)
    return Matcher(MatcherSpec(**TINY, **options), inputs=6, global_dim=4).eval()


def images(model, count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    scales = len(model.spec.scales)
    return [
        model.keep(
            torch.randn(4, generator=generator),
            [torch.randn(6, 2 + i % 2, 3, generator=generator) for _ in range(scales)],
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("options", [{}, {"kind": "landmark", "scales": (0.5, 1.0)}])
def test_images_of_any_size_share_a_batch(options):
    model = matcher(**options)
    left, right = images(model, 5), images(model, 5, seed=1)[::-1]
    together = model(left, right).tolist()
    assert together == pytest.approx(
        [model([a], [b]).item() for a, b in zip(left, right, strict=True)], abs=1e-5
    )


@pytest.mark.parametrize("options", [{}, {"kind": "landmark"}])
def test_a_shortlist_is_re_ranked_by_logits(options):
    model = matcher(**options)
    queries, database = images(model, 2), images(model, 6, seed=1)
    score = pair_score(
        model, lambda rows: [queries[i] for i in rows], lambda rows: [database[i] for i in rows], batch=2
    )
    shortlist = np.array([5, 0, 3, 2])
    alone = [model([queries[1]], [database[i]]).item() for i in shortlist]
    assert score(1, shortlist).tolist() == pytest.approx(alone, abs=1e-5)
    assert score(1, shortlist[::-1]).tolist() == score(1, shortlist)[::-1].tolist()  # remembered
    found = plugins.build("rerankers", "rrt", depth=4)(
        Ranking(indices=np.array([[5, 0, 3, 2, 1, 4]] * 2)),
        Evidence(queries=np.eye(2), database=Rows.of(np.ones((6, 2))), logits=score),
    )
    assert found.indices[1].tolist() == [*shortlist[np.argsort(-np.array(alone))].tolist(), 1, 4]


def test_the_landmark_matcher_keeps_the_strongest_and_their_scales():
    model = matcher(kind="landmark", scales=(0.5, 1.4143), locals=3)
    small, large = torch.zeros(6, 1, 2), torch.zeros(6, 2, 2)
    small[0, 0] = torch.tensor([1.0, 5.0])
    large[0] = torch.tensor([[9.0, 0.0], [2.0, 0.5]])
    kept = model.keep(torch.zeros(4), [small, large])
    assert kept.many[:, 0].tolist() == [5.0, 9.0, 2.0]
    assert kept.rows.tolist() == [0, 3, 3]


def test_a_matcher_comes_back_from_its_file(tmp_path):
    model = matcher(kind="landmark")
    save_matcher(tmp_path / "m.safetensors", model)
    again = load_matcher(tmp_path / "m.safetensors")
    assert again.spec == model.spec
    left, right = images(model, 2), images(model, 2, seed=1)
    assert torch.equal(again(left, right), model(left, right))
    for broken in (
        b"no",
        *(save({}, metadata={"vitret.matcher": text}) for text in ("{", "[" * 9_999, "[]")),
    ):
        (tmp_path / "m.safetensors").write_bytes(broken)
        with pytest.raises(DataError, match="not a whole file"):
            load_matcher(tmp_path / "m.safetensors")
