"""A page as a person uses it, in any browser that speaks WebDriver."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    ElementNotInteractableException,
    StaleElementReferenceException,
)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support import wait_until

PATIENCE_S = 180.0
"""Of whatever is waited for: ten times of what it takes on two busy cores. A test that passes waits no longer."""

POLL_S = 0.1

_UNFINISHED = {".part", ".crdownload", ".wkdownload"}

_LOADED = "return location.protocol.startsWith('http') && document.readyState === 'complete'"

_SHOWN = """
const [selector, text] = arguments;
const found = [...document.querySelectorAll(selector)].filter((each) => each.checkVisibility());
return found.some((each) => each.innerText.includes(text));
"""

_PLACE = """
const { left, top, right, bottom } = document.querySelector(arguments[0]).getBoundingClientRect();
return [left, top, right, bottom].map(Math.round);
"""


class Page:
    """What the tab of a browser shows. Selenium waits in a thread: the stack lives in the event loop meanwhile.

    Whatever is waited for longer than ``PATIENCE_S`` is a `selenium.common.exceptions.TimeoutException` that says what.
    """

    def __init__(self, driver: WebDriver, downloads: Path) -> None:
        self.driver, self._downloads = driver, downloads

    async def open(self, url: str) -> None:
        await asyncio.to_thread(self.driver.get, url)
        # WebKit's driver may take the end of the empty first page for that of the one it was sent to
        await self.until(_LOADED, description=f"{url} to have loaded")

    async def reload(self) -> None:
        await asyncio.to_thread(self.driver.refresh)

    async def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a function returns in the page."""
        return await asyncio.to_thread(self.driver.execute_script, script, *arguments)

    async def settled(self, expression: str, *arguments: Any) -> Any:
        """What a promise of the page comes to; one that is rejected is an `AssertionError`."""
        told = "(is) => [...arguments].at(-1)([is]), (error) => [...arguments].at(-1)(`${error}`)"
        script = f"({expression}).then({told})"
        settled = await asyncio.to_thread(self.driver.execute_async_script, script, *arguments)
        assert isinstance(settled, list), settled
        return settled[0]

    async def until(self, script: str, *arguments: Any, description: str) -> Any:
        """The first true value that the body of a function returns in the page."""
        return await self._wait(lambda driver: driver.execute_script(script, *arguments), description)

    async def sees(self, text: str, within: str = "body") -> None:
        """Wait until one of the elements of a CSS selector shows a text."""
        await self.until(_SHOWN, within, text, description=f"{text!r} in {within}")

    async def press(self, name: str, within: str = "body") -> None:
        """Click the button, link or label of this name; a name that ends with … goes on."""
        await self._act(_named(name), within, f"{name!r} to press", WebElement.click)

    async def fill(self, label: str, text: str) -> None:
        """Type into the field of this label, as on a keyboard: a line ends with Enter."""
        labelled = f'.//*[@id=//label[normalize-space()="{label}"]/@for]'
        keys = text.replace("\n", Keys.ENTER)
        await self._act(labelled, "body", f"the field {label!r}", lambda field: field.send_keys(keys))

    async def type(self, *keys: str) -> None:
        """Press keys on the keyboard, one after the other, wherever the focus is."""
        await self._perform(lambda does: does.send_keys(*keys))

    async def chord(self, *keys: str) -> None:
        """Press keys together: each is held while the next one goes down."""

        def press(does: ActionChains) -> ActionChains:
            for key in keys:
                does.key_down(key)
            for key in reversed(keys):
                does.key_up(key)
            return does

        await self._perform(press)

    async def click_at(self, selector: str, x: float, y: float) -> None:
        """Press the mouse on a point of an element, in fractions of it."""
        place = await self._point(selector, x, y)

        def click(does: ActionChains) -> ActionChains:
            does.w3c_actions.pointer_action.move_to_location(*place)
            does.w3c_actions.key_action.pause()
            return does.click()

        await self._perform(click)

    async def turn_wheel_at(self, selector: str, x: float, y: float, pixels: int) -> None:
        """Turn the wheel of the mouse over a point of an element, in fractions of it."""
        place = await self._point(selector, x, y)
        await self._perform(lambda does: does.scroll_from_origin(ScrollOrigin.from_viewport(*place), 0, pixels))

    async def _point(self, selector: str, x: float, y: float) -> tuple[int, int]:
        left, top, right, bottom = await self.run(_PLACE, selector)
        return round(left + x * (right - left)), round(top + y * (bottom - top))

    async def _perform(self, does: Callable[[ActionChains], ActionChains]) -> None:
        await asyncio.to_thread(lambda: does(ActionChains(self.driver, duration=0)).perform())

    async def texts(self, selector: str) -> list[str]:
        """What elements say, also where it has been scrolled out of sight."""
        script = "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)"
        texts: list[str] = await self.run(script, selector)
        return texts

    async def picture(self, selector: str) -> Image.Image:
        """An element as it is on the screen, in pixels of the page. WebKit's own pictures of an ``<img>`` are black."""

        def cut_out() -> Image.Image:
            png = self.driver.get_screenshot_as_png()
            left, top, right, bottom = self.driver.execute_script(_PLACE, selector)
            return Image.open(io.BytesIO(png)).convert("RGB").crop((left, top, right, bottom))

        return await asyncio.to_thread(cut_out)

    async def downloaded(self) -> Path:
        """The one file that was downloaded, once it is whole."""

        def whole() -> Path | None:
            files = list(self._downloads.iterdir())
            if len(files) != 1 or files[0].name.startswith(".") or files[0].suffix in _UNFINISHED:
                return None
            with contextlib.suppress(FileNotFoundError):  # it was renamed meanwhile
                return files[0] if files[0].stat().st_size else None
            return None

        file = await wait_until(whole, PATIENCE_S, "a file to be downloaded")
        assert file is not None
        return file

    async def _act(self, xpath: str, within: str, description: str, action: Callable[[WebElement], None]) -> None:
        """Do something to the first displayed element that is found; the page may change under our hands."""

        def act(driver: WebDriver) -> bool:
            for scope in driver.find_elements(By.CSS_SELECTOR, within):
                for element in scope.find_elements(By.XPATH, xpath):
                    if element.is_displayed() and element.is_enabled():
                        action(element)
                        return True
            return False

        await self._wait(act, description)

    async def _wait(self, condition: Callable[[WebDriver], Any], description: str) -> Any:
        changing = (ElementClickInterceptedException, ElementNotInteractableException, StaleElementReferenceException)
        wait = WebDriverWait(self.driver, PATIENCE_S, POLL_S, ignored_exceptions=changing)
        return await asyncio.to_thread(wait.until, condition, f"waited {PATIENCE_S:g} s for: {description}")


def _named(name: str) -> str:
    """XPath of what a person would call by ``name``."""
    beginning = name.removesuffix("…")
    test = f'="{name}"' if beginning == name else f', "{beginning}"'
    compare = "normalize-space(){}" if beginning == name else "starts-with(normalize-space(){})"
    pressed = "self::button or self::a or self::label"
    return f'.//*[({pressed}) and ({compare.format(test)} or @aria-label="{name}")]'
