"""Networks of others for users: the page docs/models.md and the lines of `vitret list models`."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vitret.compare.results import read_result
from vitret.core.zoo import UNKNOWN, ZooModel
from vitret.pages.markdown import markdown_table

FACTS = ("dim", "size", "licence", "pretraining")
COLUMNS = ("title", "network", "head", *FACTS, "needs", "rows", "command")
_WIDTH = 80

HEAD = """# Networks of others

Made by `vitret list models --format md` from `configs/models.yaml`. Edit that.

Any network that is published as one line of timm, torch.hub or the Hugging Face hub is a frozen system. Its
name is taken by `vitret bench --systems`, `vitret extract`, `vitret search` and `vitret overlap --by`.

| name | network |
|---|---|
| `timm:ARCH` | any network of timm |
| `torchhub:OWNER/REPO[@COMMIT]:ENTRY` | what the function ENTRY in its hubconf.py returns; needs `--trust` |
| `hf:OWNER/NAME[@REVISION]` | an image network of transformers: `pip install 'vitret[hf]'` |

A network below was run where its card names rows. The commands of the others were written from the sources named and
have not been run with the real repositories; the way there was tested on repositories in folders.

A folder stands for a repository: `torchhub:/path/to/folder:ENTRY`, `hf:/path/to/folder`. Options follow behind
colons, as in `hf:facebook/dinov2-small:head=gem` or `torchhub:./mine:net:output=0:size=322`.

## Consent: `--trust`

A network of torch.hub is code of others. It runs with your rights: it can read, change and send every file that you
can. So nothing of it is fetched, imported or run without `--trust`, and the message without it says what would be.
Consent holds for one command. A recipe, a system or a checkpoint cannot give it. Read the code at the commit first;
an entry may fetch more code, which its commit does not fix, and GitHub serves commits of forks under the name of a
repository. PyTorch notes the repository in its own list of trusted ones.

A network of the Hugging Face hub needs no consent where transformers has the architecture and the weights are
safetensors: then no code of others runs, and `trust_remote_code` stays off even with `--trust`. A repository that
brings its own Python files needs `--trust`, and so do pickled weights, which are then read without running code in
them. Where its configuration names Python files of another repository, transformers takes the newest ones, which the
commit does not fix; the message names that repository.

A row records the source, the entry, the whole commit, and whether code of others was trusted. Without a commit in
the name the newest one is looked up and said; name it, and the next measurement is of the same network. Of a
folder, a digest of its code and configuration stands for the commit, and the digest of the network's numbers is in
every row. `bench` does not notice new weights in a folder it has a row of: remove the row, or name another folder.

## How an output becomes a descriptor

| the network gives | it is | head |
|---|---|---|
| a tensor (images, channels) | the descriptor as it is | `native`, the default |
| (images, tokens, channels) | tokens, the class token and other tokens first | `cls`, `mean`, `gem` or any other |
| (images, channels, height, width) | a map | `gem`, `mean` or any other |
| several outputs | name one: `output=KEY`, or its place in a tuple, `output=0` | as above |

Anything else is refused, and the message lists what came. For tokens the side of a patch must be known; it is read
from the network, or said: `patch=14`. `prefix_tokens` checks how many tokens stand before the patches. An image
tower of transformers that was trained against texts gives its projection (`output=image_features`); other networks
of transformers give their last hidden state, and `output=pooler_output` is refused where the file does not hold the
pooler.

Mean and deviation of the pixels are read from the files of a Hugging Face repository, else they are ImageNet's,
which is said; `mean` and `std` change them. `size` is the side that the network was made for. Which other sizes it
takes is found by trying; if it takes none, every image is resized to that square, which is said. `fixed=true` does
so without trying. What an entry takes is given as `arguments.NAME=VALUE`.

## The list

