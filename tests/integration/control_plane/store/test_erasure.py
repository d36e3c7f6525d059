"""Erasure and opt-outs through the API: what is removed, what stays, and that nothing of it comes back."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from control_plane.erasure.registry import Registry
from control_plane.scheduling.ingest import Ingest
from control_plane.scheduling.presence import Presence
from control_plane.scheduling.scripts import Settled
from control_plane.settings import Settings
from control_plane.store.client import LeadStore
from control_plane.store.options import StoreOptions
from fleet.keys import Keys
from fleet.messages import Batch, Run
from leads.model import Lead, Phone, Validation
from tests.integration.control_plane.api.conftest import KEY, Client, Served, serving
from tests.integration.control_plane.scheduling.world import World
from tests.integration.control_plane.store.sample import found, lead
from tests.integration.control_plane.store.traces import traces_in
from tests.support import wait_until

ME = "default"


@pytest.fixture
async def served(store: LeadStore, options: StoreOptions) -> AsyncIterator[Served]:
    settings = Settings(redis_url=options.redis_url, fleet="test", bootstrap_key=KEY, secret="s" * 32)
    async with serving(settings) as made:
        made.services.store = store
        yield made


@pytest.fixture
def api(served: Served) -> Client:
    return served.client()


class Node:
    """A browser node, and the ingest of a replica of its own that reads what it says."""

    def __init__(self, valkey: Redis, keys: Keys, *, enrich: bool = False) -> None:
        self.world = World(valkey)
        scripts = self.world.scripts

        async def prepare() -> None:
            """Nothing has to be there."""

        presence = Presence(valkey, keys, scripts, "r-other", prepare)
        self.ingest = Ingest(valkey, valkey, keys, scripts, presence, Registry(valkey, keys), enrich=enrich)
        self._numbers = itertools.count(1)

    async def run(self, api: Client, url: str = "http://8.8.8.8/") -> Run:
        """A task of one unit, running here."""
        await api.start(url)
        return await self.world.run("n1")

    async def tells(self, run: Run, *leads: Lead, events: list[Any] | None = None, **changes: str) -> str:
        batch = Batch(
            boot="boot", unit=run.unit, fence=run.fence, seq=next(self._numbers), pages=1, current="",
            results=[each.model_dump(mode="json") for each in leads], events=events or [], set=changes,
        )  # fmt: skip
        return await self.ingest.apply("n1", await self.world.entry(), batch.to_fields())

    async def results(self, run: Run) -> list[str]:
        """Names of the leads in the task's result events."""
        return [data["display_name"] for _, data in await self.world.events(run.unit.partition(".")[0], "result")]


@pytest.fixture
async def node(valkey: Redis, keys: Keys) -> Node:
    made = Node(valkey, keys)
    await made.world.node("n1", slots=8)
    return made


async def names(api: Client) -> list[str]:
    _, page, _ = await api.post("/api/filters/leads", {"sort": "name"})
    assert page["total"] == len(page["items"])
    return [item["display_name"] for item in page["items"]]


async def settled(api: Client, answer: dict[str, Any]) -> dict[str, Any]:
    """The erasure in an answer, once it is done."""

    async def done() -> dict[str, Any] | None:
        _, erasure, _ = await api.get(f"/api/erasures/{answer.get('erasure', answer)['erasure_id']}")
        return erasure if erasure["status"] == "done" else None

    return await wait_until(done, 60, "the erasure to be done")


async def all_stored(store: LeadStore) -> None:
    async def nothing_waits() -> bool:
        health = await store.health()
        return health["status"] == "healthy" and health["results_waiting"] == 0

    await wait_until(nothing_waits, 60, "the sink to store everything")


