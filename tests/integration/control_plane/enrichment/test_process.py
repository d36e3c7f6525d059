"""A whole process with a model: kill -9 between payment and storing, what a client sees, what health and logs say."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import aiohttp

from fleet.messages import Batch
from leads.model import Lead
from tests.integration.control_plane.api.conftest import KEY as API_KEY
from tests.integration.control_plane.api.conftest import START_TIMEOUT_S, Client, lists_tasks, responds
from tests.integration.control_plane.conftest import Start
from tests.integration.control_plane.enrichment.conftest import KEY, Desk, Model, status
from tests.servers import ValkeyServer
from tests.support import free_port, wait_until

OAK = Lead(display_name="Oak Dental", emails=["info@oak.example"], description="We mend teeth.")


class Running:
    """A control-plane process that asks the test's model."""

    def __init__(self, start: Start, valkey: ValkeyServer, model: Model, state: Path) -> None:
        self._start, self._valkey, self._model, self._state = start, valkey, model, state
        self.bind = f"127.0.0.1:{free_port()}"
        self.session = aiohttp.ClientSession()
        self.client = Client(self.session, f"http://{self.bind}", API_KEY)
        self.log = b""

    async def __aenter__(self) -> Running:
        self.process = await self._start(
            redis_url=self._valkey.url, bind=self.bind, bootstrap_key=API_KEY, fleet="test", state=str(self._state),
            secret="r" * 32, log_level="debug", enrichment_url=self._model.url, enrichment_key=KEY,
            enrichment_model="gpt-test",
        )  # fmt: skip
        await wait_until(lambda: responds(self.session, self.client.url), timeout=START_TIMEOUT_S)
        await wait_until(lambda: lists_tasks(self.client), description="the bootstrap key to be stored")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        _, self.log = await asyncio.wait_for(self.process.communicate(), 30)
        await self.session.close()

    async def detail(self, lead_id: str) -> Any:
        answer, body, _ = await self.client.get(f"/api/leads/{lead_id}")
        return body["lead"] if answer == 200 else None


async def test_a_process_that_is_killed_after_paying_loses_no_answer_and_stores_none_twice(
    start: Start, desk: Desk, model: Model, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    model.held = asyncio.Event()
    await desk.find(OAK)
    async with Running(start, valkey_server, model, tmp_path) as running:
        await wait_until(lambda: model.asked, description="the model to be asked")
        running.process.send_signal(signal.SIGKILL)
        await running.process.wait()
    model.held.set()
    survivor = desk.replica()
    assert await desk.work(survivor) == 0
    await desk.make_due()
    assert await desk.work(survivor) == 1
    assert len(await desk.by_ai()) == 1
    assert await desk.work(survivor) == 0
    assert await desk.waiting() == 0
    assert (await desk.spent())["tokens"] > 360
    assert KEY.encode() not in running.log


async def test_a_client_sees_it_in_events_detail_filters_and_exports(
    start: Start, desk: Desk, model: Model, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    async with Running(start, valkey_server, model, tmp_path) as running:
        await desk.world.node("n0")
        task = await running.client.start("http://93.184.215.14/", lead_objective="email_outreach")
        run = await desk.world.run("n0")
        page = Batch(boot="boot", unit=run.unit, fence=run.fence, seq=1, results=[OAK.model_dump(mode="json")])
        await desk.world.client.xadd(desk.world.keys.out("n0"), page.to_fields())
        found: list[dict[str, Any]] = []
        async with running.client.ws(f"/api/scraper/ws/results/{task}") as ws:

            async def told() -> dict[str, Any]:
                while True:
                    message = await ws.receive_json(timeout=20)
                    if message["type"] == "result":
                        found.append(message["data"])
                    if message["type"] == "enriched":
                        return message

            event = await told()
            assert event["data"]["observation_id"] == found[0]["observation_id"]
        lead_id = event["data"]["lead_id"]
        assert event["data"]["enrichment"]["source"] == "ai"
        assert [each["enrichment"]["source"] for each in found] == ["rules"]
        assert found[0]["score_reasons"][0].startswith("has an e-mail address")
        lead = await running.detail(lead_id)
        assert lead["enrichment"]["summary"] == "Oak Dental as told."
        assert lead["enrichment"]["model"] == "gpt-test"
        assert lead["score_reasons"][0].startswith("has an e-mail address")
        _, page, _ = await running.client.post(
            "/api/filters/leads", {"where": {"enriched_category": "legal", "fit_min": 42}, "sort": "-fit"}
        )
        assert [item["enrichment"]["fit"] for item in page["items"]] == [42]
        assert (await running.client.post("/api/filters/leads", {"where": {"fit_min": 43}}))[1]["total"] == 0
        _, facets, _ = await running.client.post("/api/filters/facets", {"fields": ["enriched_category"]})
        assert facets["facets"]["enriched_category"] == [{"value": "legal", "count": 1}]
        _, health, _ = await running.client.get("/health")
        assert health["components"]["enrichment"] == {"status": "up", "breaker": "closed"}
        _, metrics, _ = await running.client.get("/metrics")
        assert b'leadfleet_enrichment_calls_total{outcome="answered"} 1.0' in metrics


async def test_a_refused_key_degrades_health_and_no_task(
    start: Start, desk: Desk, model: Model, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    model.answer = status(401)
    async with Running(start, valkey_server, model, tmp_path) as running:
        task = await desk.find(OAK, tenant="default")
        await wait_until(lambda: model.asked, description="the model to be asked")
        assert await desk.world.end(*desk.runs[f"{task}.0"]) == "ok"
        assert await desk.world.state(task) == "completed"

        async def degraded() -> Any:
            _, health, _ = await running.client.get("/health")
            return health["status"] == "degraded" and health["components"]["enrichment"]

        component = await wait_until(degraded)
        assert component["status"] == "degraded"
        assert "401" in component["detail"]
        lead = await running.detail((await desk.stored())[0].lead_id or "")
        assert lead["enrichment"]["source"] == "rules"
    assert b"LEADFLEET_ENRICHMENT_KEY" in running.log
    assert KEY.encode() not in running.log
