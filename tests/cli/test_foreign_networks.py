"""Networks of torch.hub as a user calls them: refused without --trust, then measured, extracted and searched with."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from small_bench import draw, make_places, write_categories

from tests.models.test_foreign_networks import HUBCONF, PARTS
from vitret.cli import run
from vitret.compare.results import read_result, result_files
from vitret.compare.validation import contradictions
from vitret.data.layout.write import LayoutWriter
from vitret.models.foreign.consent import VARIABLE

SMALL = ["--device", "cpu", "--precision", "fp32"]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A bench without a training set, a set of twelve images to ask, and a repository beside it."""
    found = make_places(tmp_path / "all", track="none", suite="small")
    for name in ("home", "data", "results", "configs", "suites"):
        monkeypatch.setenv(f"VITRET_{name.upper()}", str(getattr(found, name)))
    monkeypatch.delenv(VARIABLE, raising=False)
    (found.suites / "small.yaml").write_text(
        "name: small\nabout: small\nsets: [test]\nprimary: R@1\nmetrics: [R@1]\nlevels: [all]\n"
        "protocol: {size: 32, size_rule: square}\n"
    )
    with LayoutWriter(found.data, "test", workers=1) as writer:
        write_categories(writer, draw(tmp_path / "drawn", patterns=4, views=3), views=3)
    hub = tmp_path / "hub"
    hub.mkdir()
    (hub / "hubconf.py").write_text(HUBCONF)
    (hub / "parts_of_this_test.py").write_text(PARTS)
    return found, hub


def test_each_verb_refuses_with_the_code_of_a_wrong_command_and_nothing_runs(places, tmp_path: Path, capsys):
    found, hub = places
    name = f"torchhub:{hub}:net"
    photo = str(tmp_path / "drawn" / "0-0.png")
    for words in (
        ["bench", "--train-set", "none", "--systems", f"frozen,{name}"],
        ["bench", "--train-set", "none", "--systems", name, "--plan"],
        ["extract", name, "test", "--out", str(tmp_path / "out")],
        ["search", name, photo, "--in", str(tmp_path / "drawn")],
    ):
        assert run(words) == 2
        said = capsys.readouterr()
        assert "add --trust to the same command" in said.err
        assert said.out == ""
    assert not (hub / "ran").exists()
    assert result_files(found.results) == []


@pytest.mark.slow
def test_a_bench_with_consent_records_where_the_network_came_from(places, capsys):
    found, hub = places
    name = f"torchhub:{hub}:net"
    words = [
        "bench",
        "--train-set",
        "none",
        "--systems",
        f"{name},{name}:arguments.gives=tokens:head=gem",
        *SMALL,
    ]
    assert run([*words, "--trust", "--format", "json"]) == 0
    rows = [read_result(path) for path in result_files(found.results)]
    assert {row.model.head for row in rows} == {"native", "gem"}
    for row in rows:
        foreign = row.model.foreign
        assert foreign is not None
        assert (foreign.source, foreign.entry, foreign.trusted) == (str(hub), "net", True)
        assert foreign.commit.startswith("files-")
        assert row.recipe.system.model.backbone.options["commit"] == foreign.commit
        assert row.model.backbone == f"{hub}:net"
    assert json.loads(capsys.readouterr().out)
    assert VARIABLE not in os.environ  # consent ended with the command
    assert run(["results", "validate"]) == 0
    other = rows[0].model.foreign.model_copy(update={"commit": "another"})
    changed = rows[0].model_copy(update={"model": rows[0].model.model_copy(update={"foreign": other})})
    assert [line for line in contradictions(changed) if line.startswith("model.foreign is ")]
    # Measured again from the code that is there: nothing to do, but the code is still asked about.
    assert run(words) == 2
    capsys.readouterr()
    assert run([*words, "--plan", "--trust"]) == 0
    assert capsys.readouterr().out.count("nothing to do") == 2


def test_descriptors_and_their_card_are_the_networks(places, tmp_path: Path):
    _, hub = places
    out = tmp_path / "out"
    words = ["extract", f"torchhub:{hub}:net", "test", "--size", "32", "--out", str(out), *SMALL]
    assert run([*words, "--trust"]) == 0
    card = json.loads((out / "card.json").read_text())
    assert (card["foreign"]["source"], card["foreign"]["entry"]) == (str(hub), "net")
    assert card["foreign"]["trusted"] is True
    assert card["model"]["backbone"]["commit"] == card["foreign"]["commit"]
    rows = np.load(out / "database.npy")
    assert rows.shape == (12, 6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_a_folder_is_searched_and_results_are_alone_on_stdout(places, tmp_path: Path, capsys):
    _, hub = places
    photo = str(tmp_path / "drawn" / "0-0.png")
    words = [
        "search",
        f"torchhub:{hub}:net",
        photo,
        "--in",
        str(tmp_path / "drawn"),
        "--size",
        "32",
        "-k",
        "2",
    ]
    assert run([*words, "--trust", "--format", "json", *SMALL]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


@pytest.mark.slow
def test_timm_networks_are_systems_by_their_name(places, capsys):
    assert (
        run(
            [
                "bench",
                "--train-set",
                "none",
                "--systems",
                "timm:test_vit:pretrained=false:head=mean",
                "--plan",
            ]
        )
        == 0
    )
    assert "timm-test_vit-mean" in capsys.readouterr().out
