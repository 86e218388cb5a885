import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import miniatures
import pytest
from official_server import OfficialServer

from vitret.core import plugins
from vitret.core.errors import UserError
from vitret.data import layout
from vitret.data.card import Card, Shards
from vitret.data.prepare.disk_budget import size_in_bytes
from vitret.data.prepare.plan import make_plan, plan_request
from vitret.data.prepare.request import Choices, Request, choose
from vitret.data.prepare.run import prepare


def card(name: str) -> Card:
    found: Card = plugins.load("datasets", name).CARD
    return found


def test_a_plan_names_bytes_disk_files_and_terms_and_touches_nothing(tmp_path: Path) -> None:
    plan = make_plan(card("roxford5k"), tmp_path / "data")
    assert plan.fetch_bytes == 1_938_238_004 + 149_871
    assert [file.exact for file in plan.files] == [True, True]
    assert "VGG Terms of Access" in plan.terms
    assert not plan.terms_accepted
    text = "\n".join(plan.lines())
    assert "1.94 GB" in text
    assert "hash: third party" in text
    assert list(tmp_path.iterdir()) == []


def test_a_plan_says_what_it_does_not_know(tmp_path: Path) -> None:
    def words(name: str, *, shards: str = "") -> tuple[str, str]:
        choices = Choices(shards=shards or None)
        _, fetch, disk, *_ = make_plan(card(name), tmp_path, choices=choices).lines()
        return fetch, disk.partition(" needed, ")[0]

    assert words("sfm120k") == ("  fetch    2 files of unknown size", "  disk     70 GB")
    assert words("gldv2-clean", shards="0-9")[0] == "  fetch    10 GB and 2 files of unknown size"
    fetch, disk = words("minitown-clean")
    assert fetch == "  fetch    nothing"
    assert re.fullmatch("  disk     [0-9.]+ [kMGT]B free", disk)


def test_a_plan_of_some_shards_needs_their_share(tmp_path: Path) -> None:
    plan = make_plan(card("gldv2-clean"), tmp_path, choices=Choices(shards="0-9"))
    assert plan.shards == "10 of 500 (train)"
    assert plan.fetch_bytes == 10 * 10**9
    # Their share, and the archive that is being unpacked.
    assert plan.disk_needed == card("gldv2-clean").needs_disk // 50 + 10**9
    assert plan.sizes_unknown == 2


def test_shares_of_two_series_are_weighed_by_bytes(tmp_path: Path) -> None:
    plan = make_plan(card("gldv2-retrieval"), tmp_path, choices=Choices(shards="0-9"))
    assert plan.fetch_bytes == 10 * 850_000_000 + 20 * 500_000_000  # 18.5 of 95 GB
    assert plan.disk_needed == 100_000_000_000 * 185 // 950 + 850_000_000
    whole = make_plan(card("gldv2-retrieval"), tmp_path)
    assert whole.disk_needed == card("gldv2-retrieval").needs_disk


def test_a_plan_says_what_a_bound_on_disk_brings(tmp_path: Path) -> None:
    plan = make_plan(card("gldv2-retrieval"), tmp_path, choices=Choices(max_disk=30 * 10**9))
    # All 20 of test; an index archive takes 0.85 GB and twice that while it is unpacked: 10 + 0.85 n + 0.85 ≤ 30.
    assert plan.shards == "22 of 100 (index), 20 of 20 (test), about what 30 GB hold"
    assert plan.disk_needed <= 30 * 10**9
    kept = make_plan(
        card("gldv2-retrieval"), tmp_path, choices=Choices(max_disk=30 * 10**9, keep_downloads=True)
    )
    assert kept.shards.startswith("5 of 100 (index), 20 of 20 (test)")  # 20 + 1.7 n ≤ 30.
    little = make_plan(card("gldv2-retrieval"), tmp_path, choices=Choices(max_disk=3 * 10**9))
    assert little.shards.startswith("1 of 100 (index), 1 of 20 (test)")
    # Of the clean part 42 per cent stay: 0.42 n + 2 ≤ 10 + 0.42.
    clean = make_plan(card("gldv2-clean"), tmp_path, choices=Choices(max_disk=10 * 10**9))
    assert clean.shards.startswith("20 of 500")
    with pytest.raises(UserError, match=r"need 2,700,000,000 bytes.*--max-disk 3GB"):
        make_plan(card("gldv2-retrieval"), tmp_path, choices=Choices(max_disk=2 * 10**9))


