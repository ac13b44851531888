# Copyright 2026 ciae_ros maintainers
# SPDX-License-Identifier: Apache-2.0

"""Reports in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from ciae_ros.replay.report import write_comparison, write_report
from tests.replay.report.browser import opened, running_browser
from tests.replay.report.synthetic import make_run

STYLE = "([selector, name]) => getComputedStyle(document.querySelector(selector))[name]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of a run, and its comparison with a worse one."""
    folder = tmp_path_factory.mktemp("pages")
    bags = {"city <b>loop</b>": 40, "a_bag_with_a_rather_long_name_as_recorders_make_them_2026_01_02": 20}
    good, better_images = make_run(folder / "a", bags, jitter=0.5)
    bad, worse_images = make_run(folder / "b", bags, jitter=1.5)
    return {
        "report": write_report(good, folder / "a", better_images),
        "comparison": write_comparison(good, bad, folder / "c", better_images, worse_images),
    }


@pytest.fixture
def report(browser: Browser, pages: dict[str, Path]) -> Iterator[Page]:
    """The report, in light colours."""
    with opened(browser, pages["report"], color_scheme="light") as page:
        yield page


def test_divider_moves_by_keyboard(report: Page) -> None:
    slider = report.locator(".card input[type=range]").first
    before = _clip(report)
    slider.focus()
    for _ in range(10):
        report.keyboard.press("ArrowRight")
    after = _clip(report)
    assert slider.input_value() == "55"
    assert after != before
    report.keyboard.press("Home")
    assert _clip(report) != after


def test_divider_moves_by_mouse(report: Page) -> None:
    stack = report.locator(".stack").first
    stack.scroll_into_view_if_needed()
    box = stack.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    before = _clip(report)
    report.mouse.move(box["x"] + box["width"] / 2, middle)
    report.mouse.down()
    report.mouse.move(box["x"] + 0.2 * box["width"], middle, steps=5)
    report.mouse.up()
    assert _clip(report) != before
    assert float(stack.locator("input").input_value()) == pytest.approx(20, abs=1)


def test_buttons_select_the_images(report: Page) -> None:
    card = report.locator(".card").first
    left, right = (card.locator(f"[data-side={side}]") for side in ("left", "right"))
    assert _kinds(card) == ("truth", "prediction")
    left.get_by_role("button", name="Error").click()
    assert _kinds(card) == ("error", "prediction")
    assert left.get_by_role("button", name="Error").get_attribute("aria-pressed") == "true"
    assert left.get_by_role("button", name="Truth").get_attribute("aria-pressed") == "false"
    right.get_by_role("button", name="Error").click()
    assert _kinds(card) == ("prediction", "error")
    shown = card.evaluate("one => [...one.querySelectorAll('figure')].map(f => getComputedStyle(f).visibility)")
    assert sorted(shown) == ["hidden", "hidden", "visible", "visible"]


def test_tables_sort_by_number_both_ways(report: Page) -> None:
    table = report.locator("#classes table")
    heading = table.locator("th", has_text="TP")
    heading.get_by_role("button").click()
    counts = _column(table, 6)
    assert heading.get_attribute("aria-sort") == "descending"
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) > 2
    heading.get_by_role("button").focus()
    report.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert _column(table, 6) == sorted(counts)
    assert table.locator("th[aria-sort]").count() == 1


def test_missing_values_are_sorted_last(report: Page) -> None:
    table = report.locator("#all-frames table")
    heading = table.locator("th", has_text="Changed")
    for _ in range(2):
        heading.get_by_role("button").click()
        texts = table.locator("tbody tr").evaluate_all("rows => rows.map(row => row.cells[9].textContent)")
        assert texts[-1] == "–"
        assert texts[0] != "–"


def test_tables_sort_by_name(report: Page) -> None:
    table = report.locator("#classes table")
    table.get_by_role("button", name="Class").click()
    names = table.locator("tbody tr").evaluate_all("rows => rows.map(row => row.cells[0].textContent)")
    assert names == sorted(names)


def test_point_of_a_plot_leads_to_its_frame(report: Page) -> None:
    point = report.locator("#quality-over-time svg a[href^='#frame-']").first
    anchor = point.get_attribute("href")
    assert anchor
    point.click()
    assert report.url.endswith(anchor)
    card = report.locator(anchor).bounding_box()
    assert card
    assert -1 <= card["y"] < 844
    assert report.locator(f"{anchor}:target").count() == 1


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_fits_a_phone(browser: Browser, pages: dict[str, Path], name: str) -> None:
    with opened(browser, pages[name], width=390) as page:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        tiles = page.locator(".tiles").bounding_box()
        assert tiles
        assert tiles["y"] + tiles["height"] < 844


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_dark_where_the_reader_wants_it_dark(browser: Browser, pages: dict[str, Path], name: str) -> None:
    colors = {}
    for scheme in ("light", "dark"):
        with opened(browser, pages[name], color_scheme=scheme) as page:
            found = [page.evaluate(STYLE, ["body", "backgroundColor"]), page.evaluate(STYLE, ["svg text", "fill"])]
            colors[scheme] = [_brightness(color) for color in found]
    (light_page, light_text), (dark_page, dark_text) = colors["light"], colors["dark"]
    assert light_page - light_text > 300
    assert dark_text - dark_page > 300


def test_print_has_all_images_and_no_controls(report: Page) -> None:
    report.emulate_media(media="print", color_scheme="light")
    card = report.locator(".card").first
    assert not card.locator("input").is_visible()
    assert not card.locator("button").first.is_visible()
    assert not report.locator("nav").is_visible()
    boxes = [picture.bounding_box() for picture in card.locator("img").all()]
    assert len(boxes) == 4
    corners = [(round(box["x"]), round(box["y"])) for box in boxes if box]
    assert len({x for x, _ in corners}) == len({y for _, y in corners}) == 2


def test_readable_without_a_script(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["report"], java_script_enabled=False) as page:
        assert page.locator(".card").first.locator("img").nth(3).is_visible()
        assert not page.locator(".card input").first.is_visible()


def _clip(page: Page) -> str:
    return page.evaluate(STYLE, [".stack .on-left", "clipPath"])


def _kinds(card: object) -> tuple[str, str]:
    return tuple(card.locator(f".on-{side}").get_attribute("data-kind") for side in ("left", "right"))


def _column(table: object, number: int) -> list[float]:
    return table.locator("tbody tr").evaluate_all(f"rows => rows.map(row => Number(row.cells[{number}].dataset.value))")


def _brightness(color: str) -> int:
    return sum(int(value) for value in color.removeprefix("rgb(").rstrip(")").split(","))
