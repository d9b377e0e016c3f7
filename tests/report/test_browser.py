"""The page in a browser: nothing breaks, filters filter, and whoever cannot see or point can use it.

It takes Chromium (Debian's package `chromium`, or the path in CHROMIUM) and playwright.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from records import claim, evidence, record, theorem

from rlclaims.report import figures
from rlclaims.report.page import Surface, write_page

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
playwright = pytest.importorskip("playwright.sync_api", reason="pages are tried in a browser by playwright")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to try pages in: apt-get install chromium")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
HOSTILE = '<script>document.title = "taken"</script><img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A page with a claim of each sort, and figures."""
    told = [
        claim("trust-region/kept"),
        claim("trust-region/left", "refuted"),
        claim("trust-region/ships", "refuted", "refuted", expected_evidence="a study"),
        claim("values/open", "inconclusive", evidence=evidence(verdict="inconclusive", lower=None)),
        claim("values/hostile", says=HOSTILE, evidence=evidence(quantity=HOSTILE)),
        claim("values/error", "error"),
        theorem("theory/always"),
    ]
    drawn = figures.training({HOSTILE: np.arange(1.0, 7).reshape(2, 3)}, "a measure", bound=2)
    waves = [[float(x * y) for x in range(5)] for y in range(4)]
    surfaces = [Surface(f"{HOSTILE}</script>", range(5), range(4), waves), Surface("two", range(5), range(4), waves)]
    return write_page(record(*told), tmp_path_factory.mktemp("page"), {"kl": drawn}, surfaces)


@pytest.fixture
def opened(browser, path):
    """Opens the page; after the test nothing may have been complained of, or asked for over a network."""
    troubles, contexts = [], []

    def open_page(width=1100, scheme="light", anchor=""):
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme))
        contexts[-1].set_default_timeout(180_000)  # how busy a machine is asserts nothing
        page = contexts[-1].new_page()
        page.on("console", lambda message: troubles.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith("file:") else troubles.append(request.url))
        page.goto(f"file://{path}{anchor}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def shown(page):
    return page.locator("details.claim:visible").count()


def test_filters_filter(opened):
    page = opened()
    assert shown(page) == 7 and page.inner_text("#found") == "7 claims"
    page.fill("#words", "trust-region number")
    assert shown(page) == 3 and page.inner_text("#found") == "3 of 7 claims"
    page.uncheck("input.state[value=contrary]")
    assert shown(page) == 2
    page.fill("#words", "")
    page.uncheck("input.state[value=expected]")
    assert [text.split()[1] for text in page.locator("details.claim:visible summary").all_inner_texts()] == [
        "values/open",
        "values/error",
    ]


def test_a_chip_opens_its_claim_even_if_it_was_filtered_out(opened):
    page = opened()
    page.fill("#words", "always")
    page.click("a.chip.contrary")
    assert page.locator("details.contrary").get_attribute("open") is not None
    assert page.locator("details.contrary").is_visible()
    (chip,) = [a for a in page.locator("a.chip").all() if "values/open" in a.get_attribute("aria-label")]
    again = opened(anchor=chip.get_attribute("href"))
    assert again.locator("details.open").get_attribute("open") is not None


def test_the_keyboard_suffices(opened):
    page = opened()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "words"
    page.keyboard.type("kept")
    assert shown(page) == 1
    page.focus("details.claim:visible summary")
    page.keyboard.press("Enter")
    assert page.locator("details.claim:visible dl").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(opened, scheme):
    page = opened(scheme=scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    assert (sum(map(int, before[4:-1].split(","))) > 380) == (scheme == "light")
    page.click("#theme")
    assert page.evaluate(ground) != before
    ink = page.evaluate("getComputedStyle(document.querySelector('figure text')).fill")
    assert ink == page.evaluate("getComputedStyle(document.body).color")  # figures are in the page's ink


def test_on_paper_it_is_dark_on_white_whatever_the_screen_is(opened):
    page = opened(scheme="dark")
    for _ in range(2):  # as the system has it, and as it was chosen
        page.emulate_media(media="print", color_scheme="dark")
        look = page.evaluate(
            "(({backgroundColor, color}) => [backgroundColor, color])(getComputedStyle(document.body))"
        )
        assert look == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
        page.emulate_media(media="screen", color_scheme="light")
        page.click("#theme")


@pytest.mark.parametrize("width", [400, 1100])
def test_nothing_sticks_out_of_a_screen(opened, width):
    page = opened(width)
    page.click("#all")
    assert page.locator("details.claim[open]").count() == 7
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_a_claim_says_is_text(opened):
    page = opened()
    page.click("#all")
    assert page.title().startswith("Claims") and page.locator("img").count() == 0
    assert HOSTILE in page.locator("blockquote").all_inner_texts()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python looks the page over"
    )
    page = opened(scheme=scheme)
    page.click("#all")
    found = axe.Axe().run(page).response["violations"]
    assert [(v["id"], [n["html"][:90] for n in v["nodes"]][:3]) for v in found if v["impact"] in SERIOUS] == []


SERIOUS = ("serious", "critical")


def test_surfaces_turn(opened):
    pytest.importorskip("plotly", reason="surfaces are turned by plotly")
    page = opened()
    assert not page.evaluate("'Plotly' in window")  # nothing is read before it is wanted
    page.click("#turn")
    page.wait_for_selector("#drawn canvas")
    eye = "JSON.stringify(document.getElementById('drawn')._fullLayout.scene._scene.getCamera().eye)"
    before = page.evaluate(eye)
    box = page.locator("#drawn canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 3, steps=5)
    page.mouse.up()
    assert page.evaluate(eye) != before
    # A drag ends somewhere: from where x cannot stay as it is while it is turned.
    page.evaluate("Plotly.relayout('drawn', {'scene.camera.eye': {x: 1.6, y: 1.6, z: 1.1}})")
    page.focus("#drawn")
    for key, change in (("ArrowLeft", "about"), ("ArrowUp", "up")):
        eye_before = page.evaluate(f"JSON.parse({eye})")
        page.keyboard.press(key)
        eye_after = page.evaluate(f"JSON.parse({eye})")
        around = [np.hypot(e["x"], e["y"]) for e in (eye_before, eye_after)]
        assert around[0] == pytest.approx(around[1], rel=1e-3)  # as far away as it was
        assert (eye_after["z"] > eye_before["z"] + 0.1) == (change == "up")
        assert (abs(eye_after["x"] - eye_before["x"]) > 0.01) == (change == "about")
    page.select_option("#surface", "1")
    assert page.evaluate("document.getElementById('drawn').data[0].z[2][3]") == 6


def test_it_is_one_file(path):
    assert [each.name for each in Path(path).parent.iterdir()] == ["index.html"]
