"""Leads and a model that answers, fails, stalls or refuses, on a real store and real sockets."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import structlog
from aiohttp import web

from control_plane.scheduling.scripts import Caps
from leads.model import Lead
from tests.integration.control_plane.enrichment.conftest import (
    KEY,
    PAUSE,
    THRESHOLD,
    Counts,
    Desk,
    Model,
    completion,
    honest,
    said,
    status,
)
from tests.support import wait_until

OAK = Lead(display_name="Oak Dental", website="https://oak.example/", emails=["info@oak.example"])
ELM = Lead(display_name="Elm Law", website="https://elm.example/", emails=["info@elm.example"])


def many(count: int) -> list[Lead]:
    return [Lead(display_name=f"Business {n}", emails=[f"info@b{n}.example"]) for n in range(count)]


async def test_a_lead_has_the_rules_answer_at_once_and_then_the_models(
    desk: Desk, model: Model, counts: Counts
) -> None:
    task = await desk.find(OAK, ELM, objective="email_outreach")
    found = await desk.stored()
    assert [(lead.enrichment.source, lead.enrichment.category) for lead in found if lead.enrichment] == [
        ("rules", "health"),
        ("rules", "legal"),
    ]
    assert await desk.work(desk.replica()) == 1

    enriched = await desk.by_ai()
    assert [lead.display_name for lead in enriched] == ["Oak Dental", "Elm Law"]
    for before, after in zip(found, enriched, strict=True):
        assert after.model_copy(update={"enrichment": before.enrichment}) == before  # nothing else has changed
        assert after.enrichment
        assert (after.enrichment.category, after.enrichment.fit) == ("legal", 42)
        assert after.enrichment.summary == f"{before.display_name} as told."
        assert (after.enrichment.model, after.enrichment.objective) == ("gpt-test", "email_outreach")

    events = await desk.world.events(task, "enriched")
    assert [data["lead_id"] for _, data in events] == [lead.lead_id for lead in enriched]
    assert events[0][1]["enrichment"]["summary"] == "Oak Dental as told."
    assert model.keys == [f"Bearer {KEY}"]
    assert await desk.waiting() == 0
    assert counts.of("calls") == {"answered": 1}
    assert counts.of("leads") == {"answered": 2}
    assert counts.of("fallbacks") == {}
    assert counts.of("tokens") == {"prompt": 300, "completion": 60}
    assert counts.of("cost") == {"": pytest.approx(420 / 1_000_000)}
    assert await desk.spent() == {"tokens": 360, "tokens:acme": 360, "cost": 420}
    assert await desk.world.counter("enrichments") == 2


async def test_the_same_content_is_paid_for_once_and_another_is_new(desk: Desk, model: Model) -> None:
    replica = desk.replica()
    await desk.find(OAK)
    await desk.work(replica)
    await desk.find(OAK)  # another task, the same page
    assert await desk.waiting() == 0
    await desk.find(OAK, objective="cold_calling")  # another question
    await desk.find(OAK, tenant="other")
    assert await desk.work(replica) == 2
    await desk.find(OAK.model_copy(update={"description": "Now also gums."}))
    assert await desk.work(replica) == 1
    assert len(model.asked) == 4
    assert len(await desk.by_ai()) == 4


async def test_pages_of_one_business_are_one_question_about_the_fullest(desk: Desk, model: Model) -> None:
    full = OAK.model_copy(update={"description": "We mend teeth.", "source_url": "https://oak.example/about"})
    task = await desk.find(OAK)
    await desk.again(task, full)
    await desk.again(task, OAK.model_copy(update={"source_url": "https://oak.example/x", "categories": ["A"]}))
    replica = desk.replica()
    await desk.work(replica)
    ((asked,),) = model.leads
    assert asked["facts"]["description"] == "We mend teeth."
    late = OAK.model_copy(update={"source_url": "https://oak.example/late", "description": "A longer text. " * 9})
    await desk.again(task, late)
    await desk.find(OAK, full, late)  # all of them again, by another task
    assert await desk.work(replica) == 0
    assert len(model.asked) == 1


async def test_tenants_are_not_mixed_and_take_turns(desk: Desk, model: Model) -> None:
    await desk.find(*many(6), tenant="large")
    await desk.find(OAK, tenant="small")
    replica = desk.replica(batch=2, at_once=1)
    for _ in range(4):
        await desk.work(replica)
    sizes = [len(batch) for batch in model.leads]
    names = [batch[0]["facts"]["name"] for batch in model.leads]
    assert sorted(sizes) == [1, 2, 2, 2]
    assert "Oak Dental" in names[:2]


async def test_replicas_that_race_ask_about_each_lead_once(desk: Desk, model: Model) -> None:
    leads = many(30)
    await desk.find(*leads)
    replicas = [desk.replica(batch=3) for _ in range(3)]

    async def all_answered() -> bool:
        await asyncio.gather(*(desk.work(replica) for replica in replicas))
        return len(await desk.by_ai()) >= len(leads)

    await wait_until(all_answered)
    asked = [lead["facts"]["name"] for batch in model.leads for lead in batch]
    assert sorted(asked) == sorted(lead.display_name or "" for lead in leads)
    assert len(await desk.by_ai()) == len(leads)


async def test_a_dead_endpoint_costs_nothing_but_its_answers(desk: Desk, counts: Counts) -> None:
    task = await desk.find(OAK)
    replica = desk.replica(retries=1)
    port, desk.model.port = desk.model.port, 0
    dead = desk.replica(retries=1)  # nobody listens there
    desk.model.port = port
    await desk.work(dead)
    assert await desk.waiting() == 1
    assert await desk.attempts() == [1]
    await desk.make_due()
    await desk.work(dead)
    assert await desk.waiting() == 0
    assert counts.of("calls") == {"unreachable": 2}
    assert counts.of("fallbacks") == {"unreachable": 1}
    assert (await desk.spent())["tokens"] == 0
    (lead,) = await desk.stored()
    assert lead.enrichment
    assert lead.enrichment.source == "rules"
    assert await desk.world.end(*desk.runs[f"{task}.0"]) == "ok"
    assert await desk.world.state(task) == "completed"
    await desk.find(OAK)  # it was never answered, so the next time it may be
    assert await desk.work(replica) == 1
    assert len(await desk.by_ai()) == 1


async def test_a_slow_endpoint_is_cut_and_paid_for_by_the_reservation(desk: Desk, model: Model, counts: Counts) -> None:
    model.held = asyncio.Event()
    await desk.find(OAK)
    await desk.work(desk.replica(timeout=timedelta(seconds=0.2), retries=0))
    assert counts.of("calls") == {"timeout": 1}
    assert counts.of("fallbacks") == {"timeout": 1}
    assert (await desk.spent())["tokens"] > 250
    model.held.set()


async def test_an_endpoint_that_trickles_or_floods_is_cut_too(desk: Desk, model: Model, counts: Counts) -> None:
    async def trickle(request: web.Request, _: Any) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.01)
        except (ConnectionError, asyncio.CancelledError):
            return response

    async def flood(*_: Any) -> web.StreamResponse:
        answer = completion([said(lead) for lead in model.leads[-1]])
        return web.Response(body=answer.body + b" " * (3 << 20))

    model.answers = [trickle, flood]
    await desk.find(OAK)
    replica = desk.replica(timeout=timedelta(seconds=0.5), retries=1)
    await desk.work(replica)
    await desk.make_due()
    await desk.work(replica)
    assert counts.of("calls") == {"timeout": 1, "malformed": 1}
    assert await desk.by_ai() == []
    assert await desk.waiting() == 0


async def test_retry_after_is_kept_to_and_costs_no_attempt(desk: Desk, model: Model, counts: Counts) -> None:
    model.answer = status(429, **{"Retry-After": "120"})
    await desk.find(OAK)
    replica = desk.replica(retries=0)
    await desk.work(replica)
    assert await desk.waiting() == 1
    (due,) = [
        at for _, at in await desk.world.client.zrange(desk.world.keys.enrichment_line("acme"), 0, -1, withscores=True)
    ]
    seconds, _ = await desk.world.client.time()
    assert 118 <= due / 1000 - seconds <= 121
    assert await desk.attempts() == [0]
    await desk.make_due()
    desk.clock.now += 119
    assert await desk.work(replica) == 0  # whatever is due: the endpoint is left alone
    assert len(model.asked) == 1
    desk.clock.now += 1
    model.answer = honest
    assert await desk.work(replica) == 1
    assert len(await desk.by_ai()) == 1
    assert counts.of("calls") == {"rate_limited": 1, "answered": 1}
    assert counts.of("leads") == {"later": 1, "answered": 1}


async def test_failures_open_the_breaker_and_a_trial_closes_it(desk: Desk, model: Model) -> None:
    model.answer = status(500)
    replica = desk.replica(retries=10, batch=1, at_once=1)
    await desk.find(*many(THRESHOLD + 2))
    for _ in range(THRESHOLD):
        assert await desk.work(replica) == 1
    assert replica.health()["breaker"] == "open"
    assert replica.health()["status"] == "degraded"
    await desk.make_due()
    assert await desk.work(replica) == 0
    assert len(model.asked) == THRESHOLD

    desk.clock.now += PAUSE.total_seconds()
    assert await desk.work(replica) == 1  # the trial fails
    assert await desk.work(replica) == 0
    desk.clock.now += PAUSE.total_seconds()
    model.answer = honest
    await desk.make_due()
    assert await desk.work(replica) == 1
    assert replica.health() == {"status": "up", "breaker": "closed"}
    for _ in range(THRESHOLD + 1):
        await desk.work(replica)
    assert len(await desk.by_ai()) == THRESHOLD + 2


@pytest.mark.parametrize("code", [401, 402, 403])
async def test_a_refused_key_opens_it_at_once_and_says_so_without_the_key(desk: Desk, model: Model, code: int) -> None:
    model.answer = status(code)
    await desk.find(OAK)
    replica = desk.replica()
    with structlog.testing.capture_logs() as logs:
        await desk.work(replica)
    assert any(entry["log_level"] == "error" and "LEADFLEET_ENRICHMENT_KEY" in entry["event"] for entry in logs)
    assert KEY not in str(logs)
    assert replica.health()["status"] == "degraded"
    assert str(code) in replica.health()["detail"]
    await desk.make_due()
    assert await desk.work(replica) == 0
    assert len(model.asked) == 1


async def test_what_waits_too_long_keeps_the_rules_answer_also_while_nobody_asks(
    desk: Desk, model: Model, counts: Counts
) -> None:
    model.answer = status(401)
    await desk.find(OAK)
    replica = desk.replica()
    await desk.work(replica)
    await desk.make_due()
    (key,) = [key async for key in desk.world.client.scan_iter("*:enrichment:acme:*")]
    await desk.world.client.hincrby(key, "since", -901_000)
    await desk.work(replica)
    assert await desk.waiting() == 0
    assert counts.of("fallbacks") == {"waited": 1}
    assert [key async for key in desk.world.client.scan_iter("*:enrichment*") if b"spend" not in key] == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("I cannot help with that.", "not_json"),
        ('{"leads": [', "not_json"),
        ([], "missing"),
        ([{"id": "somebody", "category": "legal", "summary": "x", "fit": None}], "missing"),
    ],
)
async def test_an_answer_that_is_none_is_paid_for_once(
    desk: Desk, model: Model, counts: Counts, content: Any, reason: str
) -> None:
    async def nonsense(*_: Any) -> web.StreamResponse:
        return completion(content)

    model.answer = nonsense
    await desk.find(OAK)
    replica = desk.replica()
    await desk.work(replica)
    assert counts.of("fallbacks") == {reason: 1}
    assert counts.of("leads") == {"refused": 1}
    await desk.find(OAK)
    assert await desk.work(replica) == 0
    assert len(model.asked) == 1
    assert await desk.by_ai() == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"choices": []}', b'{"choices": [{"message": {"content": null}}]}', b"\xff\xfe"]
)
async def test_what_is_no_chat_completion_is_a_failure(desk: Desk, model: Model, counts: Counts, body: bytes) -> None:
    async def strange(*_: Any) -> web.StreamResponse:
        return web.Response(body=body)

    model.answer = strange
    await desk.find(OAK)
    await desk.work(desk.replica())
    assert counts.of("calls") == {"malformed": 1}
    assert await desk.waiting() == 0


async def test_a_redirect_is_not_followed(desk: Desk, model: Model, counts: Counts) -> None:
    model.answer = status(307, Location=f"{model.url}/chat/completions")
    await desk.find(OAK)
    await desk.work(desk.replica())
    assert counts.of("calls") == {"rejected": 1}
    assert len(model.asked) == 1


async def test_one_bad_answer_does_not_cost_the_others_theirs(desk: Desk, model: Model, counts: Counts) -> None:
    async def partly(_: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        first, second = model.leads[-1]
        return completion([said(first, phone="+49 30 1"), said(second)])

    model.answer = partly
    await desk.find(OAK, ELM)
    await desk.work(desk.replica())
    assert [lead.display_name for lead in await desk.by_ai()] == ["Elm Law"]
    assert counts.of("fallbacks") == {"fields": 1}


async def test_an_endpoint_without_structured_outputs_is_asked_more_plainly(desk: Desk, model: Model) -> None:
    async def old(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if "response_format" in body:
            return web.json_response({"error": {"message": "unknown parameter response_format"}}, status=400)
        return await honest(request, body)

    model.answer = old
    replica = desk.replica()
    await desk.find(OAK)
    await desk.work(replica)
    await desk.find(ELM)
    await desk.work(replica)
    assert len(await desk.by_ai()) == 2
    formats = [body.get("response_format", {}).get("type") for body in model.asked]
    assert formats == ["json_schema", "json_schema", "json_object", None, None]
    assert [body.get("max_completion_tokens") for body in model.asked] == [None, 250, None, None, None]


async def test_one_that_understands_nothing_is_a_failure_and_asked_well_again(
    desk: Desk, model: Model, counts: Counts
) -> None:
    model.answer = status(400)
    await desk.find(OAK)
    replica = desk.replica()
    await desk.work(replica)
    assert counts.of("calls") == {"rejected": 1}
    model.answer = honest
    await desk.find(ELM)
    await desk.work(replica)
    assert model.asked[-1]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("caps", "asked"),
    [
        (Caps(tokens=100, tenant_tokens=10**6, cost=0), 0),
        (Caps(tokens=10**6, tenant_tokens=100, cost=0), 0),
        (Caps(tokens=10**6, tenant_tokens=10**6, cost=100), 0),
        (Caps(tokens=2_000, tenant_tokens=10**6, cost=0), 1),
    ],
)
async def test_a_cap_is_never_passed_and_costs_no_lead_its_rules(
    desk: Desk, model: Model, counts: Counts, caps: Caps, asked: int
) -> None:
    async def dear(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return completion([said(lead) for lead in model.leads[-1]], {"prompt_tokens": 1_000, "completion_tokens": 200})

    model.answer = dear
    replica = desk.replica(caps=caps, batch=1, at_once=1)
    await desk.find(OAK, ELM)
    await desk.work(replica)
    await desk.work(replica)
    assert len(model.asked) == asked
    assert counts.of("fallbacks") == {"capped": 2 - asked}
    assert await desk.waiting() == 0
    assert (await desk.spent()).get("tokens", 0) <= caps.tokens
    assert len(await desk.stored()) == 2 + asked


async def test_a_cap_of_the_fleet_is_seen_in_its_health(desk: Desk) -> None:
    replica = desk.replica(caps=Caps(tokens=1, tenant_tokens=10**6, cost=0))
    await desk.find(OAK)
    with structlog.testing.capture_logs() as logs:
        await desk.work(replica)
        await desk.find(ELM)
        await desk.work(replica)
    assert [entry["cap"] for entry in logs if "daily cap" in entry["event"]] == ["tokens"]
    assert replica.health()["status"] == "degraded"


async def test_an_endpoint_that_lies_about_its_tokens_is_paid_by_the_reservation(desk: Desk, model: Model) -> None:
    async def liar(*_: Any) -> web.StreamResponse:
        return completion([said(lead) for lead in model.leads[-1]], {"prompt_tokens": 10**15, "completion_tokens": -5})

    model.answer = liar
    await desk.find(OAK)
    await desk.work(desk.replica())
    assert len(await desk.by_ai()) == 1
    assert 250 < (await desk.spent())["tokens"] < 5_000


async def test_what_a_dead_replica_had_in_its_hands_is_asked_by_another_and_stored_once(
    desk: Desk, model: Model
) -> None:
    model.held = asyncio.Event()
    await desk.find(OAK)
    dead, other = desk.replica(), desk.replica()
    await dead.claim()
    await wait_until(lambda: model.asked)
    await dead.aclose()
    assert await desk.work(other) == 0  # the claim lasts
    model.held.set()
    await desk.make_due()
    await desk.work(other)
    assert len(await desk.by_ai()) == 1
    assert (await desk.spent())["tokens"] > 360  # the dead one's reservation stays spent


async def test_the_late_word_of_an_overtaken_replica_decides_nothing(desk: Desk, model: Model, counts: Counts) -> None:
    model.held = asyncio.Event()
    await desk.find(OAK)
    slow, quick = desk.replica(), desk.replica()
    await slow.claim()
    await wait_until(lambda: model.asked)
    await desk.make_due()
    await quick.claim()
    await wait_until(lambda: len(model.asked) == 2)
    model.held.set()
    await desk.work(slow, quick)
    assert len(await desk.by_ai()) == 1
    assert counts.of("leads") == {"answered": 1, "stale": 1}


async def test_an_answer_about_a_lead_that_was_erased_meanwhile_is_not_stored(
    desk: Desk, model: Model, counts: Counts
) -> None:
    model.held = asyncio.Event()
    await desk.find(OAK)
    replica = desk.replica()
    await replica.claim()
    await wait_until(lambda: model.asked)
    (lead,) = await desk.stored()
    await desk.world.client.delete(desk.world.keys.enrichment("acme", f"{lead.lead_id}."))
    model.held.set()
    await desk.work(replica)
    assert await desk.by_ai() == []
    assert counts.of("leads") == {"stale": 1}


async def test_events_of_a_task_that_has_expired_are_not_brought_back(desk: Desk) -> None:
    task = await desk.find(OAK)
    await desk.world.client.delete(desk.world.keys.events(task))
    await desk.work(desk.replica())
    assert len(await desk.by_ai()) == 1
    assert await desk.world.events(task) == []


async def test_a_line_that_is_too_long_takes_no_more(desk: Desk, valkey: Any) -> None:
    from tests.integration.control_plane.scheduling.world import World

    desk.world = World(valkey, enrichment_wait_ms=0, enrichment_line=3)
    await desk.find(*many(5))
    assert await desk.waiting() == 3
    assert await desk.world.counter("enrichments_crowded_out") == 2
    assert len(await desk.stored()) == 5