@pytest.mark.parametrize("cut", [{"max_disk": 10**9}, {"shards": "1"}])
def test_a_set_that_is_no_series_cannot_be_had_in_part(cut: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sop is no series of archives.*Leave --"):
        make_plan(card("sop"), tmp_path, choices=Choices(**cut))


def test_adopting_a_tree_fetches_nothing_and_needs_no_room(tmp_path: Path) -> None:
    plan = plan_request(Request("inshop", data_root=tmp_path / "data", source=tmp_path))
    assert (plan.files, plan.fetch_bytes, plan.disk_needed, plan.by_hand) == ((), 0, 0, "")
    assert "agreement" in make_plan(card("inshop"), tmp_path).by_hand
    with pytest.raises(UserError, match="nowhere: there is no such folder"):
        plan_request(Request("inshop", data_root=tmp_path / "data", source=tmp_path / "nowhere"))
    with pytest.raises(UserError, match="minitown-sfm' is synthetic"):
        plan_request(Request("minitown-sfm", data_root=tmp_path / "data", source=tmp_path))


def test_what_is_unpacked_from_a_users_archives_needs_room(tmp_path: Path) -> None:
    """The archive stays in the user's folder: of 6.3 GB for both, 3.08 GB are there already."""
    (tmp_path / "Stanford_Online_Products.zip").touch()
    plan = plan_request(Request("sop", data_root=tmp_path / "data", source=tmp_path))
    assert (plan.fetch_bytes, plan.disk_needed) == (0, 6_300_000_000 - 3_083_860_082)


def test_the_plan_of_local_shards_counts_those_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for n in range(5):
        (tmp_path / "train" / f"images_{n:03d}.tar").touch()
    request = Request("gldv2-clean", data_root=tmp_path / "data", source=tmp_path)
    plan = plan_request(request)
    assert (plan.shards, plan.fetch_bytes) == ("5 of 500 (train)", 0)
    assert plan.disk_needed == card("gldv2-clean").needs_disk // 100
    assert plan_request(replace(request, choices=Choices(packed=True))).disk_needed == 0


@pytest.mark.parametrize("text", ["a", "1-", "-3", "5-2x", "0", "1,9"])
def test_shards_that_are_not_there(text: str) -> None:
    series = Shards(name="{n}.tar", url="http://h/{n}.tar", first=1, count=4, bytes_each=1)
    if text == "1-":  # An open range is one shard.
        assert choose(series, text) == [1]
        return
    with pytest.raises(UserError, match="--shards"):
        choose(series, text)


def test_sizes_as_people_write_them() -> None:
    assert [size_in_bytes(text) for text in ("200GB", "1.5 tb", "12")] == [200 * 10**9, 15 * 10**11, 12]
    with pytest.raises(UserError, match="200GB"):
        size_in_bytes("much")


def test_the_real_card_takes_some_shards_from_a_mirror(
    tmp_path: Path, official_server: OfficialServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing replaced: the card as it is, asked for three of its five hundred shards."""
    monkeypatch.setenv("VITRET_MIRROR", official_server.mirror)
    official_server.serve(miniatures.build("gldv2-clean", tmp_path / "miniature").published)
    choices = Choices(shards="0-2")
    for _ in range(2):  # The second time it is there.
        folder = prepare(
            Request("gldv2-clean", data_root=tmp_path / "data", accept_terms=True, choices=choices, workers=0)
        )
    assert folder == tmp_path / "data" / "gldv2-clean"
    assert len(layout.load_train(tmp_path / "data", "gldv2-clean").images) == 39
    with pytest.raises(UserError, match=r"other shards .*train_images_000\.tar.*--replace"):
        prepare(Request("gldv2-clean", data_root=tmp_path / "data", choices=Choices(shards="1,2"), workers=0))


def test_an_exclusion_list_is_an_option_that_must_be_given(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exclude"):
        prepare(Request("rgldv2-clean", data_root=tmp_path / "data", accept_terms=True))


def test_an_exclusion_list_is_recognised_by_its_bytes(
    tmp_path: Path, official_server: OfficialServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITRET_MIRROR", official_server.mirror)
    official_server.serve(miniatures.build("rgldv2-clean", tmp_path / "miniature").published)

    def run(exclude: Path, *, replace: bool = False) -> int:
        prepare(
            Request(
                "rgldv2-clean",
                data_root=tmp_path / "data",
                accept_terms=True,
                options={"exclude": str(exclude)},
                choices=Choices(shards="0-2"),
                replace=replace,
                workers=0,
            )
        )
        return layout.load_train(tmp_path / "data", "rgldv2-clean").classes

    first, moved = tmp_path / "list.txt", tmp_path / "same.txt"
    for path in (first, moved):
        path.write_text("27\n")
    assert run(first) == 3
    stated = layout.load_manifest(tmp_path / "data", "rgldv2-clean")["source"]["options"]
    assert stated == {"exclude": {"sha256": hashlib.sha256(b"27\n").hexdigest()}}
    assert run(moved) == 3  # Nothing to do: it is the same list.
    moved.write_text("1\n27\n")
    with pytest.raises(UserError, match="other options"):
        run(moved)
    assert run(moved, replace=True) == 2
    with pytest.raises(UserError, match="there is no such file"):
        run(tmp_path / "absent.txt")
