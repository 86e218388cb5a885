"""Every YAML file of the project keeps the schema that `vitret schema` makes of the model that reads it."""

import json
from pathlib import Path
from typing import Any

import pytest

from vitret.cli import run
from vitret.core.config import read_yaml
from vitret.pages import schemas

jsonschema = pytest.importorskip("jsonschema")

ROOT = Path(__file__).resolve().parents[2]
# The first words of a schema's `files`; a run's recipe.yaml is no file of the project.
FILES = {name: sorted(ROOT.glob(files.split(",")[0])) for name, (_, files) in schemas.MODELS.items()}


@pytest.fixture(scope="module")
def validators(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("schemas")
    assert run(["schema", "--out", str(folder)]) == 0
    found = {name: json.loads((folder / f"{name}.schema.json").read_text()) for name in schemas.MODELS}
    for schema in found.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    return {name: jsonschema.Draft202012Validator(schema) for name, schema in found.items()}


def test_every_file_is_looked_at():
    looked = {path for paths in FILES.values() for path in paths}
    there = {*(ROOT / "configs").rglob("*.yaml"), *(ROOT / "results").rglob("*.yaml")}
    assert there == looked


@pytest.mark.parametrize("name", sorted(schemas.MODELS))
def test_every_file_keeps_its_schema(name: str, validators: dict[str, Any]):
    assert FILES[name]
    for path in FILES[name]:
        found = [
            f"{error.json_path}: {error.message}" for error in validators[name].iter_errors(read_yaml(path))
        ]
        assert found == [], path


@pytest.mark.parametrize(
    ("head", "right"),
    [
        ("gem", True),
        ({"name": "gem", "p": 4}, True),
        ({"name": "gem", "q": 4}, False),
        ({"name": "gem", "p": "much"}, False),
        ({"p": 4}, False),
        ({"name": "my_own", "q": 4}, True),
    ],
)
def test_an_editor_sees_the_options_of_a_part(head: object, right: bool, validators: dict[str, Any]):
    system = {"name": "mine", "title": "Mine", "model": {"backbone": "conv_stem_vit", "head": head}}
    assert validators["system"].is_valid(system) == right


def test_a_track_with_an_unknown_key_or_a_wrong_number_is_marked(validators: dict[str, Any]):
    track = {"name": "mine", "train_set": "sop", "images_seen": 10}
    assert validators["track"].is_valid(track)
    assert not validators["track"].is_valid({**track, "imags": 1})
    assert not validators["track"].is_valid({**track, "validation": 1.5})


def test_the_list_and_one_schema(capsys: pytest.CaptureFixture[str]):
    assert run(["schema"]) == 0
    assert "configs/tracks/*.yaml" in capsys.readouterr().out
    assert run(["schema", "track"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "vitret track"
    assert run(["schema", "trakc"]) == 2
    assert "Did you mean 'track'" in capsys.readouterr().err


def test_the_page_names_every_schema():
    page = " ".join((ROOT / "docs" / "add-your-own.md").read_text(encoding="utf-8").split())
    assert f"a JSON schema for each kind of YAML file: {', '.join(schemas.MODELS)}." in page
