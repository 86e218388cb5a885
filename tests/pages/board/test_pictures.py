"""Pictures beside the board: two untrained networks on patterns, and what may not be shown."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from page_checks import Element, faults, parse
from PIL import Image
from small_bench import draw, make_places, write_categories

from vitret.compare.asked import Places, Request
from vitret.compare.bench import bench
from vitret.compare.machine import Machine
from vitret.compare.results import per_query, result_files
from vitret.compare.tables import read_all, tables
from vitret.compare.work import resolve
from vitret.core.errors import EmptyError, UserError
from vitret.data.layout.read import load_eval
from vitret.data.layout.write import LayoutWriter
from vitret.pages.board.pictures import from_worst_to_best, most_changed, write_pictures
from vitret.pages.report import write_bundle
from vitret.pages.thumbnails import OUTLINE, small_jpeg

CPU = Machine(device=torch.device("cpu"), precision="fp32", workers=1)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders of a bench that measured two networks."""
    tmp_path = tmp_path_factory.mktemp("measured")
    found = make_places(tmp_path / "places", track="none", suite="plain")
    system = (found.configs / "systems" / "frozen.yaml").read_text()
    (found.configs / "systems" / "other.yaml").write_text(
        system.replace("frozen\n", "other\n", 1).replace("Frozen", "Other").replace("head: gem", "head: cls")
    )
    (found.suites / "plain.yaml").write_text(
        "name: plain\nsets: [test]\nlevels: [all]\nmetrics: [mAP]\nprimary: mAP\nprotocol: {size: 32, crop: none}\n"
    )
    images = draw(tmp_path / "drawn", patterns=4, views=3)
    rng = np.random.default_rng(1)
    for path in images:  # so much noise that no network finds everything
        pixels = np.asarray(Image.open(path)) // 4
        Image.fromarray((pixels + rng.integers(0, 190, pixels.shape)).astype(np.uint8)).save(path)
    with LayoutWriter(found.data, "test", workers=1) as writer:
        write_categories(writer, images, views=3)
    work = resolve(found, Request(train_set="none", systems=["frozen", "other"], seeds=1))
    bench(found, work, machine=CPU, command="vitret bench", say=lambda _: None)
    return tmp_path / "places"


@pytest.fixture
def places(measured: Path, tmp_path: Path) -> Places:
    root = shutil.copytree(measured, tmp_path / "places", symlinks=True)
    return Places(**{name: root / name for name in ("home", "data", "results", "configs", "suites")})


def pictured(places: Places, out: Path, said: list[str]) -> Path:
    """The bundle with its pictures; the page of the one set."""
    found = tables(read_all(places.results))
    pictures, pages = write_pictures(
        found, ["test"], out, places=places, machine=CPU, say=said.append, maps=True
    )
    write_bundle(found, places.results, out, home=places.home, pictures=pictures)
    page, *maps = pages
    assert len(maps) == 2
    return page


def links(page: Path) -> set[str]:
    """What a page names beside itself; everything else on it must be without fault."""
    found = faults(page.read_text(encoding="utf-8"))
    assert all("asks the network for " in fault for fault in found), found
    return {fault.partition("asks the network for ")[2] for fault in found}


@pytest.mark.slow
def test_pages_show_what_rows_find_and_link_each_other(places: Places, tmp_path: Path):
    said: list[str] = []
    page = pictured(places, tmp_path / "one", said)
    assert said == []
    maps = sorted(page.parent.glob("*-maps.html"))
    # One of the two heads is gem, the other reads the class token.
    assert sorted("no attention is drawn" in one.read_text() for one in maps) == [False, True]
    assert all("rank 1: " in one.read_text() for one in maps)
    assert {one.name for one in maps} <= links(page)
    for one in (page, tmp_path / "one" / "index.html", *maps):
        assert links(one)
        for link in links(one):
            file, _, anchor = link.partition("#")
            assert (one.parent / file).is_file(), link
            assert f'id="{anchor}"' in (one.parent / file).read_text(encoding="utf-8") if anchor else True
    assert '"pictures":{"0-1":' in (tmp_path / "one" / "index.html").read_text(encoding="utf-8")
    _agrees_with_the_ranks(places, parse(page.read_text(encoding="utf-8")))
    before = {path: path.read_bytes() for path in (tmp_path / "one").rglob("*") if path.is_file()}
    pictured(places, tmp_path / "one", said)
    assert {path: path.read_bytes() for path in before} == before