async def test_a_lead_is_erased_wherever_it_is(
    api: Client, node: Node, store: LeadStore, options: StoreOptions, valkey: Redis, keys: Keys
) -> None:
    run = await node.run(api)
    task = run.unit.partition(".")[0]
    box = {"phone": "+49300000001", "selector": "a", "coordinates": {}}
    seen = {"kind": "coordinates", "data": {"url": "http://8.8.8.8/", "boxes": [box]}}
    line = {"kind": "log", "data": {"level": "info", "message": "Read https://www.cafe-1.com/contact"}}
    first = lead(1, website="https://www.cafe-1.com/", emails=["info@cafe-1.com"])
    again = first.model_copy(update={"phones": [], "source_url": "https://www.cafe-1.com/imprint"})
    assert await node.tells(run, first, again, lead(2), events=[seen, line]) == "ok"
    await all_stored(store)
    _, page, _ = await api.post("/api/filters/leads", {"where": {"q": "Nummer 1"}})
    lead_id = page["items"][0]["lead_id"]
    _, export, _ = await api.get("/api/export/csv", headers={"Accept": "application/json"})
    async with api.session.get(export["url"]) as file:
        assert b"Nummer 1" in await file.read()
    before = await node.world.events(task)

    status, erased, headers = await api.call("DELETE", f"/api/leads/{lead_id}")
    assert status in {200, 202}
    assert headers["Content-Location"] == f"/api/erasures/{erased['erasure_id']}"
    assert await names(api) == ["Café Nummer 2"], "no answer has it from here on"
    record = await settled(api, erased)

    assert lead_id in erased["lead_ids"]
    assert (record["leads"], record["observations"], record["exports"]) == (1, 2, 1)
    assert (await api.get(f"/api/leads/{lead_id}"))[0] == 404
    assert (await api.call("DELETE", f"/api/leads/{lead_id}"))[0] == 404
    left = await node.world.events(task)
    assert [event for event in before if event not in left] == [
        event for event in before if "afe-1.com" in str(event) or "+49300000001" in str(event)
    ]
    assert record["events"] == len(before) - len(left) == 4
    assert await node.results(run) == ["Café Nummer 2"]
    assert await valkey.hvals(keys.found(task)) == [(await valkey.hget(keys.found(task), "phone:+49300000002"))]
    assert traces_in(options, "Nummer 1", "cafe-1.com", "300000001") == []
    assert traces_in(options, "Nummer 2") != []
    _, expired, _ = await api.get(f"/api/export/{export['export_id']}")
    assert (expired["status"], expired["url"]) == ("expired", None)
    async with api.session.get(export["url"]) as file:
        assert file.status == 404
    _, fresh, _ = await api.get("/api/export/csv", headers={"Accept": "application/json"})
    async with api.session.get(fresh["url"]) as file:
        assert b"Nummer 1" not in await file.read()
    for stream in (keys.events(task), keys.results()):
        assert b"Nummer 1" not in (await valkey.dump(stream) or b""), "deleting an entry leaves its bytes"
    kept = await valkey.hgetall(keys.erasure(erased["erasure_id"]))
    assert not {b"value", b"lead_ids", b"traces"} & kept.keys(), "the record keeps counts only"


async def test_a_client_that_comes_back_hears_of_no_gap(api: Client, node: Node) -> None:
    run = await node.run(api)
    await node.tells(run, lead(1), lead(2))
    task = run.unit.partition(".")[0]
    _, page, _ = await api.post("/api/filters/leads", {"where": {"q": "Nummer 1"}})
    entries = await node.world.client.xrange(node.world.keys.events(task))
    last = next(entry.decode() for entry, fields in entries if b"Nummer 1" in fields[b"d"])
    await settled(api, (await api.call("DELETE", f"/api/leads/{page['items'][0]['lead_id']}"))[1])

    async with api.ws(f"/api/scraper/ws/results/{task}?last_event_id={last}") as ws:
        assert (await ws.receive_json(timeout=10))["type"] == "connected"
        following = await ws.receive_json(timeout=10)
    assert (following["type"], following["data"]["display_name"]) == ("result", "Café Nummer 2")


@pytest.mark.parametrize(("query", "comes_back"), [("", False), ("?opt_out=false", True)])
async def test_an_erased_business_stays_away_unless_told_otherwise(
    api: Client, node: Node, query: str, comes_back: bool
) -> None:
    run = await node.run(api)
    await node.tells(run, lead(1), lead(2))
    _, page, _ = await api.post("/api/filters/leads", {"where": {"q": "Nummer 1"}})
    _, erased, _ = await api.call("DELETE", f"/api/leads/{page['items'][0]['lead_id']}{query}")
    assert erased["opted_out"] is not comes_back
    later = await node.run(api, "http://8.8.4.4/")
    await node.tells(later, lead(1), lead(3))
    assert await node.results(later) == (["Café Nummer 1"] if comes_back else []) + ["Café Nummer 3"]
    assert ("Café Nummer 1" in await names(api)) is comes_back
    assert await node.world.counter("leads_withheld") == (0 if comes_back else 1)


