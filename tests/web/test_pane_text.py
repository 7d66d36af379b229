"""What stands in the log stands on the page, as text: real lines, hostile lines, progress, lines without end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from .conftest import Page, Service

pytestmark = pytest.mark.browser

REAL = Path(__file__).parent.parent / "samples" / "real"
MARKUP = [
    "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'><svg onload=window.ran=1>",
    "</span></div></body><iframe srcdoc='<script>parent.ran=1</script>'></iframe><style>*{display:none}</style>",
    "<a href='javascript:window.ran=1' onclick='window.ran=1'>x</a><meta http-equiv=refresh content=0;url=//x>",
    "{{constructor.constructor('window.ran=1')()}} ${window.ran=1} <!-- --> <![CDATA[ ]]> &lt;b&gt; &#60;",
]
SHOWN_BY_NAME = {
    "nul\x00bell\x07vt\x0bff\x0cdel\x7fc1\x9b31mend": "nul^@bell^Gvt^Kff^Ldel^?c1\\x9b31mend",
    "exe\u202egnp.x\u2066\u200b\u200f\u061c": "exe[U+202E]gnp.x[U+2066][U+200B][U+200F][U+061C]",
    "line\u2028separator\u2029\ufeff": "line[U+2028]separator[U+2029][U+FEFF]",
    "tag \U000e0041\U000e0042 filler \u3164\u115f\xad": "tag [U+E0041][U+E0042] filler [U+3164][U+115F][U+00AD]",
    "unterminated \x1b[31": "unterminated ^[[31",
    "unterminated \x1b]0;title": "unterminated ^[]0;title",
    "unterminated \x1b]8;;http://x": "unterminated ^[]8;;http://x",
    "device string \x1bP1;2q stays": "device string ^[P1;2q stays",
    "\x1b": "^[",
    "\x1b]8;;javascript:window.ran=1\x1b\\click\x1b]8;;\x1b\\ after": "click ‹javascript:window.ran=1› after",
    "\x1b]8;;https://a.example/x\x07one\x1b]8;;https://b.example/y\x07two\x1b]8;;\x07": (
        "one ‹https://a.example/x›two ‹https://b.example/y›"
    ),
    "\x1b[8mconcealed\x1b[28m \x1b[38;2;255;255;255mwhite\x1b[48;5;15mon white\x1b[0m": "concealed whiteon white",
    "\x1b[38:2::255:0:0mcolons\x1b[4:3m curly\x1b[0m": "colons curly",
}
# What rows.js and its neighbours make; anything else came out of a log.
STRANGERS = """
const made = 'div.row, a.row-number, span.row-time, span.row-text, span.row-extra, button.row-button'
const styled = '.row-text > span, .row-text > mark'
return [...document.querySelectorAll('.pane-rows *')].filter((node) => !node.matches(made) && !node.matches(styled))
  .map((node) => node.outerHTML)
