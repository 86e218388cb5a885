"""A plan's time follows from the rows of the same system on the same device, and from nothing else."""

import json
from pathlib import Path

import pytest

from vitret.compare.rates import Rates, forecast, rates_of
from vitret.core.networks import ModelSpec, Part
from vitret.core.protocol import Protocol
from vitret.core.recipes import Recipe, System, Track


def recipe() -> Recipe:
    model = ModelSpec(backbone=Part(name="conv_stem_vit"), head=Part(name="gem"))
    track = Track(name="town", train_set="town", images_seen=1000)
    return Recipe(system=System(name="s", title="S", model=model), track=track)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Rows of the system `s` on a CPU and on a GPU."""
    image = recipe().track.image.model_dump(mode="json")
    for number, (device, seconds, speed) in enumerate(
        (("cpu", 10.0, 5.0), ("cpu", 20.0, 7.0), ("GPU", 1.0, 99.0))
    ):
        row = {
            "environment": {"device": device},
            "recipe": {"track": {"image": image}},
            "training": {"images_seen": 200},
            "cost": {"train_seconds": seconds, "network": {"images_per_second": speed}},
            "fingerprint": Protocol().fingerprint,
        }
        path = tmp_path / "other" / "s" / "east" / f"{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(row))
    (tmp_path / "other" / "s" / "east" / "broken.json").write_text("{")
    return tmp_path


def test_rates_are_of_the_device_the_sizes_and_the_protocol(results: Path):
    assert rates_of(results, recipe(), Protocol(), device="cpu") == Rates(train=20.0, describe=7.0)
    assert rates_of(results, recipe(), Protocol(), device="GPU") == Rates(train=200.0, describe=99.0)
    assert rates_of(results, recipe(), Protocol(size=512), device="cpu") == Rates(train=20.0)
    assert rates_of(results, recipe(), Protocol(), device="mps") == Rates()


def test_the_forecast_adds_what_is_known_and_names_what_is_not():
    works = [("a", Rates(train=10.0, describe=1.0), 36_000, 7200), ("b", Rates(), 0, 0), ("c", Rates(), 5, 0)]
    known, unknown = forecast(works, device="cpu")
    assert "about 60 min to train, 2.0 h to describe" in known
    assert unknown == "No row on cpu tells the speed of: c."


def test_the_forecast_speaks_of_training_only_where_something_trains():
    (line,) = forecast([("a", Rates(train=10.0, describe=1.0), 0, 7200)], device="cpu")
    assert line.startswith("Time on cpu, by rows measured on it: about 2.0 h to describe (")
    (line,) = forecast([("a", Rates(train=10.0, describe=1.0), 36_000, 0)], device="cpu")
    assert line.endswith(": about 60 min to train, one run after another.")
    assert forecast([("b", Rates(), 0, 0)], device="cpu") == []
