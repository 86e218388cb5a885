from pathlib import Path

import pytest

from vitret.core import config
from vitret.core.config import (
    Strict,
    assign,
    file_names,
    location,
    named_file,
    parse_yaml,
    read_yaml,
    validate,
    yaml_files,
)
from vitret.core.errors import DataError, UserError


class Optimiser(Strict):
    lr: float = 0.1
    name: str = "sgd"


class Recipe(Strict):
    optimiser: Optimiser = Optimiser()
    size: int = 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("2E5", 2e5),
        ("-3.5e-2", -0.035),
        (".5", 0.5),
        ("12", 12),
        ("1_0", "1_0"),
        ("v1.2", "v1.2"),
    ],
)
def test_numbers_are_numbers(text: str, value: object):
    read = parse_yaml(f"x: {text}", "here")["x"]
    if text == "1_0":  # YAML 1.1 would make 10 of it; either reading is harmless, silence is not
        assert read in (10, "1_0")
    else:
        assert read == value
        assert type(read) is type(value)


def test_a_key_written_twice_is_refused_with_its_line():
    with pytest.raises(UserError, match=r"line 3: the key 'a' is written twice"):
        parse_yaml("a: 1\nb: 2\na: 3\n", "here")


def test_an_unknown_key_names_the_nearest_known_one():
    with pytest.raises(UserError, match=r"unknown key 'optimiser.lrr'. Did you mean 'lr'\?"):
        validate(Recipe, {"optimiser": {"lrr": 1}}, "r.yaml")


def test_all_problems_are_named_at_once():
    with pytest.raises(UserError) as caught:
        validate(Recipe, {"size": "wide", "optimiser": {"lr": "fast"}}, "r.yaml")
    assert "size" in str(caught.value)
    assert "optimiser.lr" in str(caught.value)


def test_assign_changes_one_value_and_not_its_argument():
    before = {"optimiser": {"lr": 0.1}, "losses": [{"name": "arcface"}]}
    after = assign(before, ["optimiser.lr=1e-4", "losses.0.margin=0.2"])
    assert after == {"optimiser": {"lr": 1e-4}, "losses": [{"name": "arcface", "margin": 0.2}]}
    assert before["optimiser"]["lr"] == 0.1


@pytest.mark.parametrize(
    "wrong", ["optimiser", "optimizer.lr=1", "losses.3.margin=1", "losses.x.margin=1", "=3"]
)
def test_assign_refuses_what_leads_nowhere(wrong: str):
    with pytest.raises(UserError, match="--set"):
        assign({"optimiser": {"lr": 0.1}, "losses": [{}]}, [wrong])


def test_reading_a_file_that_is_not_yaml_names_it(tmp_path: Path):
    path = tmp_path / "x.yaml"
    with pytest.raises(UserError, match="no such file"):
        read_yaml(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        read_yaml(path)
    path.write_text("- 1\n- 2\n")
    with pytest.raises(UserError, match="expected a mapping"):
        read_yaml(path)
    path.write_text("a: [1, 2\n")
    with pytest.raises(UserError, match=r"x\.yaml"):
        read_yaml(path)


def test_a_location_comes_from_flag_then_environment_then_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("VITRET_DATA", str(tmp_path))
    assert location("data", tmp_path / "flag").source == "--data"
    assert location("data").source == "VITRET_DATA"
    monkeypatch.delenv("VITRET_DATA")
    assert location("data").source == "default"
    assert location("data").path == location("home").path / "data"


def test_suites_are_those_of_the_configs_or_the_shipped_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("VITRET_SUITES", raising=False)
    monkeypatch.setenv("VITRET_CONFIGS", str(tmp_path))
    assert (location("suites").path / "landmarks.yaml").is_file()
    (tmp_path / "suites").mkdir()
    assert location("suites").path == tmp_path / "suites"


def test_files_are_found_in_subfolders_and_a_name_stands_once(tmp_path: Path):
    for folder in ("paper", "tiny"):
        (tmp_path / folder).mkdir()
    (tmp_path / "paper" / "dtop.yaml").touch()
    (tmp_path / "own.yaml").touch()
    assert yaml_files(tmp_path) == {
        "dtop": tmp_path / "paper" / "dtop.yaml",
        "own": tmp_path / "own.yaml",
    }
    (tmp_path / "tiny" / "own.yaml").touch()
    with pytest.raises(UserError, match=r"own\.yaml and .*tiny.own\.yaml have the same name"):
        named_file("system", tmp_path, "dtop")


def test_own_suites_are_still_read_where_they_were(tmp_path: Path):
    for folder in ("configs/suites", "benchmarks/suites", "other/suites"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "configs/suites/landmarks.yaml").touch()
    (tmp_path / "benchmarks/suites/mine.yaml").touch()
    assert file_names(tmp_path / "configs/suites") == ["landmarks", "mine"]
    assert named_file("suite", tmp_path / "configs/suites", "mine").parts[-3:-1] == ("benchmarks", "suites")
    assert file_names(tmp_path / "other/suites") == []


def test_a_named_file_is_found_by_name_or_path(tmp_path: Path):
    (tmp_path / "dtop.yaml").write_text("name: dtop\n")
    assert named_file("system", tmp_path, "dtop") == tmp_path / "dtop.yaml"
    assert named_file("system", Path("elsewhere"), str(tmp_path / "dtop.yaml")) == tmp_path / "dtop.yaml"
    with pytest.raises(UserError, match="Did you mean 'dtop'"):
        named_file("system", tmp_path, "dtpo")
    with pytest.raises(DataError, match="vitret env"):
        named_file("system", tmp_path / "nowhere", "dtop")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 2020-99-99", "month must be"),
        ("a: !!int ''", "not readable as YAML"),
        ("a: !!bool maybe", "not readable as YAML"),
        ("[" * 3000, "not readable as YAML"),
        ("a: &a [*a]", "more than 32 deep"),
        ("a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{f'*a{i - 1},' * 9}]\n" for i in range(1, 9)), "100,000 values"),
        ("b: &b {x: 1}\n" + "c: {<<: [" + "*b," * 60_000 + "]}", "values"),
        ("? [1]\n: 2", "unhashable"),
    ],
)  # fmt: skip
def test_yaml_that_cannot_be_read_is_one_short_line(tmp_path: Path, text: str, said: str):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=said) as error:
        config.read_yaml(tmp_path / "a.yaml")
    assert len(str(error.value)) < 400 + len(str(tmp_path))


def test_problems_beyond_a_screen_are_counted(tmp_path: Path):
    class One(config.Strict):
        a: int = 1

    with pytest.raises(UserError, match="And 992 more problems") as error:
        config.validate(One, {f"k{i}": i for i in range(1000)}, "here")
    assert len(str(error.value)) < 1000