@pytest.mark.parametrize(
    ("entry", "shown", "removed", "stored"),
    [
        ({"phone": "030 0000001", "region": "de"}, "+49•••••••01", [1, 4], True),
        ({"email": "INFO2@Cafe-2.com"}, "i•••@cafe-2.com", [2], True),
        ({"domain": "https://www.Cafe-3.com/x"}, "cafe-3.com", [3, 5, 6], True),
        ({"domain": "cafe-3.com"}, "cafe-3.com", [3, 5, 6], False),
    ],
    ids=["phone", "email", "domain", "not yet stored"],
)
async def test_an_opt_out_removes_what_is_there_and_keeps_it_away(
    api: Client, node: Node, store: LeadStore, options: StoreOptions, valkey: Redis, keys: Keys,
    entry: dict[str, str], shown: str, removed: list[int], stored: bool,
) -> None:  # fmt: skip
    told = [lead(n, website=f"https://cafe-{n}.com/", emails=[f"info{n}@cafe-{n}.com"]) for n in (1, 2, 3)]
    told += [
        lead(4, emails=[], socials={"whatsapp": "https://wa.me/49300000001"}),
        lead(5, emails=[], website="https://shop.cafe-3.com/"),
        lead(6, emails=["chef@mail.cafe-3.com"], website=None),
        lead(7, emails=["x@notcafe-3.com"], website="https://cafe-3.com.example.org/"),
    ]
    told = [each.model_copy(update={"source_url": f"https://list.org/{n}"}) for n, each in enumerate(told)]
    everybody = [each.display_name for each in told]
    left = [name for n, name in enumerate(everybody, 1) if n not in removed]
    if not stored:
        await valkey.set(keys.sink_lease(), "a sink that is slow")
    run = await node.run(api)
    await node.tells(run, *told)
    if stored:
        await all_stored(store)
    assert await names(api) == everybody

    if stored:
        status, added, _ = await api.post("/api/opt-outs", entry | {"reason": "asked by phone"})
    else:
        # the lease is another's: the views forget, and the rest waits for whoever has it next
        added = await _added_at_once(api, entry | {"reason": "asked by phone"})
        status = 202
    assert status in {200, 202}
    assert added["value"] == shown
    assert await names(api) == left
    await valkey.delete(keys.sink_lease())
    record = await settled(api, added)
    assert (record["leads"], record["observations"]) == (len(removed), len(removed))
    assert await node.results(run) == left
    await all_stored(store)
    assert traces_in(options, *(f"Nummer {n}" for n in removed)) == []

    later = await node.run(api, "http://8.8.4.4/")
    await node.tells(later, *told)
    assert await node.results(later) == left
    assert await node.world.counter("leads_withheld") == len(removed)
    _, listed, _ = await api.get("/api/opt-outs")
    asked_for = [each for each in listed["opt_outs"] if each["kind"] != "lead"]  # the leads it led to are listed too
    assert [(each["value"], each["reason"]) for each in asked_for] == [(shown, "asked by phone")]
    secret = next(iter(entry.values()))
    assert secret not in orjson.dumps(listed).decode() or "domain" in entry

    _, gone, _ = await api.call("DELETE", "/api/opt-outs", data=orjson.dumps(entry))
    assert gone["opt_out_id"] == added["opt_out_id"]
    assert (await api.get("/api/opt-outs"))[1]["total"] == 0
    last = await node.run(api, "http://1.1.1.1/")
    await node.tells(last, *told)
    assert await node.results(last) == everybody


async def _added_at_once(api: Client, body: dict[str, str]) -> dict[str, Any]:
    """Add an entry without waiting for what the erasure has still to do."""
    from control_plane.store import client

    held, client.LeadStore.erase.__kwdefaults__["wait_s"] = client.LeadStore.erase.__kwdefaults__["wait_s"], 0
    try:
        status, added, _ = await api.post("/api/opt-outs", body)
    finally:
        client.LeadStore.erase.__kwdefaults__["wait_s"] = held
    assert status == 202
    assert added["erasure"]["status"] == "running"
    return added