"""


def all_rows(page: Page, count: int) -> dict[int, str]:
    """Text of every row from the first to the last, by scrolling through."""
    found: dict[int, str] = {}

    def grows() -> bool:
        before = len(found)
        found.update({row["n"]: row["text"] for row in page.rows() if "is-loading" not in row["classes"]})
        return len(found) > before

    page.press(Keys.HOME)
    page.until(lambda: page.numbers()[:1] == [1] and grows(), "not at the start")
    while len(found) < count:
        page.press(Keys.PAGE_DOWN)
        page.until(grows, f"only {len(found)} of {count} rows ever showed")
    return found


@pytest.mark.parametrize("name", ["maml", "nerf"])
def test_real_lines_are_shown_as_they_were_sent(service: Service, page: Page, name: str) -> None:
    raw = (REAL / f"{name}.log").read_bytes()
    service.append(f"real-{name}", raw, final=True)
    sent = [line.removesuffix("\r") for line in raw.decode(errors="replace").split("\n")]
    if sent[-1] == "":
        sent.pop()
    plain = {n for n, line in enumerate(sent, 1) if not re.search(r"[^\t\x20-\x7e\xa1-\u1fff\u3000-\U000dffff]", line)}
    assert len(plain) > 0.9 * len(sent)

    page.open(f"real-{name}")
    page.until(lambda: page.numbers()[-1:] == [len(sent)], "not at the end")
    shown = all_rows(page, len(sent))

    assert {n: shown[n] for n in plain} == {n: sent[n - 1] for n in plain}


def test_hostile_text_is_text(service: Service, page: Page) -> None:
    lines = [*MARKUP, *SHOWN_BY_NAME]
    service.append("hostile", "\n".join(lines) + "\n")
    service.describe("hostile", name="<img src=x onerror='window.ran = 1'>", owner="javascript:window.ran=1")
    page.open("hostile")
    page.until(lambda: len(page.rows()) == len(lines), "not all lines")

    assert [row["text"] for row in page.rows()] == [*MARKUP, *SHOWN_BY_NAME.values()]
    assert page.run("return window.ran") is None
    assert page.run("return window.violations") == []
    assert page.run(STRANGERS) == []
    assert not page.all('a[href^="javascript:"]')

    for button in page.all('.row-button[data-action="raw"]'):
        button.click()
    page.until(lambda: "^[]8;;javascript:window.ran=1^[\\click" in page.text(".pane-rows"), "not the raw form")
    assert page.run(STRANGERS) == []
    assert page.run("return [window.ran, window.violations]") == [None, []]


def test_text_of_a_colour_like_the_ground_can_be_read(service: Service, page: Page) -> None:
    service.append(
        "told-hidden", "\x1b[38;2;255;255;255mwhite\x1b[38;2;0;0;0mblack\x1b[38;2;9;9;9;48;2;9;9;9msame\x1b[0m\n"
    )
    page.open("told-hidden")
    page.see("same", ".row-text")
    contrasts = """
    const channels = (color) => {
      const canvas = new OffscreenCanvas(1, 1).getContext('2d')
      canvas.fillStyle = color
      canvas.fillRect(0, 0, 1, 1)
      return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
    }
    const light = (color) => {
      const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
      const [r, g, b] = channels(color).map((c) => linear(c / 255))
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const ground = getComputedStyle(document.body).backgroundColor
    return [...document.querySelectorAll('.row-text > span')].map((node) => {
      const { color, backgroundColor } = getComputedStyle(node)
      const [a, b] = [light(color), light(backgroundColor === 'rgba(0, 0, 0, 0)' ? ground : backgroundColor)]
      return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    })
    """
    for theme in ("light", "dark"):
        page.run("document.documentElement.dataset.theme = arguments[0]", theme)
        found = page.run(contrasts)
        assert len(found) == 3
        assert min(found) > 3, (theme, found)


def test_a_row_that_turns_around_turns_no_other(service: Service, page: Page) -> None:
    """Overrides are shown by name; Hebrew reads from the right, within its row only."""
    service.append("bidi", "before\nabc \u202e\u05d0\u05d1\u05d2 def\n\u05d0\u05d1\u05d2 (1) x\nafter\n")
    page.open("bidi")
    page.until(lambda: [row["text"] for row in page.rows()][-1:] == ["after"], "not there")
    assert page.rows()[1]["text"] == "abc [U+202E]\u05d0\u05d1\u05d2 def"
    places = page.run(
        """return [...document.querySelectorAll('.row')].map((row) => [
          row.querySelector('.row-number').getBoundingClientRect().left,
          row.querySelector('.row-text').getBoundingClientRect().left,
          getComputedStyle(row.querySelector('.row-text')).unicodeBidi,
        ])"""
    )
    assert len({tuple(place) for place in places}) == 1
    assert places[0][2] == "isolate"


def test_a_megabyte_of_combining_marks_stays_in_its_row(service: Service, page: Page) -> None:
    """Eight on one character is what scripts need; a browser takes seconds to lay out thousands: they are named."""
    service.append("marks", "one\ne" + "\u0301" * 524_288 + "\nthree\n")
    page.open("marks")
    start = "e" + "\u0301" * 8 + "[U+0301][U+0301]"
    page.until(lambda: [row["text"][: len(start)] for row in page.rows()] == ["one", start, "three"], "not shown")
    assert page.run("return [...document.querySelectorAll('.row')].every((row) => row.offsetHeight === 20)")
    assert page.run("return getComputedStyle(document.querySelector('.row')).overflowY") == "clip"

    page.press("w")
    page.until(lambda: [row["text"] for row in page.rows()][-1:] == ["three"], "not wrapped")
    page.press(Keys.HOME)
    page.until(lambda: page.numbers()[:1] == [1] and len(page.rows()[-1]["text"]) > 200_000, "not all of it")
    assert page.rows()[-1]["text"] == "e" + "\u0301" * 8 + "[U+0301]" * (32 * 1024 - 9)  # cut at 64 KiB
    page.press("w")


def test_progress_is_folded_and_raw_on_demand(service: Service, page: Page) -> None:
    service.append("bar", "  0%|  | 0/2\r 50%|# | 1/2\r100%|##| 2/2\nwait \b\b|\b/\b-\b done\n\x1b[31mred\x1b[0m\n")
    page.open("bar")
    page.until(lambda: [row["text"] for row in page.rows()] == ["100%|##| 2/2", "wai done", "red"], "not folded")
    page.see("red", ".ansi-f1")

    page.click('.row-button[data-action="raw"]')
    page.until(lambda: page.rows()[0]["text"] == "  0%|  | 0/2^M 50%|# | 1/2^M100%|##| 2/2", "not the raw form")
    page.click('.row-button[data-action="raw"]')
    page.until(lambda: page.rows()[0]["text"] == "100%|##| 2/2", "not folded again")


def test_cut_progress_shows_its_last_state(service: Service, page: Page) -> None:
    service.append("spin", "Loading " + "".join(f"\r{n:6d} of 20000" for n in range(1, 20_001)) + "\n")
    page.open("spin")
    page.until_last(" 20000 of 20000")


def test_long_rows_are_drawn_as_far_as_they_are_seen(service: Service, page: Page) -> None:
    line = "".join(f"{n:07d} " for n in range(8000))
    service.append("wide", (line + "\n") * 40)
    page.open("wide")
    page.until(lambda: page.numbers()[-1:] == [40] and page.last_row().startswith("0000000 "), "not there")
    assert len(page.last_row()) < 4096
    width = page.run("return document.querySelector('.row-text').getBoundingClientRect().width")
    assert width > 64_000 * 6  # and yet there is room for all of it

    page.run("document.querySelector('.pane-view').scrollLeft = 1e9")
    page.until(lambda: page.last_row() == line, "the right end never came")


def test_a_hit_far_right_is_shown(service: Service, page: Page) -> None:
    service.append("far", "start\n" + "x" * 50_000 + "needle" + "y" * 1000 + "\nend\n")
    page.open("far")
    page.until_last("end")
    page.search("needle").send_keys(Keys.ENTER)
    page.until_row(2, "is-current")

    def in_view() -> bool:
        return bool(
            page.run(
                """const mark = document.querySelector('mark')?.getBoundingClientRect()
                const view = document.querySelector('.pane-view').getBoundingClientRect()
                return mark && mark.left > view.left && mark.right < view.right"""
            )
        )

    page.until(in_view, "the hit is not in view")


@pytest.mark.parametrize("size", [1_000_000, 100_000_000])
def test_a_line_of_any_length_is_read_in_pieces(service: Service, page: Page, size: int) -> None:
    job = f"block-of-{size}"
    service.append(job, "before\n")
    block = "".join(f"{n:09d}é" for n in range(size // 11 // 10))
    for _ in range(10):
        service.append(job, block)
    service.append(job, "END\nafter\n")
    page.open(job)
    page.until_last("after")
    page.see("MiB more" if size > 10_000_000 else "KiB more", ".row-button[data-action=more]")

    page.click('.row-button[data-action="more"]')
    whole = (block * 2)[: 2 * 65_536]
    page.until(lambda: page.text(".rest") and page.text(".rest") in whole, "the second piece never came")
    second = page.text(".rest")
    page.click(".long-line-head .button:nth-child(1)")
    page.until(lambda: page.text(".rest") != second and whole.startswith(page.text(".rest") + second), "no first piece")

    page.run(
        """const range = document.querySelector('.long-line-head input')
        range.value = range.max
        range.dispatchEvent(new Event('input', { bubbles: true }))"""
    )
    page.until(lambda: page.text(".rest").endswith("END"), "the last piece never came")
    assert len(page.text(".rest")) <= 65_536
    page.press(Keys.ESCAPE)


def test_a_hit_behind_the_cut_is_said_and_reached(service: Service, page: Page) -> None:
    service.append("behind", "before\n" + "é" * 200_000 + "needle" + "é" * 100_000 + "\nafter\n")
    page.open("behind")
    page.until_last("after")
    page.search("needle").send_keys(Keys.ENTER)
    page.see("match inside", ".row-button[data-action=more]")
    page.click('.row-button[data-action="more"]')
    page.see("needle", ".rest")
    page.press(Keys.ESCAPE)


def test_numbers_times_and_levels_stand_beside_the_text(service: Service, page: Page) -> None:
    service.append("told-beside", "fine\nWARNING slow\nERROR failed\n" + "wide " * 500 + "\n")
    page.open("told-beside")
    page.until(lambda: page.numbers() == [1, 2, 3, 4], "not there")
    assert not page.all(".row-time")

    page.run("[...document.querySelectorAll('.toggle')].find((node) => node.textContent === 'Time').click()")
    page.until(lambda: len(page.all(".row-time")) == 4, "no times")
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", node.text) for node in page.all(".row-time"))
    colours = page.run(
        "return [...document.querySelectorAll('.row-text')].map((node) => getComputedStyle(node).color).slice(0, 3)"
    )
    assert len(set(colours)) == 3

    def places() -> list[float]:
        lefts = (
            "[...document.querySelectorAll('.row-number, .row-time')].map((node) => node.getBoundingClientRect().left)"
        )
        return list(page.run(f"return {lefts}"))

    before = places()
    page.run("document.querySelector('.pane-view').scrollLeft = 600")
    page.until(lambda: page.run("return document.querySelector('.pane-view').scrollLeft") > 500, "not wide enough")
    assert places() == before
