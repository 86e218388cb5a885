"""`vitret diff --rerun` on a frozen network at 32 pixels: each switch alone, all together, what cannot be done."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_bench import draw, make_places, write_categories

from vitret.cli import run
from vitret.compare import results
from vitret.compare.bench import bench
from vitret.compare.machine import Machine
from vitret.compare.rerun import rerun
from vitret.compare.work import Places, Request, resolve
from vitret.core.errors import DataError, UserError
from vitret.data.layout.write import LayoutWriter

pytestmark = pytest.mark.slow

CPU = Machine(device=torch.device("cpu"), precision="fp32", workers=1)
PLAIN = "{size: 32, size_rule: square, query_size: same_size, crop: none}"
OTHER = "{size: 16, size_rule: square, query_size: same_size, crop: none, interpolation: bilinear}"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = make_places(tmp_path / "places", track="none", suite="plain")
    with LayoutWriter(found.data, "test", workers=1) as writer:
        write_categories(writer, faint(draw(tmp_path / "drawn", patterns=6, views=3)), views=3)
    return found


def faint(images: list[Path]) -> list[Path]:
    """The same files under so much noise that no protocol finds everything."""
    rng = np.random.default_rng(1)
    for path in images:
        pixels = np.asarray(Image.open(path)) // 8
        Image.fromarray((pixels + rng.integers(0, 220, pixels.shape)).astype(np.uint8)).save(path)
    return images


def measured(places: Places, name: str, protocol: str) -> Path:
    (places.suites / f"{name}.yaml").write_text(
        f"name: {name}\nsets: [test]\nlevels: [all]\nmetrics: [mAP, R@1]\nprimary: mAP\nprotocol: {protocol}\n"
    )
    work = resolve(places, Request(train_set="none", suite=name, seeds=1))
    (path,) = bench(places, work, machine=CPU, command="vitret bench --train-set none", say=lambda _: None)
    return path


def test_each_switch_alone_and_all_of_them_end_at_row_b(places: Places, monkeypatch, capsys):
    a, b = measured(places, "plain", PLAIN), measured(places, "other", OTHER)
    before = sorted(places.results.rglob("*"))
    found = rerun(places, a, b, machine=CPU, say=lambda _: None)
    assert [one.what for one in found.moved] == [
        "size: 32 → 16",
        "interpolation: bicubic → bilinear",
        "all of them",
    ]
    assert found.others == ()
    theirs = results.read_result(b).metrics
    assert found.moved[-1].tests["mAP"].difference != 0
    for key, value in found.base.items():
        assert value == pytest.approx(found.stored[key])
        assert value + found.moved[-1].tests[key].difference == pytest.approx(theirs[key].value)
    assert sorted(places.results.rglob("*")) == before
    for name in ("home", "data", "suites"):
        monkeypatch.setenv(f"VITRET_{name.upper()}", str(getattr(places, name)))
    assert (
        run(["diff", str(a), str(b), "--rerun", "--device", "cpu", "--precision", "fp32", "--workers", "1"])
        == 0
    )
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["switch", "mAP", "R@1"]
    assert "size: 32 → 16" in out
    assert "all of them" in out


def test_a_switch_that_needs_what_is_not_here_is_named_with_the_command(places: Places):
    a = measured(places, "plain", PLAIN)
    row = results.read_result(a)
    white = row.protocol.model_validate(
        {**row.protocol.model_dump(), "whitening": {"kind": "lw", "data": "nowhere"}}
    )
    b = a.with_name("b.json")
    whole = row.model_copy(update={"protocol": white, "command": "vitret bench --suite white"})
    whole = whole.model_copy(update={"training": whole.training.model_copy(update={"seed": 3})})
    b.write_text(whole.model_dump_json())
    found = rerun(places, a, b, machine=CPU, say=lambda _: None)
    (one,) = found.moved
    assert one.what.startswith("whitening: data None → nowhere, kind none → lw")
    assert one.tests == {}
    assert "vitret prepare nowhere" in one.why
    assert found.others == (
        "training.seed: 0 → 3",
        "These are no protocol switches; row B was made by: vitret bench --suite white",
    )


def test_equal_protocols_and_other_data_are_refused(places: Places, tmp_path: Path):
    a = measured(places, "plain", PLAIN)
    with pytest.raises(UserError, match="protocols are equal"):
        rerun(places, a, a, machine=CPU, say=lambda _: None)
    row = results.read_result(a)
    far = row.model_copy(update={"data": row.data.model_copy(update={"set": "far"})})
    (tmp_path / "far.json").write_text(far.model_dump_json())
    with pytest.raises(UserError, match=r"protocols are equal.* of other evaluation sets: test and far\."):
        rerun(places, a, tmp_path / "far.json", machine=CPU, say=lambda _: None)
    b = measured(places, "other", OTHER)
    with LayoutWriter(places.data, "test", workers=1, replace=True) as writer:
        write_categories(writer, draw(tmp_path / "others", patterns=2, views=3), views=3)
    with pytest.raises(DataError, match="other bytes are prepared here"):
        rerun(places, a, b, machine=CPU, say=lambda _: None)
