"""`vitret check` on broken parts names each fault in words; what `vitret new` writes has none."""

from pathlib import Path

import pytest

from vitret.cli import run

HEAD = """
import torch

def build(widths, *, dim=8):
    return Head(widths[-1], dim)

class Head(torch.nn.Module):
    def __init__(self, width, dim):
        super().__init__()
        self.dim = dim
        self.fc = torch.nn.Linear(width, dim)

    def forward(self, tokens):
        pooled = self.fc(tokens.grids[-1].mean(dim=(2, 3)))
        return RETURN
"""
LOSS = """
import torch

def build(dim, classes):
    return Loss()

class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = 1.0

    def forward(self, descriptors, labels):
        same = (labels[:, None] == labels) & ~torch.eye(len(labels), dtype=torch.bool)
        similarity = descriptors @ descriptors.T
        return RETURN
"""
DATASET = """
import io
import numpy as np
from PIL import Image
from vitret.data.card import Card, Licence
from vitret.data.layout import Side

CARD = Card(name="owls", title="Owls", kind=("train", "eval"), homepage="", citation="", needs_disk=1,
            licence=Licence(text="none"))

def build():
    def convert(source, writer):
        names = [f"{i}.png" for i in range(6)]
        for i, name in enumerate(names):
            file = io.BytesIO()
            Image.fromarray(np.full((20, 30, 3), 40 * i, np.uint8)).save(file, "png")
            writer.write_image(name, file.getvalue())
        labels = ["a", "a", "b", "b", "c", "c"]
        boxes = np.array([[0, 0, 10.0, 10]] * 6)
        CHANGE
        writer.train(names, labels, boxes=boxes)
        side = Side(names, labels=LABELS)
        writer.evaluation(side, side, query_rows=np.arange(6))

    return convert
"""


def checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, *words: str
) -> tuple[int, str]:
    """Exit code and output of `vitret check` on a file."""
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    code = run(["check", str(file), *words])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out + err


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("pooled", ""),
        ("pooled[:, :5]", "wrong shape: for 3 images the head gives (3, 5), not (B, dim) = (3, 8)"),
        ("pooled.relu() * 0", "not normalised: lengths from 0 to 0 instead of 1"),
        ("pooled.detach()", "no gradient: the descriptors do not depend on any parameter"),
        ("tokens.grids[-1].mean(dim=(2, 3))[:, :8]", "no gradient reaches head.fc.weight, head.fc.bias"),
        ("pooled + torch.rand(1)", "two calls in evaluation give different descriptors"),
        ("pooled - pooled.mean(0)", "with the other images of its batch"),
        ("pooled.sqare()", "line 15: AttributeError: 'Tensor' object has no attribute 'sqare'"),
        ("pooled.tolist()", "the head gives list, not a tensor"),
    ],
)
def test_a_head(returned: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, text = checked(tmp_path, capsys, "heads/mine.py", HEAD.replace("RETURN", returned))
    assert said in text
    assert code == bool(said)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("(similarity * (1 - 2 * same.float())).mean()", ""),
        ("1 - similarity[same].mean()", "a batch without positives: the loss is nan"),
        ("-similarity[same].max()", "value of a batch without positives: line 15: RuntimeError: max()"),
        ("similarity", "a tensor of shape (14, 14), not one floating-point number"),
        ("similarity.detach().mean()", "a batch: no gradient: the loss does not depend on the descriptors"),
        ("2 * similarity.mean().detach() - similarity.mean()", "the gradient is not that of the value"),
    ],
)
def test_a_loss(returned: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    # Outside a folder of losses it is known by what `build` takes.
    code, text = checked(tmp_path, capsys, "mine.py", LOSS.replace("RETURN", returned))
    assert said in text
    assert code == bool(said)


def test_a_loss_that_counts_in_an_attribute(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    counts = LOSS.replace("RETURN", "self.seen * similarity.mean()").replace(
        "        same =", "        self.seen += 1\n        same ="
    )
    code, text = checked(tmp_path, capsys, "mine.py", counts)
    assert code == 1
    assert "after saving and loading it gives other values: keep what is learned or counted" in text


@pytest.mark.parametrize(
    ("change", "labels", "said"),
    [
        ("", "labels", ""),
        (
            "boxes[2] = [40, 0, 50, 10]",
            "labels",
            "1 boxes hold no pixel of their image; first: (40, 0, 50, 10)",
        ),
        ("labels = labels[:5]", "labels", "6 paths but 5 labels"),
        ("", "None", "labels"),
        ("labels = ['a'] * 6", "labels", "the training part has 1 class"),
        ("", "list('abcdef')", "no query of the evaluation part has a positive"),
        (
            "boxes[0, 2:] = np.random.uniform(5, 9, 2)",
            "list('aabbcc')",
            "two conversions of the same files differ",
        ),
    ],
)
def test_a_dataset(change: str, labels: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    text = DATASET.replace("CHANGE", change or "pass").replace("LABELS", labels)
    code, text = checked(tmp_path, capsys, "owls.py", text)
    assert said in text
    assert code == bool(said)


METRIC = """
import numpy as np

def build(*, k):
    return lambda ranks: np.array([sum(row < k) / n FALLBACK for row, n in
        ((ranks.row(i), ranks.n_positive[i]) for i in range(len(ranks)))], dtype=float)
"""


def test_a_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    whole = METRIC.replace("FALLBACK", "if n else np.nan")
    code, text = checked(tmp_path, capsys, "metrics/mine.py", whole)
    assert (code, "needs a value for: k. Give a value to check it with: --set NAME=VALUE" in text) == (
        1,
        True,
    )
    assert checked(tmp_path, capsys, "metrics/mine.py", whole, "--set", "k=60")[0] == 0
    zero = METRIC.replace("FALLBACK", "if n else 0.0")
    code, text = checked(tmp_path, capsys, "mine.py", zero, "--set", "k=60", "--kind", "metric")
    assert (code, "a query without positives must give NaN" in text) == (1, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def build(widths:\n    pass\n", "line 1: '(' was never closed"),
        (
            "import torch\nimport nothing_like_it\n",
            "cannot be imported. line 2: No module named 'nothing_like_it'",
        ),
        ("x = 1\n\ny = 1 / 0\n", "line 3: ZeroDivisionError: division by zero: `y = 1 / 0`"),
        ("raise SystemExit\n", "line 1: SystemExit"),
        ("x = 1\n", "a part needs one public function called 'build'"),
    ],
)
def test_a_file_that_cannot_be_used(text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, found = checked(tmp_path, capsys, "heads/mine.py", text)
    assert code == 1
    assert said in found


def test_a_taken_name_and_what_nobody_can_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, text = checked(tmp_path, capsys, "heads/gem.py", HEAD)
    assert (code, "the name is taken: there is a head called 'gem'" in text) == (1, True)
    code, text = checked(tmp_path, capsys, "mine.py", "def build(*, k=1):\n    pass\n")
    assert (code, "which kind of part is it?" in text) == (2, True)
    assert run(["check", str(tmp_path / "nothing.py")]) == 2


TRACK = "name: mine\ntrain_set: SET\nimages_seen: 64\nsystems: [SYSTEM]\nsuite: minitown\n"


def test_a_track(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    wrong = TRACK.replace("SET", "minitown-claen").replace("SYSTEM", "tiny_gem_vitt")
    code, text = checked(tmp_path, capsys, "mine.yaml", wrong)
    assert code == 1
    assert "no dataset called 'minitown-claen'. Did you mean 'minitown-clean'" in text
    assert "no system called 'tiny_gem_vitt'. Did you mean 'tiny_gem_vit'" in text
    code, text = checked(tmp_path, capsys, "mine.yaml", TRACK + "imags: 1\n")
    assert (code, "unknown key 'imags'" in text) == (1, True)


@pytest.mark.parametrize("kind", ["head", "loss", "dataset", "track"])
def test_what_new_writes_keeps_its_contract_and_is_never_overwritten(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(["new", kind, "my-own", "--out", str(tmp_path)]) == 0
    file = Path(capsys.readouterr().out.strip())
    assert run(["check", str(file)]) == 0, capsys.readouterr()
    before = file.read_bytes()
    assert run(["new", kind, "my-own", "--out", str(tmp_path)]) == 2
    assert file.read_bytes() == before


def test_new_refuses_what_cannot_be_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("Mine", "1st", "../mine", "gem"):
        assert run(["new", "head", name, "--out", str(tmp_path)]) == 2
    assert "already a head called 'gem'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
