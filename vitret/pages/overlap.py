"""The page on which pairs are confirmed or rejected: one HTML file, small pictures inside it, no network."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vitret.core.store import write_text
from vitret.pages.thumbnails import figure

Find = Callable[[dict[str, Any]], tuple[Path, Path]]
"""A pair → the files of its training image and of its evaluation image."""


def write_page(path: Path, evidence: dict[str, Any], *, files: Find, most: int) -> int:
    """Write the first `most` pairs as a page; how many there are."""
    pairs = evidence["pairs"][:most]
    kept = ("id", "train", "image", "role", "queries", "proposal", "verdict")
    about = {
        "train": evidence["train"],
        "evaluation": evidence["evaluation"],
        "pairs": [{key: pair[key] for key in kept} for pair in pairs],
    }
    # A name may hold "</script>".
    data = json.dumps(about, ensure_ascii=True).replace("<", "\\u003c")
    body = "\n".join(_pair(pair, *files(pair)) for pair in pairs)
    title = f"{evidence['train']['name']} and {evidence['evaluation']['name']}"
    page = _PAGE.replace("@TITLE@", html.escape(title)).replace("@STYLE@", _STYLE)
    page = page.replace("@SCRIPT@", _SCRIPT.replace("@DATA@", data)).replace("@BODY@", body)
    write_text(path, page)
    return len(pairs)


def _pair(pair: dict[str, Any], train: Path, image: Path) -> str:
    parts = pair["parts"]
    cosines = ", ".join("–" if c is None else f"{c:.2f}" for c in parts["cosines"])
    bits = "beyond the radius" if parts["hash_bits"] is None else f"{parts['hash_bits']} bits apart"
    mirror = ", mirrored" if parts["mirrored"] else ""
    facts = (
        f"score {pair['score']:.2f} · cosines {cosines} · hash {bits} · "
        f"{parts['inliers']} of {parts['matches']} keypoints agree{mirror} · pixels {parts['pixels']:.2f}"
    )
    return (
        f'<article id="{pair["id"]}"><h2>{html.escape(pair["proposal"])}</h2><div>'
        f"{figure(train, 'training: ' + pair['train'])}{figure(image, pair['role'] + ': ' + pair['image'])}</div>"
        f"<p>{html.escape(facts)}</p>"
        '<p class="choice"><button data-v="yes">same (y)</button> '
        '<button data-v="no">different (n)</button></p></article>'
    )


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 720px; padding: 0 16px 60vh; color: #222; }
header { position: sticky; top: 0; background: #fff; border-bottom: 1px solid #ccc; padding: 8px 0; }
h1 { font-size: 20px; margin: 0; } h2 { font-size: 16px; margin: 0 0 8px; }
header p { margin: 4px 0; }
article { margin: 16px 0; padding: 12px; border: 2px solid #ddd; border-radius: 6px; scroll-margin-top: 120px; }
article.now { border-color: #1a5fb4; }
article[data-verdict=yes] { background: #fdeceb; } article[data-verdict=no] { background: #eef7ee; }
article > div { display: flex; gap: 12px; }
figure { margin: 0; flex: 1; min-width: 0; } img { max-width: 100%; max-height: 300px; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
article p { margin: 8px 0 0; font-size: 14px; }
button { font: inherit; padding: 2px 10px; } button.on { background: #1a5fb4; color: #fff; }
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Overlap: @TITLE@</title><style>@STYLE@</style></head><body>
<header><h1>Overlap: @TITLE@</h1>
<p>y: same landmark or object. n: different. u: undo. Arrow keys: next and previous pair.</p>
<p><span id="count"></span> <button id="save">Save verdicts as a file</button></p></header>
@BODY@
<script>@SCRIPT@</script></body></html>
"""

_SCRIPT = """
const about = @DATA@;
const key = "vitret-overlap-" + about.train.digest + "-" + about.evaluation.digest;
let kept = {};
try { kept = JSON.parse(localStorage.getItem(key) || "{}"); } catch (error) { kept = {}; }
const pairs = about.pairs;
for (const pair of pairs) if (pair.id in kept) pair.verdict = kept[pair.id];
let now = Math.max(0, pairs.findIndex(pair => !pair.verdict));
const box = pair => document.getElementById(pair.id);

function show(scroll) {
  pairs.forEach((pair, i) => {
    box(pair).dataset.verdict = pair.verdict || "";
    box(pair).classList.toggle("now", i === now);
    for (const button of box(pair).querySelectorAll("button"))
      button.classList.toggle("on", button.dataset.v === pair.verdict);
  });
  const of = word => pairs.filter(pair => pair.verdict === word).length;
  document.getElementById("count").textContent =
    `${of("yes")} same, ${of("no")} different, ${pairs.length - of("yes") - of("no")} open of ${pairs.length}.`;
  if (scroll && pairs.length) box(pairs[now]).scrollIntoView({ block: "start" });
}
function decide(verdict) {
  if (!pairs.length) return;
  pairs[now].verdict = verdict;
  kept[pairs[now].id] = verdict;
  try { localStorage.setItem(key, JSON.stringify(kept)); } catch (error) { /* the file still has them */ }
  if (verdict) move(1); else show(false);
}
function move(by) { now = Math.min(pairs.length - 1, Math.max(0, now + by)); show(true); }
function save() {
  // Pairs that were not decided here may be decided on another reader's page.
  const said = pairs.map(pair => ({ ...pair, decided: pair.id in kept }));
  const text = JSON.stringify({ ...about, pairs: said }, null, 2) + "\\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = "verdicts.json";
  link.click();
}
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const does = { y: () => decide("yes"), n: () => decide("no"), u: () => decide(null),
    ArrowDown: () => move(1), ArrowRight: () => move(1), ArrowUp: () => move(-1), ArrowLeft: () => move(-1) };
  if (event.key in does) { event.preventDefault(); does[event.key](); }
});
for (const [i, pair] of pairs.entries())
  box(pair).addEventListener("click", event => {
    now = i;
    if (event.target.dataset.v) decide(event.target.dataset.v); else show(false);
  });
document.getElementById("save").addEventListener("click", save);
show(false);
"""
