"""Two rows against each other, and protocols by their fingerprint."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from vitret.compare.groups import groups_beside
from vitret.compare.paired import paired_test
from vitret.compare.results import Result, per_query, read_result, result_files
from vitret.compare.standing import ONE_RUN
from vitret.core.config import file_names, named_file, read_yaml, validate, yaml_files
from vitret.core.errors import UserError, did_you_mean
from vitret.core.protocol import Protocol, Suite, differences


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two rows in words, and one line of cells a metric under `HEADS`."""

    HEADS: ClassVar = ("metric", "A", "B", "B−A", "interval", "p", "verdict")

    words: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]


def compare_rows(a: Path, b: Path) -> Comparison:
    """Both values of every shared metric, and the paired difference b − a with its interval and p.

    Raises:
        UserError: the rows may not be compared; the message names every switch that differs.
    """
    left, right = read_result(a), read_result(b)
    _require_comparable(left, right)
    words = [
        f"{name}  {row.model.title}, trained on {row.training.set}, seed {row.training.seed}"
        for name, row in (("A", left), ("B", right))
    ]
    if left.training.set != right.training.set or left.training.budget != right.training.budget:
        words.append("Their training differs in set or budget: this is no comparison of methods.")
    groups = groups_beside(a, left)
    words += [f"Queries: {groups.words(left.data.set)}.", ONE_RUN]
    cells = []
    for key in left.metrics:
        if key not in right.metrics:
            continue
        test = paired_test(per_query(b, key), per_query(a, key), groups.numbers)
        better = "B is better" if test.difference > 0 else "A is better"
        cells.append(
            (
                key,
                f"{100 * left.metrics[key].value:.1f}",
                f"{100 * right.metrics[key].value:.1f}",
                f"{100 * test.difference:+.1f}",
                f"[{100 * test.low:+.1f}, {100 * test.high:+.1f}]",
                f"{test.p_value:.4f}",
                better if test.separated else "tie",
            )
        )
    return Comparison(words=tuple(words), cells=tuple(cells))


def _require_comparable(left: Result, right: Result) -> None:
    apart = {
        f"{part}.{key}": values
        for part in ("protocol", "data")
        for key, values in differences(
            getattr(left, part).model_dump(mode="json"), getattr(right, part).model_dump(mode="json")
        ).items()
    }
    apart.pop("data.failed_images", None)
    if apart:
        listed = "; ".join(f"{key}: {was} / {now}" for key, (was, now) in apart.items())
        raise UserError(f"These rows may not be compared: {listed}.")


def read_suite(suites: Path, name: str) -> Suite:
    """A suite by its name or a preset's, every default of its re-ranker written out, as the fingerprint holds them."""
    known = name in file_names(suites) or name.endswith((".yaml", ".yml"))
    path = named_file("suite", suites, name if known else presets(suites).get(name, name))
    suite = validate(Suite, read_yaml(path), str(path))
    protocol = suite.protocol.model_copy(update={"rerank": suite.protocol.rerank.resolved()})
    return suite.model_copy(update={"protocol": protocol})


def presets(suites: Path) -> dict[str, str]:
    """Names of other tools' protocols, sorted, and the suite that each stands for.

    Raises `UserError` where two suites claim one name.
    """
    found: dict[str, str] = {}
    for suite, path in yaml_files(suites).items():
        for name in validate(Suite, read_yaml(path), str(path)).presets:
            if found.setdefault(name, suite) != suite:
                raise UserError(f"{path}: '{name}' stands for {found[name]} already. Choose another name.")
    return dict(sorted(found.items()))


def find_protocol(fingerprint: str, suites: Path, results: Path) -> Protocol:
    """The protocol of a fingerprint (or of a suite by name), looked for in the suites and in measured rows."""
    names = file_names(suites)
    if fingerprint in names or fingerprint in presets(suites):
        return read_suite(suites, fingerprint).protocol
    known = {
        suite.protocol.fingerprint: suite.protocol for suite in (read_suite(suites, name) for name in names)
    }
    for path in result_files(results):
        protocol = read_result(path).protocol
        known.setdefault(protocol.fingerprint, protocol)
    if fingerprint not in known:
        raise UserError(
            f"No suite or row has the fingerprint '{fingerprint}'. {did_you_mean(fingerprint, [*known, *names])}"
        )
    return known[fingerprint]
