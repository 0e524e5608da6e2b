"""Self-contained HTML pages: text, tables and plots in one file that needs no network and no script.

A report is made of sections, each with an optional text, table and plots. Everything that is not markup of
this module is escaped, since texts in reports come from logs.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p { max-width: 46rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
td { font-variant-numeric: tabular-nums; white-space: pre-line; }
td.good { color: #00604a; } td.bad { color: #a33b00; font-weight: 600; } td.dim { color: #666; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
.plots figure { margin: 0; max-width: 100%; } .plots svg { max-width: 100%; height: auto; }
</style></head><body>
<h1>{{ title }}</h1>
{% for section in sections %}<section>
{% if section.title %}<h2>{{ section.title }}</h2>{% endif %}
{% for paragraph in section.text %}<p>{{ paragraph }}</p>
{% endfor %}{% if section.table %}<div class="table"><table>
<thead><tr>{% for name in section.table.columns %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in section.table.rows %}
<tr>{% for cell in row %}<td{% if cell.tone %} class="{{ cell.tone }}"{% endif %}{% if cell.hint %} title="{{ cell.hint }}"{% endif %}>{{ cell.text }}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></div>{% endif %}
{% if section.plots %}<div class="plots">{% for plot in section.plots %}<figure>{{ plot.svg }}</figure>{% endfor %}</div>{% endif %}
</section>
{% endfor %}</body></html>
"""  # noqa: E501


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: what it says.
        tone: "good", "bad", "dim" or "".
        hint: shown when pointed at.
    """

    text: str
    tone: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under named columns."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot as inline SVG; make one with ``plot``."""

    svg: Any


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page.

    Attributes:
        title: "" for none.
        text: paragraphs.
        table: at most one.
        plots: side by side, as many as fit.
    """

    title: str = ""
    text: Sequence[str] = ()
    table: Table | None = None
    plots: Sequence[Plot] = ()


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table for a page, of plain text."""
    return Table(columns, [[Cell(text) for text in row] for row in rows])


def lines(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for the terminal.

    Example:
        >>> print(lines(("arm", "reward"), [("base", "0.3"), ("calibrated", "0.7")]))
        arm         reward
        base        0.3
        calibrated  0.7
    """
    shown = (columns, *rows)
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    )


def page(title: str, sections: Sequence[Section]) -> str:
    """The page as one HTML text.

    Raises:
        ImportError: jinja2 is missing; the message names the extra.

    Example:
        >>> "&lt;b&gt;" in page("<b>", [Section(text=["plain"])])
        True
    """
    return str(_template().render(title=title, sections=sections))


@cache
def _template() -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise ImportError('reports need jinja2: pip install "dialogue-gym[realism]"') from None
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(_PAGE)


def figure(width: float = 5.0, height: float = 3.2) -> Any:
    """A new matplotlib figure, in inches, that belongs to no window.

    Raises:
        ImportError: matplotlib is missing; the message names the extra.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('plots need matplotlib: pip install "dialogue-gym[realism]"') from None
    return Figure(figsize=(width, height), layout="constrained")


def plot(drawn: Any, alternative: str) -> Plot:
    """A matplotlib figure as inline SVG, the same bytes for the same figure.

    Args:
        drawn: the figure.
        alternative: what it shows, for those who do not see it.
    """
    from markupsafe import Markup, escape
    from matplotlib import rc_context

    stream = io.StringIO()
    # text as outlines looks the same everywhere; the salt makes the ids of its parts repeatable, and
    # different between the plots of a page
    with rc_context({"svg.hashsalt": alternative, "svg.fonttype": "path"}):
        drawn.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    return Plot(
        Markup(f'<svg role="img" aria-label="{escape(alternative)}"') + Markup(svg.removeprefix("<svg"))
    )
