"""Report and viewer in headless Chromium: phone width, dark mode, nothing fetched, no complaint, and what a reader does.

`make browser` brings the browser; without one these tests are skipped.
"""

import re
import shutil
from pathlib import Path

import pytest
from device_results import DEVICES
from launch import ROOT
from report_fixture import write_results
from view_store import make, say

from multiscale.reporting.by_kind import report_text

playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here (make browser)")
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, PROGRAMS)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (make browser)")
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-quic", "--disable-gpu"]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
PATIENCE_MS = 240_000
"""A busy machine is slow; a page that hangs is not waited for longer."""
CONTRAST = """() => {
  const rgb = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const c = rgb(getComputedStyle(at).backgroundColor);
      if (c[3] === 1) return c;
    }
    return [255, 255, 255, 1];
  };
  const poor = []; let looked = 0;
  for (const node of document.querySelectorAll("body *")) {
    if (![...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim()) || !node.getClientRects().length) continue;
    if (node.closest("script, style, button:disabled, [hidden]")) continue;
    const style = getComputedStyle(node), drawn = node.closest("svg");
    const ink = rgb(drawn ? style.fill : style.color), [a, b] = [light(ink), light(ground(node))].sort((x, y) => y - x);
    looked += 1;
    if ((a + 0.05) / (b + 0.05) < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) {
      poor.push(`${node.tagName} ${node.className.baseVal ?? node.className}: ${node.textContent.trim().slice(0, 30)}`);
    }
  }
  return [looked, [...new Set(poor)].slice(0, 8)];
}"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET, timeout=PATIENCE_MS)
        yield made
        made.close()


@pytest.fixture
def opened(browser):
    """Opens an address; what the page complains of and asks for is collected. Complaints fail the test at its end."""
    contexts, complaints = [], []

    def open_(address: str, viewport: dict, scheme: str = "light", **settings):
        context = browser.new_context(viewport=viewport, color_scheme=scheme, **settings)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda told: complaints.append(told.text) if told.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    open_.heard = complaints
    yield open_
    for context in contexts:
        context.close()
    assert complaints == []


def width_beyond(page) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Path:
    """The first case with invented results."""
    folder = tmp_path_factory.mktemp("pages") / "li-lpscl"
    folder.mkdir()
    (folder / "case.toml").write_text((ROOT / "cases" / "li-lpscl" / "case.toml").read_text(encoding="utf-8"), encoding="utf-8")
    write_results(folder / "results")
    return folder


def written(case: Path, name: str, alive: bool = False) -> str:
    """A report of the case as an address."""
    text = report_text(case, case / "results", ROOT / "cases" / "_experiments" / "ccd.csv", alive)
    (case / name).write_text(text, encoding="utf-8")
    return (case / name).as_uri()


@pytest.fixture(scope="module")
def still(case) -> str:
    return written(case, "still.html")


@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "light"), (PHONE, "dark"), (DESK, "dark")])
def test_a_report_opens_offline_fits_and_can_be_read(opened, still, viewport, scheme):
    page = opened(still, viewport, scheme, offline=True)
    assert page.asked == [still]
    assert width_beyond(page) == 0
    looked, poor = page.evaluate(CONTRAST)
    assert looked > 200
    assert poor == []
    assert page.locator("svg").count() >= 3
    assert page.locator("h2").first.inner_text() == "Against experiments"


def test_the_numbers_behind_a_figure_are_in_the_page(opened, still):
    page = opened(still, DESK, offline=True)
    with page.expect_download() as loading:
        page.locator("a[download='arrhenius.csv']").click()
    lines = Path(loading.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("phase,temperature (K),Li diffusivity (m^2/s)")
    assert len(lines) == 1 + 3 * 4 + 2 * 3


@pytest.mark.parametrize("kind", DEVICES)
def test_the_report_of_a_device_opens_offline_fits_and_can_be_read(opened, tmp_path, kind):
    address = written(DEVICES[kind](tmp_path / "case"), "report.html")
    page = opened(address, PHONE, "dark", offline=True)
    assert page.asked == [address]
    assert width_beyond(page) == 0
    looked, poor = page.evaluate(CONTRAST)
    assert looked > 80
    assert poor == []


def test_living_figures_are_drawn_without_the_network(opened, case):
    address = written(case, "alive.html", alive=True)
    page = opened(address, PHONE, "dark", offline=True)
    page.wait_for_function("document.querySelectorAll('figure.alive .main-svg').length >= 3")
    assert page.asked == [address]
    assert page.locator("figure.alive .still:visible").count() == 0
    assert width_beyond(page) == 0
    assert page.evaluate(CONTRAST)[1] == []


@pytest.fixture(scope="module")
def viewed(tmp_path_factory):
    """A sweep that is being looked at: its address, its store and its designs."""
    import test_view

    found, store, names = make(tmp_path_factory.mktemp("viewed") / "case")
    with test_view.served(found) as address:
        yield f"{address}/", store, names


def shown(page) -> list[str]:
    """Thickness of every row in the table, in its order."""
    return page.locator("#table tbody tr td:nth-child(3)").all_inner_texts()


def test_the_viewer_picks_axes_filters_sorts_and_opens_a_report(opened, viewed):
    address, _, names = viewed
    page = opened(address, DESK)
    page.wait_for_selector("#plot .main-svg")
    assert "5 done · 1 failed · 1 interrupted · 1 waiting" in page.locator("#counts").inner_text()
    assert page.locator("#plot .points path").count() == 5
    page.select_option("#x", "depth (um)")
    page.wait_for_function("document.querySelector('#plot .xtitle').textContent === 'depth (µm)'")
    page.select_option("#add", "thickness (nm)")
    page.get_by_label("thickness (nm) to").fill("20")
    page.wait_for_function("document.querySelectorAll('#plot .points path').length === 4")
    assert shown(page) == ["10", "10", "20", "20"]
    page.locator("#table th button", has_text="thickness").click(click_count=1)
    page.locator("#table th button", has_text="thickness").click()
    assert shown(page) == ["20", "20", "10", "10"]
    assert re.search("thickness", page.url)  # the choice lives in the address
    page.locator("#table tbody tr", has_text=names[0]).locator("td").first.click()
    with page.context.expect_page() as opening:
        page.get_by_role("link", name="open its report").click()
    report = opening.value
    report.wait_for_load_state()
    assert report.locator("h2").first.inner_text() == "Against experiments"
    with page.expect_download() as loading:
        page.locator("#save").click()
    assert len(Path(loading.value.path()).read_text(encoding="utf-8").splitlines()) == 5
    host = address.rstrip("/")
    assert all(asked.startswith((host, "blob:", "data:")) for asked in page.asked)


INKED = r"""(name) => {
    const canvas = document.getElementById('sketch'), { width, height } = canvas;
    const found = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    const word = getComputedStyle(document.documentElement).getPropertyValue(name);
    const alike = word.match(/\w\w/g).map((w) => parseInt(w, 16));
    let count = 0;
    for (let i = 0; i < found.length; i += 4)
        count += found[i + 3] > 200 && alike.every((value, k) => Math.abs(value - found[i + k]) < 3);
    return count; }"""  # how many pixels of the sketch have a colour of the page


def test_all_points_stand_there_before_the_library_of_the_picture_has_come(opened, viewed):
    page = opened("about:blank", DESK)
    page.route("**/plotly.js", lambda route: route.abort())
    page.goto(viewed[0])
    page.wait_for_selector("#sketch[data-points='5']")
    assert "All 5 points are drawn" in page.locator("#waiting").inner_text()
    assert 5 * 15 < page.evaluate(INKED, "--series-1") < 5 * 50  # discs of 50 pixels, less edges and bars
    page.select_option("#x", "state")
    page.select_option("#color", "ccd (mA/cm^2)")
    page.check("#ylog")
    page.wait_for_function("document.querySelector('#waiting').textContent.startsWith('All 5')")
    assert page.evaluate(INKED, "--series-1") == 0
    at = "[-1, 10, 1e4].map((v) => axisOf({type: 'log'}, [1, 100, 1e4]).place(v))"  # 5 % of the axis' values beyond either end
    assert page.evaluate(f"{at}.map(String)") == ["NaN", *(str(v) for v in (1.2 / 4.4, 4.2 / 4.4))]
    assert page.evaluate("axisOf({type: 'linear'}, [0, 10]).ticks.map((t) => t[1])") == ["0", "2", "4", "6", "8", "10"]
    assert page.evaluate("axisOf({type: 'category'}, ['b', 'a', 'b']).ticks") == [[0.25, "b"], [0.75, "a"]]
    shades = page.evaluate("[shade(0), shade(1), shade(0.5 * (0.471 + 0.588))]")
    assert shades == ["rgb(0,32,76)", "rgb(255,233,69)", "rgb(132,129,119)"]
    opened.heard.clear()  # the browser complains of the library that was kept from it


def test_the_viewer_follows_a_running_sweep_on_a_dark_phone(opened, viewed):
    address, store, names = viewed
    page = opened(address, PHONE, "dark")
    page.wait_for_selector("#plot .main-svg")
    assert width_beyond(page) == 0
    assert page.evaluate(CONTRAST)[1] == []
    assert page.locator("#progress").is_visible()
    say(store, names[7], "done", 3.3)
    page.wait_for_function("document.querySelectorAll('#plot .points path').length === 6")
    assert "6 done" in page.locator("#counts").inner_text()
    (store.design(names[7]) / "status.json").unlink()


def test_a_viewer_whose_server_is_gone_says_so(opened, viewed):
    page = opened(viewed[0], DESK)
    page.wait_for_selector("#plot .main-svg")
    page.route("**/data*", lambda route: route.fulfill(status=503))
    page.wait_for_selector("#problem:visible")
    assert "Is `multiscale view` still running?" in page.locator("#problem").inner_text()
    opened.heard.clear()  # the browser itself complains of the answer 503
