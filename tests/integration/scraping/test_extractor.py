"""The extraction worker: a real process that is replaced when it dies or does not answer."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta

import psutil
import pytest

from browser_node.scraping.errors import VisitFailed
from browser_node.scraping.extractor import ProcessExtractor
from tests.support import wait_until

PAGE = "<h1>Oak</h1><a href='tel:+493023125852'>call</a>"


async def numbers(extractor: ProcessExtractor) -> list[str | None]:
    leads = await extractor.extract(PAGE, "http://oak.test/")
    return [phone.normalized_e164 for lead in leads for phone in lead.phones]


async def test_leads_come_back_as_values_and_the_worker_ends_with_its_owner() -> None:
    async with ProcessExtractor() as extractor:
        assert await numbers(extractor) == ["+493023125852"]
        pid = extractor.pid
    assert pid is not None
    await wait_until(lambda: not psutil.pid_exists(pid))


async def test_a_worker_that_died_or_hangs_is_replaced() -> None:
    async with ProcessExtractor(timeout=timedelta(seconds=1)) as extractor:
        assert extractor.pid is not None
        os.kill(extractor.pid, signal.SIGSTOP)
        with pytest.raises(VisitFailed, match="longer than 1 s"):
            await numbers(extractor)
        assert await numbers(extractor) == ["+493023125852"]
        os.kill(extractor.pid, signal.SIGKILL)
        with pytest.raises(VisitFailed, match="died") as caught:
            await numbers(extractor)
        assert caught.value.retryable
        assert await numbers(extractor) == ["+493023125852"]
        assert extractor.restarts == 2


async def test_a_cancelled_question_does_not_answer_the_next() -> None:
    async with ProcessExtractor() as extractor:
        assert extractor.pid is not None
        os.kill(extractor.pid, signal.SIGSTOP)
        asked = asyncio.create_task(extractor.extract("<h1>Other</h1>", "http://other.test/"))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await numbers(extractor) == ["+493023125852"]
