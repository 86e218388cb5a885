"""How templates are read and filled: every value is escaped, and one that was forgotten is an error."""

from importlib.resources import files

from jinja2 import DictLoader, Environment, StrictUndefined

_TEMPLATES = ("head.html", "page.html", "parts.html", "pictures.html", "maps.html", "board.css", "board.js")


def template(name: str) -> str:
    """The text of a template."""
    return (files("vitret.pages.board") / "templates" / name).read_text(encoding="utf-8")


def filled(name: str, **values: object) -> str:
    """A template with its values, without empty lines."""
    environment = Environment(
        loader=DictLoader({one: template(one) for one in _TEMPLATES}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page = environment.get_template(name).render(**values)
    return "\n".join(line.rstrip() for line in page.splitlines() if line.strip()) + "\n"