An image size is the side that a network was made for; the suite decides at which size it is measured. "Not known"
was not read anywhere.
"""

Sentences = Mapping[str, Sequence[str]]


def measured_rows(root: Path, models: Sequence[ZooModel]) -> dict[str, list[str]]:
    """For each system that is one of the networks, what its rows say of their primary number, one sentence a row."""
    found: dict[str, list[str]] = {}
    for system in sorted({system for model in models for system in model.systems}):
        for path in sorted(root.glob(f"*/{system}/*/*.json")):
            row = read_result(path)
            value = f"{row.suite.primary} {100 * row.metrics[row.suite.primary].value:.1f}"
            words = f"{row.eval_name} {value} (suite {row.suite.name}, protocol {row.fingerprint})"
            found.setdefault(system, []).append(words)
    return {system: list(dict.fromkeys(words)) for system, words in found.items()}


def page(models: Sequence[ZooModel], measured: Sentences) -> str:
    """The text of docs/models.md; `measured` is what `measured_rows` gives."""
    heads = ["network", "head", "dim", "image size", "licence", "needs `--trust`"]
    rows = [
        [
            model.title,
            f"`{model.head}`",
            *(str(getattr(model, fact).value) for fact in FACTS[:3]),
            _trust(model),
        ]
        for model in models
    ]
    lines = [HEAD, markdown_table(heads, rows)]
    for model in models:
        lines += ["", *_section(model, measured)]
    return "\n".join(lines) + "\n"


def _trust(model: ZooModel) -> str:
    return "yes" if model.trust else ""


def _section(model: ZooModel, measured: Sentences) -> Iterator[str]:
    yield f"### {model.title}"
    yield ""
    yield f"- descriptor: head `{model.head}`, {_sourced(model, 'dim')} dimensions"
    yield f"- image size: {_sourced(model, 'size')}"
    yield f"- licence: {_sourced(model, 'licence')}"
    yield f"- pre-trained on: {_sourced(model, 'pretraining')}"
    if model.timm:
        yield f"- in timm {model.timm}; older versions may not have it"
    if model.needs:
        yield f"- first: {model.needs}"
    yield f"- rows: {_rows(model, measured)}"
    yield ""
    yield "```sh"
    yield model.command
    yield "```"


def _sourced(model: ZooModel, fact: str) -> str:
    found = getattr(model, fact)
    return str(found.value) if found.value == UNKNOWN else f"{found.value} ({found.source})"


def _rows(model: ZooModel, measured: Sentences) -> str:
    said = [sentence for system in model.systems for sentence in measured.get(system, ())]
    return "; ".join(said) or "not measured yet"


def lines(models: Sequence[ZooModel], measured: Sentences) -> Iterator[str]:
    """The list for a terminal of 80 columns: three lines or more for each network, its command last."""
    for model in models:
        facts = [f"head {model.head}", f"{model.dim.value} dimensions", f"image size {model.size.value}"]
        yield model.title
        yield from _filled(f"{', '.join(facts)}; licence: {model.licence.value}")
        yield from _filled(f"pre-trained on: {model.pretraining.value}; rows: {_rows(model, measured)}")
        if model.needs:
            yield from _filled(f"first: {model.needs}")
        yield from _broken(model.command)
        yield ""


def records(models: Sequence[ZooModel], measured: Sentences) -> list[dict[str, str | int]]:
    """One record a network for programs, each fact with its source."""
    found: list[dict[str, str | int]] = []
    for model in models:
        facts = {fact: getattr(model, fact).value for fact in FACTS}
        sources = {f"{fact}_source": getattr(model, fact).source for fact in FACTS}
        names = {"title": model.title, "network": model.network, "head": model.head}
        last = {"needs": model.needs, "rows": _rows(model, measured), "command": model.command}
        found.append({**names, **facts, **sources, **last})
    return found


def _filled(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _broken(command: str) -> Iterator[str]:
    """A command on lines of 80 columns at most, which a shell reads as one: a long word is broken by a backslash.

    >>> list(_broken("vitret bench --systems " + "x" * 90))[1].endswith("x" + chr(92))
    True
    """
    line = " "
    for word in command.split():
        if line.strip() and len(line) + 1 + len(word) > _WIDTH - 2:
            yield f"{line} \\"
            line = f"    {word}"
        else:
            line = f"{line} {word}"
        while len(line) > _WIDTH - 2:
            yield f"{line[: _WIDTH - 2]}\\"
            line = line[_WIDTH - 2 :]
    yield line
