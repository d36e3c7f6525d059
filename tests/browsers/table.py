"""Browser × feature, from what the tests have shown."""

from __future__ import annotations

from collections.abc import Iterator

NOT_RUN = "–"


class Table:
    """A feature is shown by one test or several: it is there when all passed."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        """Name and version by browser, in the order of the columns."""
        self._cells: dict[str, dict[str, str]] = {}

    def add(self, feature: str, browser: str, outcome: str, why: str = "") -> None:
        """``outcome`` is pytest's; ``why`` says why a test was skipped or how it passed. What is no pass covers one."""
        word = {"passed": "yes", "skipped": "not tested"}.get(outcome, "no")
        cells = self._cells.setdefault(feature, {})
        if cells.get(browser, "yes").startswith("yes"):
            cells[browser] = f"{word}: {why}" if why else word

    def lines(self) -> Iterator[str]:
        """As Markdown; none when nothing ran."""
        if not self._cells:
            return
        browsers = [*self.versions, *sorted({name for row in self._cells.values() for name in row} - {*self.versions})]
        yield _row("", *(self.versions.get(browser, browser) for browser in browsers))
        yield _row(*["---"] * (len(browsers) + 1))
        for feature, cells in self._cells.items():
            yield _row(feature, *(cells.get(browser, NOT_RUN) for browser in browsers))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