async def test_who_opted_out_by_mail_is_not_brought_back_by_a_page_without_it(api: Client, node: Node) -> None:
    run = await node.run(api)
    await node.tells(run, lead(1, emails=["info@cafe-1.com"]), lead(2))
    _, answer, _ = await api.post("/api/opt-outs", {"email": "INFO@Cafe-1.com"})
    await settled(api, answer)
    listing = lead(1, emails=[], website=None, source_url="http://8.8.8.8/listing/1")
    again = await node.run(api, "http://8.8.8.8/listing")
    line = {"kind": "log", "data": {"level": "info", "message": f"Opened {listing.source_url}: found 1 phone"}}
    await node.tells(again, listing, events=[line])
    assert await names(api) == ["Café Nummer 2"]
    assert await node.results(again) == []
    logged = [str(data) for _, data in await node.world.events(again.unit.partition(".")[0], "log")]
    assert not any("/listing/1" in text for text in logged)
    _, listed, _ = await api.get("/api/opt-outs")
    assert {entry["kind"] for entry in listed["opt_outs"]} == {"email", "lead"}
    await api.call("DELETE", f"/api/opt-outs/{answer['opt_out_id']}")
    assert (await api.get("/api/opt-outs"))[1]["total"] == 0, "what it led to goes with it"
    third = await node.run(api, "http://8.8.8.8/third")
    await node.tells(third, listing)
    assert await names(api) == ["Café Nummer 1", "Café Nummer 2"]


async def test_a_misspelt_option_of_an_erasure_is_refused(api: Client, node: Node) -> None:
    run = await node.run(api)
    await node.tells(run, lead(1))
    _, page, _ = await api.post("/api/filters/leads", {})
    status, problem, _ = await api.call("DELETE", f"/api/leads/{page['items'][0]['lead_id']}?optout=false")
    assert status == 400
    assert "opt_out" in problem["detail"]
    assert await names(api) == ["Café Nummer 1"]


@pytest.mark.parametrize("by", ["id", "phone"])
async def test_a_model_that_is_being_asked_brings_nothing_back(api: Client, valkey: Redis, keys: Keys, by: str) -> None:
    node = Node(valkey, keys, enrich=True)
    await node.world.node("n1", slots=1)
    run = await node.run(api)
    await node.tells(run, lead(1), lead(2))
    told = [data for _, data in await node.world.events(run.unit.partition(".")[0], "result")]
    gone, stays = (data["lead_id"] for data in told)
    await valkey.zadd(keys.enrichment_line(ME), dict.fromkeys(await valkey.zrange(keys.enrichment_line(ME), 0, -1), 0))
    asked, _ = await node.world.scripts.enrichment_claim(timedelta(minutes=1), most=10)
    assert {each.question.partition(".")[0] for each in asked} == {gone, stays}
    if by == "id":
        _, answer, _ = await api.call("DELETE", f"/api/leads/{gone}")
    else:
        _, answer, _ = await api.post("/api/opt-outs", {"phone": lead(1).phones[0].normalized_e164})
    await settled(api, answer)
    answers = [Settled(each, "answered", lead=each.lead, event=b"{}") for each in asked]
    counted = await node.world.scripts.enrichment_settle(ME, answers)
    assert {each.question.partition(".")[0]: ok for each, ok in zip(asked, counted, strict=True)} == {
        gone: False,
        stays: True,
    }
    assert await names(api) == ["Café Nummer 2"]


async def test_what_is_no_phone_address_or_domain_is_refused(api: Client) -> None:
    for body, said in (
        ({"phone": "12"}, "+49 30"),
        ({"phone": "030 1234567"}, "region"),
        ({"email": "nobody"}, "not an e-mail address"),
        ({"domain": "gmail.com"}, "shared by many"),
        ({"domain": "co.uk"}, "not a domain"),
        ({"domain": "127.0.0.1"}, "not a domain"),
        ({}, "exactly one"),
        ({"phone": "+49300000001", "email": "a@b.com"}, "exactly one"),
        ({"fone": "+49300000001"}, "fone"),
    ):
        status, problem, _ = await api.post("/api/opt-outs", body)
        assert status == 422, body
        assert said in str(problem), (body, problem)
    assert (await api.call("DELETE", "/api/opt-outs/opt_unknown"))[0] == 404
    assert (await api.call("DELETE", "/api/leads/led_x?opt_out=maybe"))[0] == 400
    assert (await api.get("/api/erasures/era_unknown"))[0] == 404


