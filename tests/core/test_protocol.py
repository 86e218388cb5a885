import pytest

from vitret.core.config import validate
from vitret.core.errors import UserError
from vitret.core.protocol import Protocol, RerankSpec, Suite, WhiteningSpec, differences


def test_every_switch_changes_the_fingerprint():
    changes = [
        {"crop": "none"}, {"size": 512}, {"size_rule": "square"}, {"upscale": True}, {"query_size": "same_size"},
        {"centre_crop": 224}, {"fit": "pad"}, {"interpolation": "bilinear"}, {"decode": "scaled"}, {"exif": "apply"},
        {"scales": (0.5, 1.0)}, {"query_scales": (0.5, 1.0)}, {"aggregation": "max"}, {"aggregation": "mean_raw"},
        {"whitening": {"kind": "lw", "data": "sfm120k"}}, {"whitening": {"kind": "lw", "data": "sfm30k"}},
        {"expansion": {"kind": "aqe"}}, {"rerank": {"kind": "rrt"}}, {"rerank": {"kind": "rrt", "shortlist": "oracle"}},
    ]  # fmt: skip
    fingerprints = {Protocol.model_validate(change).fingerprint for change in changes} | {
        Protocol().fingerprint
    }
    assert len(fingerprints) == len(changes) + 1


def test_the_fingerprint_is_the_same_on_every_machine():
    assert Protocol().fingerprint == "384b6348"  # published rows carry it: a change here is a new protocol


def test_whitening_must_name_its_data():
    with pytest.raises(UserError, match="must name the training set"):
        validate(Protocol, {"whitening": {"kind": "lw"}}, "p.yaml")


def test_extraction_leaves_out_what_comes_after_the_descriptors():
    same = Protocol.model_validate({"expansion": {"kind": "aqe"}, "rerank": {"kind": "rrt"}})
    assert same.extraction() == Protocol().extraction()
    assert Protocol(whitening=WhiteningSpec(kind="lw", data="a")).extraction() != Protocol().extraction()


def test_queries_may_have_scales_of_their_own():
    plain, apart = Protocol(), Protocol(query_scales=(0.5, 1.0))
    assert plain.of_queries() == plain
    assert "query_scales" not in plain.model_dump()  # else every published fingerprint would change
    assert apart.extraction() == plain.extraction()  # the database is described as ever
    assert apart.of_queries().extraction() == Protocol(scales=(0.5, 1.0)).extraction()
    assert Protocol.model_validate(apart.model_dump(mode="json")).fingerprint == apart.fingerprint
    with pytest.raises(UserError, match="leave them out"):
        validate(Protocol, {"scales": [0.5, 1.0], "query_scales": [0.5, 1.0]}, "p.yaml")


def test_a_resolved_re_ranking_names_every_value():
    assert RerankSpec().resolved() == RerankSpec()
    known = RerankSpec(kind="superglobal", depth=50, options={"beta": 0.2}).resolved()
    assert (known.depth, known.options) == (50, {"neighbours": 9, "beta": 0.2, "expand": 10})
    learned = RerankSpec(kind="rrt", options={"matcher": {"width": 32}}).resolved()
    assert learned.learned
    assert learned.options["matcher"]["width"] == 32
    assert learned.options["matcher"]["positives"] == 5
    assert learned.resolved() == learned
    with pytest.raises(UserError, match="Did you mean 'width'"):
        RerankSpec(kind="rrt", options={"matcher": {"widht": 32}}).resolved()
    with pytest.raises(UserError, match="no option 'betta'"):
        RerankSpec(kind="superglobal", options={"betta": 1}).resolved()


def test_the_caption_names_what_readers_ask_first():
    line = Protocol(size=384).line()
    assert "longer side 384" in line
    assert "query cropped" in line
    assert "no whitening" in line
    assert "joined" not in line
    several = Protocol(scales=(0.5, 1.0, 2.0), query_scales=(1.0,), aggregation="mean_raw").line()
    assert "3 scales, queries 1 scale, joined by mean_raw" in several


def test_a_suite_must_sort_by_something_it_measures():
    with pytest.raises(UserError, match="primary"):
        validate(Suite, {"name": "s", "sets": ["a"], "primary": "R@1"}, "s.yaml")


def test_differences_are_dotted():
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4}) == {
        "a.c": (2, 3),
        "d": (None, 4),
    }
