"""What a shell completes behind an option: names that exist, of the folders that are in use."""

from collections.abc import Callable, Sequence


def tracks(incomplete: str) -> list[str]:
    """Training sets that have a track."""
    return _files("configs", "tracks", incomplete)


def systems(incomplete: str) -> list[str]:
    """Systems; of a comma-separated list the last name."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _files("configs", "systems", last)]


def networks(incomplete: str) -> list[str]:
    """What has a network: runs, systems, and networks that others publish."""
    from vitret.core.zoo import read_zoo

    others = {model.network for model in read_zoo()}
    return sorted(
        {*runs(incomplete), *_files("configs", "systems", incomplete), *_beginning(others, incomplete)}
    )


def published(incomplete: str) -> list[str]:
    """Recipes of papers; of a comma-separated list the last name."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _files("configs", "published", last)]


def ablations(incomplete: str) -> list[str]:
    """Ablation studies."""
    return _files("configs", "ablations", incomplete)


def prepared(incomplete: str) -> list[str]:
    """Datasets that are prepared here."""
    from vitret.core.config import location
    from vitret.data.layout.read import list_sets

    return _beginning(set(list_sets(location("data").path)), incomplete)


def suites(incomplete: str) -> list[str]:
    """Ways of measuring."""
    return _files("suites", "", incomplete)


def one_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """A completion among a few words."""
    return lambda incomplete: _beginning(set(known), incomplete)


def datasets(incomplete: str) -> list[str]:
    """Datasets that vitret can prepare, and those that are prepared."""
    from vitret.core.config import location
    from vitret.core.plugins import names
    from vitret.data.layout.read import list_sets

    return _beginning({*names("datasets"), *list_sets(location("data").path)}, incomplete)


def runs(incomplete: str) -> list[str]:
    """Runs of the home in use."""
    from vitret.core.config import location
    from vitret.core.runs import run_names

    return _beginning(set(run_names(location("home").path)), incomplete)


def forms(incomplete: str) -> list[str]:
    """Forms of a printed table."""
    from vitret.pages.formats import FORMS

    return _beginning(set(FORMS), incomplete)


def schemas(incomplete: str) -> list[str]:
    """Kinds of YAML files that have a schema."""
    from vitret.pages.schemas import MODELS

    return _beginning(set(MODELS), incomplete)


def _files(place: str, folder: str, incomplete: str) -> list[str]:
    from vitret.core.config import file_names, location

    return _beginning(set(file_names(location(place).path / folder)), incomplete)


def _beginning(names: set[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
