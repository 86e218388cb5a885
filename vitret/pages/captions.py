"""What stands above a fair table, on every page: what its rows were trained on, and what a reader must know of them."""

from collections.abc import Sequence

from vitret.compare.tables import Table, short
from vitret.core.approximate import SearchFacts
from vitret.pages.verdict import above


def title(table: Table) -> str:
    """What the rows were trained on, how they were measured, under which fingerprint."""
    trained = trained_on(table.train_set)
    trained += f", {table.training_data}" if table.training_data else ""
    trained += f" {table.left_out}" if table.left_out else ""
    trained += "" if table.track == table.train_set else f", track {table.track}"
    trained += "" if table.budget == "track" else ", own budgets"
    trained += f" · ablation study of {table.ablation}" if table.ablation else ""
    trained += "".join(f" · without {count} queries of {name}" for name, count in table.dropped)
    return f"{trained} · {table.suite} · {table.fingerprint}"


def trained_on(train_set: str) -> str:
    """What rows of a training set were trained on, for the beginning of a title."""
    return "Frozen networks" if train_set == "none" else f"Trained on {train_set}"


def caption(table: Table) -> list[str]:
    """What a reader must know before comparing two rows."""
    budget = "one budget for all" if table.budget == "track" else "each system under its own budget"
    lines = [
        f"Suite {table.suite}, {budget}. Protocol {table.fingerprint}: {table.protocol}.",
        *above(table),
        *cautions(table),
    ]
    return lines + [f"Note: {warning}" for warning in table.warnings]


def cautions(table: Table) -> list[str]:
    """What limits the comparison of all rows of a table, or of some."""
    lines = []
    if table.shortlist == "oracle":
        lines.append(
            "Re-ranking shortlists were cleaned with the ground truth: comparable only among themselves."
        )
    lines += _found_of_exact(table)
    if any(row.dirty for row in table.rows):
        lines.append("Some rows were measured with uncommitted changes.")
    return lines


def _found_of_exact(table: Table) -> list[str]:
    """Of approximate search: how much of exact search every row found, the mean over its seeds."""
    said = []
    for row in table.rows:
        facts: dict[str, list[SearchFacts]] = {}
        for _, result in row.entries:
            if result.search is not None:
                facts.setdefault(result.eval_name, []).append(result.search)
        said += [f"{row.title}, {short(name)}: {_shares(found)}" for name, found in facts.items()]
    if not said:
        return []
    return [
        "Approximate search: not comparable with exact search; positives that were not found count as missed.",
        f"Recall of the exact first images: {'; '.join(said)}.",
    ]


def _shares(found: Sequence[SearchFacts]) -> str:
    """The recall at each number of images in per cent, the mean over several."""
    means = {k: sum(facts.recall[k] for facts in found) / len(found) for k in found[0].recall}
    return ", ".join(f"{100 * share:.1f} % of {k}" for k, share in means.items())
