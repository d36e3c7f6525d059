"""The leads table through a reader that shares no code with us: DuckDB, and the protocol's own words."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import orjson
from redis.asyncio import Redis

from control_plane.store.client import LeadStore
from control_plane.store.models import FacetQuery, LeadQuery
from control_plane.store.options import StoreOptions
from control_plane.store.schema import LOG_SCHEMA
from fleet.keys import Keys
from tests.integration.control_plane.store.sample import found, lead
from tests.support import REPOSITORY, wait_until

PAGE = REPOSITORY / "docs" / "leads-table.md"


async def test_duckdb_counts_what_the_api_counts(
    store: LeadStore, options: StoreOptions, valkey: Redis, keys: Keys
) -> None:
    for start in range(0, 60, 6):
        await found(valkey, keys, *(lead(number) for number in range(start, start + 6)))
        await _stored(store)
    again = [lead(number, observation_id=f"obs_again{number}", rating=1.0) for number in range(5)]
    await found(valkey, keys, *again, task="tsk_2")
    await found(valkey, keys, lead(1), tenant="globex")
    await _stored(store)
    facets = orjson.loads(await store.facets("acme", FacetQuery.model_validate({"fields": ["city", "country"]})))
    best = orjson.loads(await store.filter("acme", LeadQuery.model_validate({"where": {"rating_max": 1.0}})))

    with duckdb.connect() as db:
        _open(db, Path(options.leads_uri.removeprefix("file://")))
        db.execute(_documented_view())
        for column, key in (("city", "city"), ("country", "country")):
            counted = db.execute(f"SELECT {column}, count(*) FROM leads WHERE tenant = 'acme' GROUP BY ALL").fetchall()
            assert dict(counted) == {bucket["value"]: bucket["count"] for bucket in facets["facets"][key]}
        assert db.execute("SELECT count(*) FROM observations").fetchone() == (66,)
        assert db.execute("SELECT count(*) FROM leads WHERE tenant = 'globex'").fetchone() == (1,)
        low = db.execute("SELECT count(*) FROM leads WHERE tenant = 'acme' AND rating <= 1.0").fetchone()
        assert low == (best["total"],)


def test_every_column_is_documented() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## Shape")[2].partition("**Evolution.**")[0]
    assert set(re.findall(r"`(\w+)`", table)) - {"q"} == set(LOG_SCHEMA.names())


def _open(db: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """The table ``observations``: the files that Delta's log of commits added and did not remove."""
    log = f"{folder}/_delta_log/*.json"
    actions = "read_json(?, format='newline_delimited', columns={add: 'JSON', remove: 'JSON'})"
    paths = db.execute(
        f"SELECT json_extract_string(add, '$.path') FROM {actions} WHERE add IS NOT NULL EXCEPT "
        f"SELECT json_extract_string(remove, '$.path') FROM {actions} WHERE remove IS NOT NULL",
        [log, log],
    ).fetchall()
    files = [f"{folder}/{path}" for (path,) in paths]
    assert len(files) > 5
    listed = ", ".join(f"'{file}'" for file in files)
    read = f"read_parquet([{listed}], hive_partitioning=true, union_by_name=true)"
    db.execute(f"CREATE VIEW observations AS SELECT * FROM {read}")


def _documented_view() -> str:
    """The view's definition as the page gives it, so that what people copy works."""
    match = re.search(r"^    CREATE VIEW leads AS\n(?:    .*\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None
    return match.group()


async def _stored(store: LeadStore) -> None:
    async def nothing_waits() -> bool:
        health = await store.health()
        return health["status"] == "healthy" and health["results_waiting"] == 0

    await wait_until(nothing_waits, 60, "the sink to store everything")
