"""The list of networks of others: what it says is what timm has, and it is printed whole and narrow."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from vitret.cli import run
from vitret.core.errors import UserError
from vitret.core.recipes import system_names
from vitret.core.zoo import UNKNOWN, ZooModel, read_zoo
from vitret.models.backbones.timm_model import shape_only, timm
from vitret.models.families import recommended_head
from vitret.pages.models import FACTS, lines, measured_rows, page, records

ROOT = Path(__file__).resolve().parents[2]
ZOO = read_zoo(ROOT / "configs")
TIMM = {model.network.removeprefix("timm:"): model for model in ZOO if model.network.startswith("timm:")}
# One of each head and family; all would take a minute.
MEASURED = (
    "vit_small_patch14_reg4_dinov2.lvd142m",
    "vit_small_patch16_dinov3.lvd1689m",
    "vit_base_patch16_siglip_256.v2_webli",
    "vit_pe_core_base_patch16_224.fb",
    "eva02_base_patch16_clip_224.merged2b",
    "resnet50.tv_in1k",
)


def test_the_networks_that_are_asked_for_are_there_each_fact_with_a_source():
    titles = " ".join(model.title for model in ZOO)
    for words in (
        *("DINOv2 ViT-S", "DINOv2 ViT-B", "DINOv2 ViT-L", "DINOv3", "SigLIP 2", "Perception Encoder", "MLCD"),
        *("EVA02-CLIP", "MegaLoc", "BoQ", "SALAD", "AMES", "CLIP", "MoCo v3", "DINO ", "Franca", "C-RADIO"),
        *("ResNet-50", "ResNet-101"),
    ):
        assert words in titles
    assert len(ZOO) >= 25
    for model in ZOO:
        for fact in (getattr(model, name) for name in FACTS):
            assert fact.value == UNKNOWN or fact.source, model.network


def test_every_network_of_timm_is_in_the_installed_one_or_marked_with_a_version_that_has_it():
    known = set(timm.list_models(pretrained=True))
    absent = {arch for arch, model in TIMM.items() if arch not in known and not model.timm}
    assert absent == set()
    for arch, model in TIMM.items():
        if arch in known:
            config = timm.get_pretrained_cfg(arch)
            assert (model.licence.value, model.size.value) == (config.license, config.input_size[-1]), arch


@pytest.mark.slow
@pytest.mark.parametrize("arch", MEASURED)
def test_head_and_dimension_are_those_that_the_network_has(arch: str):
    model, network = TIMM[arch], shape_only(arch)
    assert model.head == recommended_head(arch)
    assert model.dim.value == (network.own_head().dim if model.head == "native" else network.widths[-1])


def test_code_of_others_needs_trust_at_a_whole_commit_and_systems_exist():
    systems = set(system_names(ROOT / "configs"))
    for model in ZOO:
        publisher, colon, rest = model.network.partition(":")
        assert model.trust == (publisher == "torchhub")
        assert model.command.endswith(" --trust") == model.trust
        if model.trust:
            assert len(rest.split(":")[0].partition("@")[2]) == 40
        assert colon or publisher in systems
        assert set(model.systems) <= systems


def test_a_terminal_of_80_columns_holds_it_and_a_shell_reads_the_commands_back():
    printed = "\n".join(lines(ZOO, {}))
    assert max(map(len, printed.splitlines())) <= 80
    blocks = printed.split("\n\n")
    assert len([block for block in blocks if block.strip()]) == len(ZOO)
    for model, block in zip(ZOO, blocks, strict=False):
        command = block[block.index("  vitret bench") :]
        read = subprocess.run(
            ["sh", "-c", f"vitret() {{ printf '%s\\n' vitret \"$@\"; }}\n{command}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert read.stdout.splitlines() == shlex.split(model.command)


def test_rows_are_those_of_the_systems_that_are_the_network():
    measured = measured_rows(ROOT / "results", ZOO)
    found = {one["network"]: str(one["rows"]) for one in records(ZOO, measured)}
    assert "minilandmarks mAP" in found["timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k"]
    assert found["timm:resnet50.tv_in1k"] == "not measured yet"


def test_the_committed_page_is_what_the_list_gives():
    fresh = page(ZOO, measured_rows(ROOT / "results", ZOO))
    assert (ROOT / "docs" / "models.md").read_text() == fresh, (
        "stale: run `vitret list models --format md > docs/models.md`"
    )


def test_programs_get_every_fact_with_its_source(capsys):
    assert run(["list", "models", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["network"] for one in found] == [model.network for model in ZOO]
    assert found[0]["licence_source"].startswith("timm ")
    assert run(["list", "models", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(ZOO) + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dim": [384, "nobody"]}, "dim has no source called 'nobody'"),
        ({"licence": "MIT"}, "licence"),
        ({"network": "timm:b"}, "listed twice: timm:b"),
    ],
)
def test_a_list_with_a_mistake_says_where(tmp_path: Path, change: dict, words: str):
    one = {"title": "A", "network": "timm:a", "head": "cls", "dim": [3, "s"], "size": [3, "s"]}
    one |= {"licence": UNKNOWN, "pretraining": ["web", "s"]}
    written = {"sources": {"s": "https://s"}, "models": [{**one, **change}, {**one, "network": "timm:b"}]}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(written))
    with pytest.raises(UserError, match=words):
        read_zoo(tmp_path)


def test_a_command_is_of_the_network_and_consents_where_it_must():
    model = ZooModel.model_validate(
        {"title": "A", "network": "torchhub:a/b:c", "trust": True, "head": "native"}
        | dict.fromkeys(FACTS, UNKNOWN)
    )
    assert model.command == "vitret bench --train-set none --systems torchhub:a/b:c --trust"