def _agrees_with_the_ranks(places: Places, top: Element) -> None:
    """Each strip is a query's ranking: its frames follow from the labels, and its AP from its frames."""
    evalset = load_eval(places.data, "test")
    values = {path.parts[-3]: per_query(path, "mAP") for path in result_files(places.results)}
    strips = 0
    for query in (one for one in top.walk() if one.attributes.get("class") == "query"):
        asked = int(
            next(one for one in query.walk() if one.tag == "img").attributes["alt"].removeprefix("query ")
        )
        positive = evalset.truth.judgements["positive"].row(asked).tolist()
        for head, strip in zip(
            [one for one in query.walk() if one.tag == "h3"],
            [one for one in query.walk() if one.tag == "ol"],
            strict=True,
        ):
            shown = [one.attributes["alt"] for one in strip.walk() if one.tag == "img"]
            rows = [int(words.rpartition(" ")[2]) for words in shown]
            assert asked not in rows
            assert len(set(rows)) == 10
            assert ["positive" in words for words in shown] == [row in positive for row in rows]
            system = "frozen" if "Frozen" in head.text else "other"
            ranks = [rank for rank, row in enumerate(rows) if row in positive]
            if len(ranks) == len(positive):
                sums = [
                    ((n / rank if rank else 1.0) + (n + 1) / (rank + 1)) / 2 for n, rank in enumerate(ranks)
                ]
                assert values[system][asked] == pytest.approx(sum(sums) / len(positive))
            strips += 1
    assert strips >= 2 * 5


def test_only_what_may_be_passed_on_is_shown(places: Places, tmp_path: Path):
    found = tables(read_all(places.results))
    card = places.data / "test" / "card.json"
    facts = json.loads(card.read_text(encoding="utf-8"))

    def write() -> None:
        write_pictures(found, ["test"], tmp_path / "out", places=places, machine=CPU, say=said.append)

    said: list[str] = []
    card.write_text(json.dumps({**facts, "licence": {"text": "For research.", "redistribution": False}}))
    with pytest.raises(UserError, match=r"--panels test: its terms do not allow .*For research"):
        write()
    card.write_text(json.dumps(facts))
    for run in (places.home / "runs").iterdir():
        (run / "checkpoint.safetensors").write_bytes(b"other weights")
    with pytest.raises(EmptyError, match="no row on these sets has its network on this machine"):
        write()
    left_out = {words.partition(" is left out")[0] for words in said}
    assert left_out == {"--panels test: Frozen", "--panels test: Other"}
    assert not (tmp_path / "out").exists()


def test_queries_without_a_value_are_never_chosen():
    values = np.array([np.nan, 0.5, 0.1, 1.0])
    assert from_worst_to_best(values, 5) == [2, 1, 3]
    assert most_changed(values, np.array([np.nan, 0.6, 0.1, 0.2]), 3) == [3, 1]


def test_a_box_is_drawn_where_it_is(tmp_path: Path):
    Image.new("RGB", (400, 200)).save(tmp_path / "a.png")
    data = small_jpeg(tmp_path / "a.png", box=(100, 50, 300, 150), side=100, outlined=True)
    found = np.asarray(Image.open(io.BytesIO(data))).astype(int)
    assert found.shape == (50, 100, 3)
    lines = np.abs(found - OUTLINE).sum(axis=2) < 200
    assert set(np.flatnonzero(lines[25])) == {25, 26, 74, 75}
    (tmp_path / "b.png").write_bytes(b"no image")
    assert small_jpeg(tmp_path / "b.png", box=None, side=100) == b""
