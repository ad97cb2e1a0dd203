"""A page in one file: no script, no address, one style sheet that its policy names by its hash.

Outside text gets in through `text` alone, as text between tags: never into an attribute, a style or an address.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import Final

from frameengine.plaintext import visible

STYLE: Final = """
:root { color-scheme: light dark;
  --paper: #fbfbf9; --card: #ffffff; --ink: #1d2126; --quiet: #667078; --line: #e3e4df; --code: #f4f4f0;
  --left: #a84f00; --left-mark: #ffe3c4; --right: #0b5c96; --right-mark: #d3eafc; --good: #0b5c96; --bad: #a84f00; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171a; --card: #1b1f23; --ink: #dfe3e6; --quiet: #8f9aa3; --line: #2e343a; --code: #14171a;
  --left: #ffb066; --left-mark: #4d2f0d; --right: #7fc4f5; --right-mark: #123a56; --good: #7fc4f5; --bad: #ffb066; } }
* { box-sizing: border-box; }
body { margin: 0; overflow-wrap: anywhere; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1440px; margin: 0 auto; padding: clamp(12px, 2.5vw, 40px); }
code, pre { font: 13px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
h1 { margin: 0 0 4px; font-size: clamp(20px, 3.4vw, 28px); line-height: 1.25; letter-spacing: -.01em; }
h2 { margin: 36px 0 10px; font-size: 17px; }
h2 small, summary small { font-weight: 400; font-size: 13px; color: var(--quiet); margin-left: 6px; }
p { margin: 4px 0; }
.quiet { color: var(--quiet); }
.good { color: var(--good); }
.bad { color: var(--bad); }
.traces { display: grid; gap: 2px 16px; margin: 14px 0 22px; grid-template-columns: auto minmax(0, 1fr); }
.traces > b { font-weight: 400; color: var(--quiet); }
.traces code { margin-right: 10px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 14px 16px; margin: 8px 0; }
.first { border-left: 4px solid var(--bad); }
.same { border-left: 4px solid var(--good); }
.facts { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 4px 16px; margin: 14px 0 0; }
.facts dt { color: var(--quiet); }
.facts dd { margin: 0; }
.facts dd b { margin-right: 8px; }
.more { margin-top: 10px; }
details.card { padding: 0; }
details > summary { cursor: pointer; padding: 9px 16px; }
details[open] > summary { border-bottom: 1px solid var(--line); }
details > .body { padding: 4px 16px 14px; }
details.message > .body { padding: 4px 10px 8px; }
summary b { font-weight: 600; }
.field { margin: 10px 0 0; }
.field > p code { color: var(--quiet); }
.sides { display: grid; gap: 8px; grid-template-columns: minmax(0, 1fr); margin-top: 4px; }
.side { background: var(--code); border: 1px solid var(--line); border-radius: 6px; padding: 6px 10px 8px; min-width: 0; }
.side > b { display: block; font-size: 11px; font-weight: 400; color: var(--quiet); }
pre { margin: 0; white-space: pre-wrap; }
del { background: var(--left-mark); color: var(--left); }
ins { background: var(--right-mark); color: var(--right); }
del, ins { border-radius: 3px; padding: 0 1px; text-decoration: none; }
pre.removed { color: var(--left); }
pre.added { color: var(--right); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 400; color: var(--quiet); }
th, td { overflow-wrap: break-word; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td:first-child, td.number { white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
th.number { text-align: right; }
footer { margin: 36px 0 8px; color: var(--quiet); font-size: 13px; }
@media (min-width: 800px) { .sides { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); } }
@media (max-width: 520px) { table { font-size: 13px; } td, th { padding-right: 8px; }
  .traces code, .traces span { display: block; }
  .facts { grid-template-columns: 1fr; gap: 0; } .facts dd + dt { margin-top: 8px; } }
"""
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'"
)
"""Nothing is loaded, sent or run; the one style sheet is the one that was written."""
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


class Markup(str):
    """HTML of our own. Made by `text` and `element` only, so that text from outside cannot be taken for it."""

    __slots__ = ()


def text(content: str) -> Markup:
    """Return text from outside as text of a page: made visible, and escaped."""
    return Markup(escape(visible(content)))


def element(name: str, *content: Markup | str, kind: str = "", opened: bool = False) -> Markup:
    """Return an element of this class with *content*; what of it is no markup is text. *name*, *kind*: our own words only."""
    inner = "".join([each if isinstance(each, Markup) else text(each) for each in content])
    attributes = (f' class="{escape(kind)}"' if kind else "") + (" open" if opened else "")
    return Markup(f"<{name}{attributes}>{inner}</{name}>")


def lines(*content: Markup) -> Markup:
    """Return markup on lines of its own."""
    return Markup("\n".join(content))


def page(title: str, *content: Markup) -> str:
    """Return the whole page."""
    return _PAGE.format(policy=escape(POLICY), title=text(title), style=STYLE, body=lines(*content))
