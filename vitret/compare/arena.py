"""Two rows against each other, and protocols by their fingerprint."""

from collections.abc import Iterator
from pathlib import Path

from vitret.compare.results import per_query, read_result, result_files
from vitret.compare.significance import paired_bootstrap
from vitret.core.config import file_names, read_yaml, validate
from vitret.core.errors import UserError, did_you_mean
from vitret.core.protocol import Protocol, Suite, differences


def compare_rows(a: Path, b: Path) -> Iterator[str]:
    """One line per metric: both values, the paired difference b − a with its interval and p.

    Raises:
        UserError: the rows may not be compared; the message names every switch that differs.
    """
    left, right = read_result(a), read_result(b)
    apart = {
        **differences(
            left.protocol.model_dump(mode="json"), right.protocol.model_dump(mode="json"), "protocol."
        ),
        **differences(left.data.model_dump(mode="json"), right.data.model_dump(mode="json"), "data."),
    }
    apart.pop("data.failed_images", None)
    if apart:
        listed = "; ".join(f"{key}: {was} / {now}" for key, (was, now) in apart.items())
        raise UserError(f"These rows may not be compared: {listed}.")
    yield f"A  {left.model.title}, trained on {left.training.set}, seed {left.training.seed}"
    yield f"B  {right.model.title}, trained on {right.training.set}, seed {right.training.seed}"
    if left.training.set != right.training.set or left.training.budget != right.training.budget:
        yield "Their training differs in set or budget: this is no comparison of methods."
    for key in left.metrics:
        if key not in right.metrics:
            continue
        test = paired_bootstrap(per_query(b, key), per_query(a, key), seed=0)
        better = "B is better" if test.difference > 0 else "A is better"
        verdict = better if test.separated else "tie"
        yield (
            f"{key:14} A {100 * left.metrics[key].value:5.1f}  B {100 * right.metrics[key].value:5.1f}  "
            f"B−A {100 * test.difference:+5.1f} [{100 * test.low:+.1f}, {100 * test.high:+.1f}]  "
            f"p {test.p_value:.4f}  {verdict}"
        )


def read_suite(suites: Path, name: str) -> Suite:
    """A suite by name, every default of its re-ranker written out, so that the fingerprint holds them."""
    from vitret.core.config import named_file

    path = named_file("suite", suites, name)
    suite = validate(Suite, read_yaml(path), str(path))
    protocol = suite.protocol.model_copy(update={"rerank": suite.protocol.rerank.resolved()})
    return suite.model_copy(update={"protocol": protocol})


def find_protocol(fingerprint: str, suites: Path, results: Path) -> Protocol:
    """The protocol of a fingerprint (or of a suite by name), looked for in the suites and in measured rows."""
    names = file_names(suites)
    if fingerprint in names:
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
