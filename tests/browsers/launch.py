"""The browsers: each started by its own WebDriver, with an empty profile and a folder for downloads."""

from __future__ import annotations

import contextlib
import os
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service as ChromeService
from selenium.webdriver.firefox.service import Service as FirefoxService
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.webkitgtk.options import Options as WebKitOptions
from selenium.webdriver.webkitgtk.service import Service as WebKitService

from browser_node.chrome_binary import find_chrome
from browser_node.sandbox import probe
from infra.bootstrap import apt, browsers

BROWSERS = ("chromium", "firefox", "webkit")

VIEWPORT = (1440, 900)

DRIVER_TIMEOUT_S = 120.0
"""Of one command. A first start on busy cores takes tens of seconds."""


@contextlib.contextmanager
def launched(browser: str, downloads: Path, display: str) -> Iterator[WebDriver]:
    """A new browser whose viewport is `VIEWPORT`; skips the test when the browser is not on this machine."""
    environment = os.environ | {"DISPLAY": display}
    if browser == "chromium":
        driver = _chromium(downloads, environment)
    elif browser == "firefox":
        driver = _firefox(downloads, environment)
    else:
        driver = _webkit(downloads, environment)
    try:
        driver.set_script_timeout(DRIVER_TIMEOUT_S)
        driver.set_page_load_timeout(DRIVER_TIMEOUT_S)
        _set_viewport(driver)
        yield driver
    finally:
        driver.quit()


@contextlib.contextmanager
def screen() -> Iterator[str]:
    """An X server that shows nothing to anybody; the value is its ``DISPLAY``, or empty where there is no Xvfb."""
    xvfb = browsers.find("Xvfb")
    if xvfb is None:
        yield ""
        return
    told, tell = os.pipe()
    command = [xvfb, "-displayfd", str(tell), "-screen", "0", "1600x1200x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[tell], stderr=subprocess.DEVNULL) as server, os.fdopen(told) as number:
        os.close(tell)
        try:
            yield f":{number.readline().strip()}"
        finally:
            server.terminate()


def _chromium(downloads: Path, environment: dict[str, str]) -> WebDriver:
    chrome = find_chrome()
    assert chrome is not None, "these tests need a Chrome; `leadfleet doctor` says how to get one"
    options = webdriver.ChromeOptions()
    options.binary_location = str(chrome.path)
    options.add_argument("--headless=new")
    if not probe().works:
        options.add_argument("--no-sandbox")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    return webdriver.Chrome(options, ChromeService(_program("chromedriver"), env=environment))


def _firefox(downloads: Path, environment: dict[str, str]) -> WebDriver:
    options = webdriver.FirefoxOptions()
    options.binary_location = _program("firefox")
    options.add_argument("-headless")
    options.set_preference("browser.download.folderList", 2)  # the folder that the next line names
    options.set_preference("browser.download.dir", str(downloads))
    driver = browsers.find_geckodriver()
    if driver is None:
        pytest.skip("no geckodriver is installed, and the pinned one is not for this machine")
    return webdriver.Firefox(options, FirefoxService(driver, env=environment))


def _webkit(downloads: Path, environment: dict[str, str]) -> WebDriver:
    if not environment["DISPLAY"]:
        pytest.skip(f"Xvfb is not installed: {apt.command(browsers.PACKAGES['Xvfb'])}")
    # MiniBrowser has no setting for it: it downloads to where the desktop says that downloads go
    settings = downloads.with_name(f"{downloads.name}-settings")
    settings.mkdir()
    (settings / "user-dirs.dirs").write_text(f'XDG_DOWNLOAD_DIR="{downloads}"\n')
    environment = environment | {"XDG_CONFIG_HOME": str(settings)}
    service = WebKitService(_program("WebKitWebDriver"), env=environment)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # Selenium's own, in this class alone
        return webdriver.WebKitGTK(WebKitOptions(), service=service)


def _program(name: str) -> str:
    path = browsers.find(name)
    if path is None:
        pytest.skip(f"{name} is not installed: {apt.command(browsers.PACKAGES[name])}")
    return path


def _set_viewport(driver: WebDriver) -> None:
    """A window has bars of its own, which count for its size and not for the page's."""
    width, height = VIEWPORT
    driver.set_window_size(width, height)
    shown = driver.execute_script("return [innerWidth, innerHeight]")
    driver.set_window_size(2 * width - shown[0], 2 * height - shown[1])
