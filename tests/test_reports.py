import re
from xml.etree import ElementTree

from dialogue_gym.reports import Cell, Section, Table, figure, page, plot


def drawn(title: str) -> object:
    made = figure()
    made.add_subplot().set_title(title)
    return made


def test_texts_cannot_become_markup() -> None:
    bad = "<script>alert(1)</script>"
    table = Table([bad], [[Cell(bad, hint='"><b>')]])
    html = page(bad, [Section(bad, [bad], table)])
    assert "<script" not in html
    assert "<b>" not in html
    assert html.count("&lt;script&gt;") == 6  # twice the title, then one each


def test_a_page_asks_for_nothing_from_outside() -> None:
    html = page("plots", [Section(plots=[plot(drawn("one"), "one"), plot(drawn("two"), "two")])])
    assert html.count("<svg") == 2
    assert not re.findall(r'(?:src|href)="(?!#)', html)
    assert "<script" not in html


def test_a_plot_is_the_same_each_time_and_shares_no_ids_with_others() -> None:
    first, again, other = (str(plot(drawn("x"), name).svg) for name in ("a", "a", "b"))
    assert first == again

    def references(svg: str) -> set[str]:
        return set(re.findall(r"url\(#([^)]+)\)", svg))

    assert not references(first) & references(other)


def test_a_plot_is_well_formed_and_has_its_text_for_readers() -> None:
    svg = str(plot(drawn("x"), 'lengths "by" turn').svg)
    ElementTree.fromstring(svg)
    assert 'aria-label="lengths &#34;by&#34; turn"' in svg
