from pathlib import Path

import pytest

from vitret.compare.claims import Claim, ClaimsFile, Side, claims_files, judge_claims
from vitret.compare.tables import read_all
from vitret.core.config import file_names
from vitret.core.errors import UserError
from vitret.core.protocol import Protocol
from vitret.core.recipes import system_names

ROOT = Path(__file__).resolve().parents[2]


def file(*claims: tuple[str, str]) -> ClaimsFile:
    return ClaimsFile(
        title="A paper",
        source="somebody",
        claims=tuple(
            Claim(says=f"{a} beats {b}", read="Table 1", better=Side(system=a), worse=Side(system=b))
            for a, b in claims
        ),
    )


def test_a_claim_holds_falls_or_stays_open_by_the_paired_test(write, tmp_path: Path):
    write("right", [0] * 30)
    write("wrong", [4] * 30)
    write("alike", [0] * 29 + [1])
    asked = file(("right", "wrong"), ("wrong", "alike"), ("right", "alike"), ("right", "unmeasured"))
    tested, untested = judge_claims(asked, read_all(tmp_path / "results"))
    assert [one.verdict for one in tested] == ["holds", "the opposite", "not decided"]
    assert tested[0].means == pytest.approx(
        (1.0, 0.1)
    )  # one positive at 0-based rank 4: trapezoid AP is (0 + 1/5) / 2
    assert tested[0].test.difference == pytest.approx(0.9)
    assert [claim.worse.system for claim in untested] == ["unmeasured"]
    assert all(one.one_run for one in tested)


def test_seeds_are_counted_and_rows_under_another_budget_are_left_out(write, tmp_path: Path):
    for seed in (0, 1):
        write("a", [0] * 30, seed=seed)
    write("b", [3] * 30)
    write("b", [0] * 30, budget="own", images_seen=128)
    (one,), _ = judge_claims(file(("a", "b")), read_all(tmp_path / "results"))
    assert one.seeds == (2, 1)
    assert one.means[1] == pytest.approx(0.125)


@pytest.mark.parametrize("change", [{"images_seen": 640}, {"trained_on": "u"}, {"left_out": "0123456789"}])
def test_what_may_not_stand_in_one_table_decides_no_claim(write, tmp_path: Path, change):
    write("a", [0] * 30)
    write("b", [3] * 30, **change)
    assert judge_claims(file(("a", "b")), read_all(tmp_path / "results"))[0] == []
    write("b", [3] * 30, trained_on="")
    assert len(judge_claims(file(("a", "b")), read_all(tmp_path / "results"))[0]) == 1


def test_another_protocol_is_another_question(write, tmp_path: Path):
    write("a", [0] * 30)
    write("b", [3] * 30, protocol=Protocol(size=512))
    assert judge_claims(file(("a", "b")), read_all(tmp_path / "results"))[0] == []


def test_p_values_are_corrected_over_the_claims_of_the_file(write, tmp_path: Path):
    write("a", [0] * 28 + [3] * 2)
    write("b", [0] * 22 + [3] * 8)
    entries = read_all(tmp_path / "results")
    (alone,), _ = judge_claims(file(("a", "b")), entries)
    together, _ = judge_claims(file(("a", "b"), ("b", "a"), ("a", "a")), entries)
    assert together[0].test.p_value == pytest.approx(3 * alone.test.p_value)
    assert (together[0].test.low, together[0].test.high) == (alone.test.low, alone.test.high)


def test_the_claims_kept_here_name_systems_and_suites_that_exist():
    files = claims_files(ROOT / "results")
    assert files
    systems, suites = system_names(ROOT / "configs"), ["", *file_names(ROOT / "configs" / "suites")]
    for side in (side for one in files for claim in one.claims for side in (claim.better, claim.worse)):
        assert side.system.partition("+")[0] in systems
        assert side.suite in suites


def test_a_misspelt_key_is_named(tmp_path: Path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "x.yaml").write_text("titel: A\nsource: b\nclaims: []\n")
    with pytest.raises(UserError, match="Did you mean 'title'"):
        claims_files(tmp_path)
