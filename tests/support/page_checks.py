"""What a page must have to be read without seeing it, without a mouse and without a network."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img", "path", "circle", "hr"}
NAMED = {"a", "button", "select", "input", "summary", "textarea"}


@dataclass(eq=False)
class Element:
    tag: str
    attributes: dict[str, str]
    parent: "Element | None" = None
    children: "list[Element]" = field(default_factory=list)
    own_text: str = ""

    def walk(self) -> "Iterator[Element]":
        yield self
        for child in self.children:
            yield from child.walk()

    def above(self) -> "Iterator[Element]":
        one = self.parent
        while one is not None:
            yield one
            one = one.parent

    @property
    def text(self) -> str:
        return " ".join(" ".join(one.own_text for one in self.walk()).split())


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.top = self.at = Element("document", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(element)
        if tag not in VOID:
            self.at = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.at.children.append(Element(tag, {name: value or "" for name, value in attrs}, self.at))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert tag == self.at.tag, f"</{tag}> closes <{self.at.tag}> ({self.at.text[:60]})"
        assert self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        self.at.own_text += data


def parse(page: str) -> Element:
    """The elements of a page; every one must be closed."""
    tree = _Tree()
    tree.feed(page)
    tree.close()
    assert tree.at is tree.top, f"<{tree.at.tag}> is not closed"
    return tree.top


def faults(page: str) -> list[str]:
    """What would be missing for a reader with a keyboard or a screen reader, or asks the network."""
    top = parse(page)
    elements = list(top.walk())
    ids = [one.attributes["id"] for one in elements if "id" in one.attributes]
    found = [f"the id {one} is used twice" for one in sorted({i for i in ids if ids.count(i) > 1})]
    (root,) = [one for one in elements if one.tag == "html"]
    if not root.attributes.get("lang"):
        found.append("the page names no language")
    found += [words for one in elements for words in _of(one, set(ids))]
    levels = [int(one.tag[1]) for one in elements if re.fullmatch("h[1-6]", one.tag)]
    found += [f"h{a} is followed by h{b}" for a, b in zip([0, *levels], levels, strict=False) if b > a + 1]
    return found


def _of(one: Element, ids: set[str]) -> Iterator[str]:
    a = one.attributes
    where = f"<{one.tag}> {one.text[:40]!r}"
    name = a.get("aria-label") or one.text or any(e.tag == "label" for e in one.above())
    if one.tag in NAMED and not name:
        yield f"{where} has no name"
    if (
        one.tag == "svg"
        and a.get("aria-hidden") != "true"
        and not (a.get("role") == "img" and a.get("aria-label"))
    ):
        yield f"{where} is neither hidden nor named"
    if one.tag == "th" and "scope" not in a:
        yield f"{where} heads neither row nor column"
    if one.tag == "img" and "alt" not in a:
        yield f"{where} has no words for its picture"
    if "tabindex" in a and int(a["tabindex"]) > 0:
        yield f"{where} changes the order of the keyboard"
    if "tabindex" in a and not a.get("aria-label"):
        yield f"{where} can be reached but has no name"
    for key in ("aria-labelledby", "for"):
        if key in a and a[key] not in ids:
            yield f"{where} is named by {a[key]}, which is not there"
    for key in ("href", "src"):
        if key in a and a[key].startswith("#") and a[key][1:] not in ids:
            yield f"{where} leads to {a[key]}, which is not there"
        if key in a and not a[key].startswith(("#", "data:")):
            yield f"{where} asks the network for {a[key]}"


def variables(style: str) -> dict[str, dict[str, str]]:
    """The colours of a style sheet by the medium that they are for: "" for all, "dark", "print"."""
    found: dict[str, dict[str, str]] = {}
    for block in re.finditer(r"(?:@media ([^{]*)\{[^{}]*(?:\{[^{}]*\}[^{}]*)*?)?:root \{([^}]*)\}", style):
        medium = "dark" if "dark" in (block[1] or "") else "print" if "print" in (block[1] or "") else ""
        found[medium] = dict(re.findall(r"--(\w+): (#\w+);", block[2]))
    return found


def contrast(one: str, other: str) -> float:
    """WCAG 2's ratio of two colours, 1 to 21.

    >>> contrast("#000", "#ffffff")
    21.0
    """
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return round((light + 0.05) / (dark + 0.05), 2)


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    if len(digits) == 3:
        digits = "".join(2 * d for d in digits)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
