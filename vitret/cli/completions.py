"""What a shell completes behind an option: names that exist, of the folders that are in use."""


def tracks(incomplete: str) -> list[str]:
    """Training sets that have a track."""
    return _files("configs", "tracks", incomplete)


def systems(incomplete: str) -> list[str]:
    """Systems; of a comma-separated list the last name."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _files("configs", "systems", last)]


def networks(incomplete: str) -> list[str]:
    """Systems, and networks that others publish."""
    from vitret.core.zoo import read_zoo

    published = {model.network for model in read_zoo()}
    return sorted({*_files("configs", "systems", incomplete), *_beginning(published, incomplete)})


def suites(incomplete: str) -> list[str]:
    """Ways of measuring."""
    return _files("suites", "", incomplete)


def datasets(incomplete: str) -> list[str]:
    """Datasets that vitret can prepare, and those that are prepared."""
    from vitret.core.config import location
    from vitret.core.plugins import names
    from vitret.data.layout.read import list_sets

    return _beginning({*names("datasets"), *list_sets(location("data").path)}, incomplete)


def _files(place: str, folder: str, incomplete: str) -> list[str]:
    from vitret.core.config import file_names, location

    return _beginning(set(file_names(location(place).path / folder)), incomplete)


def _beginning(names: set[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))
