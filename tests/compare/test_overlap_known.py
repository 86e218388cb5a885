"""What tables say of overlap: measured or declared, the share of queries that are new, numbers without the others."""

import json
from pathlib import Path

import numpy as np
import pytest

from vitret.compare.arena import compare_rows
from vitret.compare.overlap.affected import affected_by, read_affected, said_of
from vitret.compare.overlap.known import known, read_measured, record_problems, write_measured
from vitret.compare.results import read_result
from vitret.compare.tables import read_all, tables
from vitret.core.errors import DataError, UserError
from vitret.core.pairs import NO, PHOTOGRAPH, PLACE, UNCLEAR, YES
from vitret.core.records import Ranks
from vitret.core.store import digest
from vitret.pages import leaderboard
from vitret.pages.captions import title
from vitret.pages.verdict import against, conclusion, questions

FACTS = """facts:
  - {train: town, evaluation: east, affected: 3, queries: 4, basis: literature, source: a page}
  - {train: town, evaluation: west, affected: 0, basis: construction, source: a page}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "overlap.yaml").write_text(FACTS)
    monkeypatch.setenv("VITRET_CONFIGS", str(tmp_path / "configs"))
    return tmp_path / "results"


def _evidence(*pairs: tuple[str, list[int], str, str | None], manifest: str = "m") -> dict:
    """An audit of town and east (four queries); pairs are (training image, queries, proposal, verdict)."""
    return {
        "train": {"name": "town", "digest": "t", "images": 9},
        "evaluation": {"name": "east", "digest": manifest, "queries": 4, "positives": 7},
        "descriptors": [{"name": "a", "identity": "x", "protocol": "p"}],
        "settings": {"neighbours": 5},
        "compared": 50,
        "code": {"commit": "c"},
        "pairs": [
            {
                "id": name,
                "train": name,
                "image": "i.jpg",
                "role": "query",
                "queries": queries,
                "proposal": proposal,
                "verdict": verdict,
                "parts": {},
            }
            for name, queries, proposal, verdict in pairs
        ],
    }


def _status(root: Path, *paths: Path) -> tuple[str, str]:
    found = known(root).status([read_result(path) for path in paths])
    return found.word, found.cell


def test_a_measurement_counts_more_than_a_declared_fact_and_only_for_its_bytes(write, root: Path):
    row, other = write("a", [0] * 4), write("a", [0] * 4, manifest="n", seed=1)
    assert _status(root, row) == ("known from literature", "25 / 100")
    write_measured(root, _evidence(("a.jpg", [1], PLACE, None), ("b.jpg", [2], UNCLEAR, None)))
    assert _status(root, row) == ("measured", "75 / 100")
    assert _status(root, other) == ("known from literature", "25 / 100")


def test_of_two_sets_the_lesser_knowledge_speaks_and_their_shares_are_averaged(write, root: Path):
    east, west, far = (write("a", [0] * 4, eval_set=name) for name in ("east", "west", "far"))
    assert _status(root, east, west) == ("known from literature", "62 / 100")
    assert _status(root, east, west, far) == ("unknown", "? / 100")


def test_a_network_that_learned_nothing_and_a_row_without_the_images_have_no_overlap(write, root: Path):
    write_measured(root, _evidence(("a.jpg", [0], PLACE, YES), ("b.jpg", [1, 2], PLACE, NO)))
    assert _status(root, write("frozen", [0] * 4, trained_on="")) == ("nothing trained", "100 / 100")
    assert _status(root, write("a", [0] * 4)) == ("measured", "75 / 100")
    assert _status(root, write("a", [0] * 4, left_out=digest(["a.jpg"]))) == ("measured", "100 / 100")
    assert _status(root, write("a", [0] * 4, left_out="another list")) == ("unknown", "? / 100")


def test_nothing_is_known_of_what_pretrained_weights_have_seen(write, root: Path):
    row = read_result(write("a", [0] * 4))
    row.recipe.system.model.backbone.options["pretrained"] = True
    assert known(root).status([row]).cell == "25 / ?"


def test_a_record_holds_what_counts_and_no_more(root: Path):
    path = write_measured(root, _evidence(("a.jpg", [0], PHOTOGRAPH, None), ("b.jpg", [1], UNCLEAR, None)))
    assert path == root / "overlap" / "town--east.json"
    found = read_measured(path)
    assert [pair.train for pair in found.pairs] == ["a.jpg"]
    assert (found.judged, found.proposed) == (False, {PHOTOGRAPH: 1, PLACE: 0})
    assert read_affected(path).rows.tolist() == [0]
    path.write_text(json.dumps({"train": {}}))
    with pytest.raises(DataError, match="no record of overlap"):
        read_measured(path)


def test_a_record_with_proposals_that_are_not_judged_counts_them_and_says_how_many(write, root: Path):
    row = write("a", [0] * 4)
    pairs = [("a.jpg", [0], PLACE, None), ("b.jpg", [1], UNCLEAR, NO), ("c.jpg", [2], PHOTOGRAPH, YES)]
    path = write_measured(root, _evidence(*pairs))
    found = read_measured(path)
    assert [pair.train for pair in found.pairs] == ["a.jpg", "c.jpg"]
    assert (found.judged, found.unjudged) == (False, 1)
    assert _status(root, row) == ("measured", "50 / 100")
    (said,) = said_of(affected_by("auto", root), [read_result(row)])
    assert said == (
        f"{path}: 2 of 4 queries of east, which overlap with town (1 proposal not judged), are left out below."
    )


def test_a_record_is_judged_where_every_proposal_is(root: Path):
    found = read_measured(write_measured(root, _evidence(("a", [0], PLACE, NO), ("b", [1], UNCLEAR, None))))
    assert (found.judged, found.unjudged, found.pairs) == (True, 0, ())
    assert not read_measured(write_measured(root, _evidence(("b", [1], UNCLEAR, None)))).judged


def test_a_record_that_names_a_query_beyond_its_set_is_found(root: Path):
    path = write_measured(root, _evidence(("a", [1], PLACE, YES)))
    assert list(record_problems(root)) == []
    record = json.loads(path.read_text())
    record["pairs"][0]["queries"] = [9]
    path.write_text(json.dumps(record))
    (said,) = record_problems(root)
    assert said.startswith(f"{path}: names query 9 of 4.")
    path.write_text('{"judged": tr')
    (said,) = record_problems(root)
    assert said.startswith(f"{path}: ")


def test_the_committed_records_are_valid():
    (path,) = (Path(__file__).parents[2] / "results" / "overlap").glob("*.json")
    found = read_measured(path)
    assert (found.judged, found.unjudged, found.clean) == (True, 0, 1.0)


def test_tables_are_made_anew_without_the_affected_queries(write, root: Path):
    # One positive a query: average precision 1 at rank 0, 1/4 at rank 1, 1/20 at rank 9.
    write("a", [0, 0, 1, 1])
    write("b", [1, 1, 0, 9], distractors=None)
    write_measured(root, _evidence(("x.jpg", [0, 1], PLACE, None)))
    (whole,) = tables(read_all(root))
    (rest,) = tables(read_all(root), without=affected_by("auto", root))
    assert [row.system for row in whole.rows] == ["a", "b"]
    assert [(row.system, row.primary) for row in rest.rows] == [
        ("b", pytest.approx((1 + 0.05) / 2)),
        ("a", pytest.approx(0.25)),
    ]
    assert rest.dropped == (("east", 2),)
    assert len(rest.groups[0][1].numbers) == 2
    text = leaderboard.render(root, "md", without="auto")
    assert title(whole) in text
    assert "without 2 queries of east" in text
    assert "| measured | 50 / 100 |" in text


def test_a_leaderboard_says_what_a_file_leaves_out(write, root: Path):
    write("a", [0, 0, 1, 1])
    path = write_measured(root, _evidence(("x.jpg", [0], PLACE, NO)))
    said = []
    text = leaderboard.render(root, "md", without="auto", say=said.append)
    assert text == leaderboard.render(root, "md")
    assert said == [f"{path}: no query of east overlaps with town; the numbers stay as they are."]


def test_where_every_query_is_affected_no_number_is_left(write, root: Path):
    write("a", [0] * 4)
    write_measured(root, _evidence(("x.jpg", [0, 1, 2, 3], PLACE, None)))
    (rest,) = tables(read_all(root), without=affected_by("auto", root))
    assert rest.rows[0].cells == {}
    assert against(rest.rows[0]) == "no query left"
    assert questions(rest) == ["No query of east is left: all overlap with the training set."]
    assert conclusion(rest) == "No query of east is left."


@pytest.mark.parametrize("form", leaderboard.RENDERERS)
def test_every_form_shows_a_table_without_queries(form: str, write, root: Path):
    write("a", [0] * 4)
    write("b", [1] * 4)
    write_measured(root, _evidence(("x.jpg", [0, 1, 2, 3], PLACE, None)))
    text = leaderboard.render(root, form, without="auto")
    assert "0 queries" not in text
    assert "incomplete" not in text.replace('class="incomplete"', "")
    assert ("No query of east is left" in text) == (form not in ("csv", "json"))


def test_two_rows_are_compared_with_and_without(write, root: Path):
    a, b = write("a", [0, 0, 1, 1]), write("b", [1, 1, 0, 0])
    write_measured(root, _evidence(("x.jpg", [0, 1], PLACE, None)))
    found = compare_rows(a, b, without=affected_by("auto", root))
    (whole,) = (cells for cells in found.cells if cells[0] == "mAP (hard)")
    (rest,) = (cells for cells in found.without if cells[0] == "mAP (hard)")
    assert whole[1:4] == ("62.5", "62.5", "+0.0")
    assert rest[1:4] == ("25.0", "100.0", "+75.0")
    assert any("2 of 4 queries of east" in words for words in found.words)


@pytest.fixture
def level_without_queries(write, root: Path) -> list[Path]:
    """Two rows of which the record of overlap drops every query that has a medium positive, and no other."""
    rows = []
    for system, first in (("a", 0), ("b", 1)):
        ranks = {
            "medium": Ranks.of([[first], [first], [], []], [1, 1, 0, 0]),
            "hard": Ranks.of([[first]] * 4, [1] * 4),
        }
        rows.append(write(system, ranks))
    write_measured(root, _evidence(("x.jpg", [0, 1], PLACE, None)))
    return rows


def test_a_level_without_queries_has_no_numbers_and_leaves_the_others(level_without_queries, root: Path):
    found = compare_rows(*level_without_queries, without=affected_by("auto", root))
    whole, rest = ({cells[0]: cells[1:] for cells in table} for table in (found.cells, found.without))
    assert whole["mAP (medium)"][:2] == ("100.0", "25.0")
    assert rest["mAP (medium)"] == ("–",) * 6
    assert rest["mAP (hard)"][:2] == ("100.0", "25.0")


def test_rows_are_ranked_where_only_a_level_beside_the_primary_number_has_no_query_left(
    level_without_queries, root: Path
):
    (rest,) = tables(read_all(root), without=affected_by("auto", root))
    assert ("east", "mAP (medium)") not in rest.rows[0].cells
    assert [(row.system, row.primary, row.ranks) for row in rest.rows] == [
        ("a", 1.0, (1, 2)),
        ("b", 0.25, (1, 2)),
    ]
    assert rest.rows[1].against_best is not None


def test_what_does_not_fit_is_said(write, root: Path, tmp_path: Path):
    a, b = write("a", [0] * 4), write("b", [1] * 4)
    with pytest.raises(DataError, match="no overlap was recorded"):
        affected_by("auto", root)
    with pytest.raises(DataError, match="is not there"):
        affected_by(str(tmp_path / "none.json"), root)
    other = {**_evidence(("x.jpg", [0], PLACE, None)), "train": {"name": "city", "digest": "t", "images": 9}}
    (tmp_path / "other.json").write_text(json.dumps(other))
    with pytest.raises(UserError, match="no row here is of"):
        compare_rows(a, b, without=affected_by(str(tmp_path / "other.json"), root))
    write_measured(root, _evidence(("x.jpg", [0], PLACE, None), manifest="n"))
    found = compare_rows(a, b, without=affected_by("auto", root))
    assert found.without == ()
    assert any("other bytes of east" in words for words in found.words)


def _damaged(path: Path, where: str, value: object) -> None:
    """Put a value at a dotted place of a JSON file."""
    content = json.loads(path.read_text())
    place = content
    *parents, leaf = (int(key) if key.isdigit() else key for key in where.split("."))
    for key in parents:
        place = place[key]
    place[leaf] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("evaluation.queries", "many"),
        ("train", "town"),
        ("pairs.0.queries", "all"),
        ("pairs.0.queries", [0, "1"]),
        ("pairs.0.queries", [-1]),
        ("pairs.0.id", ["x.jpg"]),
        ("pairs.0.verdict", "maybe"),
        ("pairs.0.proposal", "perhaps"),
    ],
)
def test_a_damaged_record_is_refused_with_the_place_and_the_command(root: Path, where: str, value: object):
    path = write_measured(root, _evidence(("x.jpg", [0], PLACE, None)))
    _damaged(path, where, value)
    for read in (read_affected, read_measured):
        with pytest.raises(UserError) as caught:
            read(path)
        said = str(caught.value)
        assert said.startswith(f"{path}: {where}")
        assert said.endswith("Write it again: vitret overlap TRAINSET EVALSET --record")


def test_a_record_about_more_queries_than_there_are_is_refused(root: Path):
    path = write_measured(root, _evidence(("x.jpg", [0], PLACE, None)))
    _damaged(path, "pairs.0.queries", [4])
    with pytest.raises(UserError, match=r"names query 4 of 4\. Write it again: .* --record"):
        read_affected(path)


def test_damaged_verdicts_of_the_page_are_saved_again(tmp_path: Path):
    evidence = _evidence(("x.jpg", [0], PLACE, None))
    file = tmp_path / "verdicts.json"
    about = {key: evidence[key] for key in ("train", "evaluation", "pairs")}
    file.write_text(json.dumps({**about, "evaluation": {**evidence["evaluation"], "queries": None}}))
    with pytest.raises(UserError, match=r"verdicts\.json: evaluation\.queries: .* Save the verdicts again"):
        read_affected(file)


def test_the_shipped_facts_are_readable_and_say_where_they_are_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("VITRET_CONFIGS", raising=False)
    facts = known(tmp_path).facts
    assert np.isclose(facts["gldv2-clean", "roxford5k"].clean, 32 / 70)
    assert all(fact.source for fact in facts.values())
