"""The fast path against the slow one, and everything that must not change a byte."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitret.core.errors import UserError
from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.describe import extract as module
from vitret.describe.blocks import RowFile, failed_file
from vitret.describe.extract import extract
from vitret.describe.framing import frame, load, stored_size
from vitret.describe.request import Request
from vitret.describe.scales import describe
from vitret.models.model import Retriever

CPU = torch.device("cpu")
PROTOCOL = Protocol(size=64)


def asked(model: Retriever, images: Images, protocol: Protocol, precision: str = "auto") -> Request:
    return Request(model=model, images=images, protocol=protocol, device=CPU, precision=precision)


def one_by_one(model: Retriever, images: Images, protocol: Protocol) -> np.ndarray:
    rows = []
    for i in range(len(images)):
        size = stored_size(images.file(i), exif=False)
        assert size is not None
        plan = frame(size, images.box(i), protocol, patch=model.patch)
        pixels = load(images, i, plan, protocol)
        with torch.no_grad():
            x = model.normalised(pixels[None])
            row = describe(
                model, x, scales=protocol.scales, aggregation=protocol.aggregation, patch=model.patch
            )
        rows.append(row[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("scales", [(1.0,), (0.7071, 1.0, 1.4142)])
def test_batches_give_what_single_images_give(network, photographs, scales):
    protocol = Protocol(size=64, scales=scales)
    ours = extract(asked(network, photographs, protocol, precision="fp32"))
    np.testing.assert_allclose(ours.rows, one_by_one(network, photographs, protocol), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(ours.rows, axis=1), 1, atol=1e-5)


def test_the_size_of_a_batch_changes_nothing(network, photographs, monkeypatch):
    whole = extract(asked(network, photographs, PROTOCOL, precision="fp32"))
    monkeypatch.setitem(module.PIXELS, "cpu", 1)
    single = extract(asked(network, photographs, PROTOCOL, precision="fp32"))
    np.testing.assert_allclose(single.rows, whole.rows, atol=1e-5)


def test_threads_change_no_byte(network, photographs):
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(extract(asked(network, photographs, PROTOCOL, precision="fp32")).rows)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0].tobytes() == found[1].tobytes()


def test_auto_precision_stays_near_fp32(network, photographs):
    exact = extract(asked(network, photographs, PROTOCOL, precision="fp32")).rows
    quick = extract(asked(network, photographs, PROTOCOL, precision="auto")).rows
    assert (exact * quick).sum(axis=1).min() > 0.99


def test_an_image_that_cannot_be_read_is_zeros_and_listed(network, photographs, tmp_path):
    photographs.file(2).write_bytes(b"<html>not found</html>")
    photographs.file(3).write_bytes(photographs.file(3).read_bytes()[:200])
    out = tmp_path / "rows.npy"
    ours = extract(asked(network, photographs, PROTOCOL), out=out)
    assert ours.failed.tolist() == [2, 3]
    assert (np.abs(ours.rows).sum(axis=1) == 0).nonzero()[0].tolist() == [2, 3]
    assert "HTML" in failed_file(out).read_text()


def test_the_model_keeps_its_modes(network, photographs):
    network.train()
    network.head.eval()
    extract(asked(network, photographs, PROTOCOL))
    assert network.backbone.training
    assert not network.head.training


def test_no_images_are_an_empty_array(network, photographs, tmp_path):
    none = photographs.take(np.empty(0, np.int64))
    assert extract(asked(network, none, PROTOCOL), out=tmp_path / "a.npy").rows.shape == (0, network.dim)


def test_broken_weights_are_said_so(network, photographs):
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="not finite"):
        extract(asked(network, photographs, PROTOCOL))


def test_an_interrupted_extraction_goes_on_and_ends_in_the_same_bytes(
    network, photographs, tmp_path, monkeypatch
):
    straight, broken = tmp_path / "straight.npy", tmp_path / "broken.npy"
    extract(asked(network, photographs, PROTOCOL), out=straight, block=4)
    append, calls = RowFile.append, []

    def append_and_die(self: RowFile, *args: object) -> None:
        append(self, *args)
        calls.append(self.done)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(RowFile, "append", append_and_die)
    with pytest.raises(KeyboardInterrupt):
        extract(asked(network, photographs, PROTOCOL), out=broken, block=4)
    assert not broken.exists()
    extract(asked(network, photographs, PROTOCOL), out=broken, block=4)
    assert calls == [4, 8, 9]
    assert broken.read_bytes() == straight.read_bytes()
    assert sorted(p.name for p in tmp_path.glob("broken*")) == ["broken.npy"]


def test_a_part_of_other_content_is_begun_anew(tmp_path):
    path = tmp_path / "rows.npy"
    RowFile(path, (4, 2), "one").append(np.ones((2, 2), np.float32), {})
    assert RowFile(path, (4, 2), "one").done == 2
    assert RowFile(path, (4, 2), "two").done == 0
    assert RowFile(path, (4, 2), "one").done == 0


KILLED = """
import sys, torch
from pathlib import Path
import numpy as np
from vitret.core.protocol import Protocol
from vitret.core.records import Images
from vitret.core.recipes import ModelSpec, Part
from vitret.describe.extract import extract
from vitret.describe.request import Request
from vitret.models.model import build_model
torch.manual_seed(0)
backbone = Part(name="timm_model", options={"arch": "test_vit", "pretrained": False})
model = build_model(ModelSpec(backbone=backbone, head=Part(name="gem")))
images = Images.of(Path(sys.argv[1]), [f"{i % 9}.jpg" for i in range(60)])
extract(
    Request(model=model, images=images, protocol=Protocol(size=64), device=torch.device("cpu")),
    out=Path(sys.argv[2]), block=3,
)
"""


@pytest.mark.slow
def test_kill_9_leaves_no_trace_in_the_result(photographs, tmp_path):
    straight, killed = tmp_path / "straight.npy", tmp_path / "killed.npy"
    command = [sys.executable, "-c", KILLED, str(photographs.root)]
    subprocess.run([*command, str(straight)], check=True)
    process = subprocess.Popen([*command, str(killed)])
    progress = Path(f"{killed}.progress.json")
    deadline = time.monotonic() + 120
    while not progress.exists() and not killed.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run([*command, str(killed)], check=True)
    assert killed.read_bytes() == straight.read_bytes()


def test_a_box_over_the_border_describes_the_pixels_it_holds(network, tmp_path):
    """A visible crop of 200×200 was squeezed to 288×112 when its box reached 300 pixels beyond the image."""
    small = np.random.default_rng(5).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    photograph = Image.fromarray(small).resize((400, 300), Image.Resampling.BICUBIC)
    photograph.save(tmp_path / "q.png")
    photograph.crop((200, 50, 400, 250)).save(tmp_path / "cut.png")
    boxes = np.array([[200.0, 50, 700, 250], [200.0, 50, 400, 250], [np.nan] * 4])
    images = Images.of(tmp_path, ["q.png", "q.png", "cut.png"], boxes)
    protocol = Protocol(size=96, query_size="same_size")
    over, inside, alone = extract(asked(network, images, protocol, precision="fp32")).rows
    assert over @ inside == pytest.approx(1, abs=1e-6)
    assert over @ alone == pytest.approx(1, abs=1e-6)


def test_boxes_in_one_picture_are_images_of_their_own_under_every_suite(network, tmp_path):
    tiles = np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), dtype=np.uint8)
    corners = [(0, 0), (40, 0), (0, 40), (40, 40)]
    picture = np.zeros((80, 80, 3), np.uint8)
    for tile, (x, y) in zip(tiles, corners, strict=True):
        picture[y : y + 40, x : x + 40] = tile
    Image.fromarray(picture).save(tmp_path / "all.png")
    for i, tile in enumerate(tiles):
        Image.fromarray(tile).save(tmp_path / f"{i}.png")
    boxes = np.array([[x, y, x + 40, y + 40] for x, y in corners], np.float64)
    items = Images.of(tmp_path, ["all.png"] * 4, boxes)
    alone = Images.of(tmp_path, [f"{i}.png" for i in range(4)])
    for crop in ("box", "none"):
        protocol = Protocol(size=32, size_rule="square", upscale=True, crop=crop)
        found = [extract(asked(network, each, protocol, precision="fp32")).rows for each in (items, alone)]
        np.testing.assert_allclose(*found, atol=1e-5)
