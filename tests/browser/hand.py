"""What every walk through the console needs: a browser, waiting, reading, and a look at whether a page is in order."""

import base64
import os
import pathlib
import re

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_SECONDS = 60

# Rules of WCAG 2.2, levels A and AA, as a program; `./test` puts it there.
AXE = next(pathlib.Path(__file__).parents[2].glob("target/axe/lib/python3*/site-packages/axe_playwright_python/axe.min.js"), None)


# Where pictures of the pages are put, for people to look at; without it none are made.
PICTURES = os.environ.get("TOLLBOOK_PICTURES", "")


def browser(width, profile):
    options = Options()
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", f"--user-data-dir={profile}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(pathlib.Path(profile) / "taken")})
    # A window is never narrower than some 500 pixels; a page can be.
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    return driver


def until(driver, what, is_so):
    """A look at a page that gives way to the next one in that moment counts as "not yet"."""
    wait = WebDriverWait(driver, PATIENCE_SECONDS, poll_frequency=0.1, ignored_exceptions=[WebDriverException])
    wait.until(lambda _: is_so(), what)


def leads_on(driver, act):
    """Does what leads to another page and waits for that page: elements looked for afterwards are its own."""
    driver.execute_script("window.isLeft = true")
    act()
    until(driver, "the next page", lambda: driver.execute_script("return !window.isLeft && document.readyState == 'complete'"))


def text(driver):
    return driver.find_element(By.TAG_NAME, "body").text


def calm(driver, page, refused=None):
    """No error on the console, nothing wider than the window, every control named; of both schemes a picture, where a place for them is named.

    A page that was answered with the status `refused` is said to be by the browser, and nothing else."""
    errors = [entry["message"] for entry in driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
    if refused:
        errors = [it for it in errors if f"status of {refused} " not in it]
    assert not errors, f"{page}: {errors}"
    assert not driver.execute_script("return document.documentElement.scrollWidth > innerWidth"), f"{page} is too wide"
    unnamed = driver.execute_script(
        "return [...document.querySelectorAll('input:not([type=hidden]), select, textarea')]"
        ".filter((it) => !it.labels.length && !it.ariaLabel).map((it) => it.outerHTML)"
    )
    assert not unnamed, f"{page}: controls without a name: {unnamed}"

    if AXE is not None:
        driver.execute_script(AXE.read_text())
    for scheme in ("light", "dark"):
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
        picture(driver, page, scheme)
        if AXE is None:
            continue
        broken = driver.execute_async_script(
            "const done = arguments[0];"
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'], iframes: false})"
            ".then((found) => done(found.violations.map((it) => [it.id, it.nodes.map((node) => node.html.slice(0, 200))])))"
        )
        assert not broken, f"{page}, {scheme}: {broken}"


def picture(driver, page, scheme):
    """Of the whole page, into the folder that TOLLBOOK_PICTURES names."""
    if not PICTURES:
        return
    width, height = driver.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
    name = re.sub("[^a-z0-9]+", "-", f"{page.lower()}-{width}-{scheme}").strip("-")
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {
        "captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": width, "height": max(height, 1), "scale": 1},
    })
    (pathlib.Path(PICTURES) / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


def go(driver, url, page, *words):
    driver.get(url + page)
    seen = text(driver)
    for word in words:
        assert word in seen, f"{page} does not say {word!r}:\n{seen}"
    calm(driver, page)


def sign_in(driver, url, user, password):
    driver.get(url + "/calls")
    assert driver.current_url.endswith("/sign-in"), driver.current_url
    driver.find_element(By.NAME, "name").send_keys(user)
    password_field = driver.find_element(By.NAME, "password")
    leads_on(driver, lambda: password_field.send_keys(password, Keys.ENTER))
    until(driver, "signed in", lambda: driver.current_url == url + "/")


def sign_out(driver):
    leads_on(driver, driver.find_element(By.CSS_SELECTOR, ".leave button").click)
    until(driver, "signed out", lambda: driver.current_url.endswith("/sign-in"))


def find(driver, what):
    """By the keyboard alone."""
    driver.find_element(By.TAG_NAME, "body").send_keys("/")
    leads_on(driver, lambda: driver.switch_to.active_element.send_keys(what, Keys.ENTER))