async def test_nothing_of_another_tenant_is_touched(served: Served, api: Client, valkey: Redis, keys: Keys) -> None:
    one = lead(1, emails=["info1@cafe-1.com"])
    await found(valkey, keys, one, tenant=ME)
    await found(valkey, keys, one, tenant="globex")
    theirs = served.client(await served.key("globex", "leads:read", "leads:write"))
    assert (await theirs.call("DELETE", "/api/leads/lead_000002"))[0] == 404
    _, added, _ = await theirs.post("/api/opt-outs", {"email": "info1@cafe-1.com"})
    await settled(theirs, added)
    assert await names(theirs) == []
    assert await names(api) == ["Café Nummer 1"]
    assert (await api.get("/api/opt-outs"))[1]["total"] == 0
    assert (await api.get(f"/api/erasures/{added['erasure']['erasure_id']}"))[0] == 404
    assert (await api.call("DELETE", f"/api/opt-outs/{added['opt_out_id']}"))[0] == 404
    reader = served.client(await served.key("globex", "leads:read"))
    assert (await reader.post("/api/opt-outs", {"domain": "cafe-1.com"}))[0] == 403
    assert (await reader.call("DELETE", "/api/leads/lead_000001"))[0] == 403


async def test_pages_of_a_domain_are_not_visited(api: Client, node: Node, valkey: Redis, keys: Keys) -> None:
    run = await node.run(api)
    known = Lead(display_name="Café", website="https://cafe-1.com/").model_dump_json(exclude_none=True)
    page = '0 ["https://www.cafe-1.com/menu","leads","page",0,0,"page",""]'
    other = '1 ["https://other.org/","leads","page",0,0,"page",""]'
    remembered = {"f:1": page, "f:2": other, "s:l0": f"1 {known}", "s:site": "8.8.8.8", "v:9": ""}
    await node.tells(run, **remembered)
    await settled(api, (await api.post("/api/opt-outs", {"domain": "cafe-1.com"}))[1])
    wanted = {b"f:2": other.encode(), b"s:site": b"8.8.8.8", b"v:9": b""}
    assert await valkey.hgetall(keys.checkpoint(run.unit)) == wanted
    line = {"kind": "log", "data": {"level": "info", "message": "Read https://cafe-1.com/menu"}}
    assert await node.tells(run, events=[line], **remembered) == "ok"
    assert await valkey.hgetall(keys.checkpoint(run.unit)) == wanted
    assert not any("cafe-1" in str(event) for event in await node.world.events(run.unit.partition(".")[0]))

    body = {"queries": ["https://ok.com/", "https://shop.cafe-1.com/"]}
    status, problem, _ = await api.post("/api/scraper/start", body)
    assert status == 422
    assert problem["errors"][0]["loc"] == ["queries", 1]
    assert "opt-out list" in problem["detail"]


async def test_boxes_around_a_withheld_number_are_withheld(api: Client, node: Node) -> None:
    run = await node.run(api)
    assert (await api.post("/api/opt-outs", {"email": "info1@cafe-1.com"}))[0] in {200, 202}

    def boxes(*numbers: str) -> dict[str, Any]:
        told = [{"phone": number, "selector": None, "coordinates": {}} for number in numbers]
        return {"kind": "coordinates", "data": {"url": "http://8.8.8.8/", "boxes": told}}

    both = boxes("+49300000001", "+49300000002")
    await node.tells(run, lead(1, emails=["info1@cafe-1.com"]), lead(2), events=[both, boxes("+49300000001")])
    ((_, told),) = await node.world.events(run.unit.partition(".")[0], "coordinates")
    assert [box["phone"] for box in told["boxes"]] == ["+49300000002"]


async def test_a_number_withheld_in_one_lead_counts_in_any_spelling(api: Client, node: Node) -> None:
    await api.post("/api/opt-outs", {"phone": "+49 30 5550001"})
    run = await node.run(api)
    fax = Phone(raw="x", normalized_e164="+49305550001", kind="fax", validation_status=Validation.POSSIBLE)
    await node.tells(run, lead(1, phones=[*lead(1).phones, fax]), lead(2))
    assert await node.results(run) == ["Café Nummer 2"]
