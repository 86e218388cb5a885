"""A folder of configurations with one small system and one track."""

from pathlib import Path

import pytest


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    for folder in ("systems", "tracks", "ablations"):
        (tmp_path / folder).mkdir()
    (tmp_path / "systems" / "tiny.yaml").write_text(
        "name: tiny\ntitle: Tiny\n"
        "model: {backbone: {name: timm_model, arch: test_vit, pretrained: false}, head: {name: gem, p: 2}}\n"
        "losses: [{name: arcface, weight: 0.5}]\n"
    )
    (tmp_path / "tracks" / "toy.yaml").write_text("name: toy\ntrain_set: toy\nimages_seen: 64\n")
    return tmp_path
