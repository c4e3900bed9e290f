"""HTML as text: every word that comes from outside is escaped, and a page refers to nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

DENSE_FROM = 8
"""Tables with more columns are set smaller."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f23; --soft: #5b6570; --line: #d5dae0; --paper: #fff; --mark: #e6f1f8;
  --warn: #fdecdf; --warn-line: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #a3adb8; --line: #3a424b; --paper: #15181b;
  --mark: #17303f; --warn: #3d2413; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 75rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
p { margin: .4rem 0; max-width: 50rem; } .soft, figcaption { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .35rem .55rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; vertical-align: bottom; } thead th { white-space: normal; }
th:first-child, td:first-child, .facts td { text-align: left; } .facts td, .facts th { white-space: normal;
  vertical-align: top; }
.dense table { font-size: .78rem; } .dense th, .dense td { padding: .3rem .26rem; }
.dense td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
tr.mark { background: var(--mark); font-weight: 600; }
.banner { background: var(--warn); border-left: .35rem solid var(--warn-line); padding: .6rem .9rem; margin: 1rem 0;
  max-width: none; font-weight: 600; }
figure { margin: 0; } img { max-width: 100%; height: auto; background: #fff; border-radius: .4rem; padding: .4rem; }
details { margin: .5rem 0; } summary { cursor: pointer; font-weight: 600; } li { overflow-wrap: anywhere; }
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page of `parts`, which are HTML already."""
    body = "\n".join((f"<h1>{escape(title)}</h1>", *parts))
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def heading(text: str) -> str:
    """The title of a section."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph; `kind` is a class of the style sheet."""
    return f'<p class="{escape(kind)}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def banner(text: str) -> str:
    """A warning that cannot be overlooked."""
    return f'<p class="banner" role="alert">{escape(text)}</p>'


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], marked: frozenset[int] = frozenset()) -> str:
    """A table that scrolls sideways on a narrow screen; `marked` are the indices of highlighted rows.

    Many columns make a dense table, which fits a page of 1200 pixels with the fourteen columns of the widest report.
    """
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in headers)
    lines = [
        ('<tr class="mark">' if index in marked else "<tr>") + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        for index, row in enumerate(rows)
    ]
    body = "\n".join(f"{line}</tr>" for line in lines)
    kind = "wide dense" if len(headers) > DENSE_FROM else "wide"
    return f'<div class="{kind}"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def fact_table(facts: Sequence[tuple[str, str]]) -> str:
    """Titles and what is to be said about them, one line each."""
    lines = (f'<tr><th scope="row">{escape(title)}</th><td>{escape(text)}</td></tr>' for title, text in facts)
    return '<div class="wide"><table class="facts"><tbody>' + "\n".join(lines) + "</tbody></table></div>"


def folded_list(title: str, items: Sequence[str]) -> str:
    """A list that opens on a click, with the number of its items in the title."""
    lines = "\n".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<details><summary>{escape(title)}: {len(items):,}</summary>\n<ul>{lines}</ul></details>"


def picture(png: bytes, caption: str) -> str:
    """A PNG inside the page."""
    data = base64.b64encode(png).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
