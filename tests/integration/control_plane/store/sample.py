"""Leads for tests, and what ingest would append for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from fleet.keys import Keys
from leads.model import Address, Geo, Lead, Phone, Validation

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
CITIES = (("Berlin", "DE", 52.52, 13.405), ("München", "DE", 48.137, 11.575), ("Lyon", "FR", 45.764, 4.8357))


def lead(number: int, **changes: Any) -> Lead:
    """The business ``number``: its own phone, name and site; found a minute after the one before."""
    city, country, latitude, longitude = CITIES[number % len(CITIES)]
    members: dict[str, Any] = {
        "lead_id": f"lead_{number:06d}",
        "observation_id": f"obs_{number:06d}",
        "platform": "website" if number % 2 else "directory",
        "display_name": f"Café Nummer {number}",
        "phones": [
            Phone(
                raw=f"030 {number:07d}",
                normalized_e164=f"+4930{number:07d}",
                international=f"+49 30 {number:07d}",
                line_type="fixed_line",
                validation_status=Validation.VALID,
            )
        ],
        "emails": [f"info{number}@cafe.example"],
        "website": f"https://cafe-{number}.example/",
        "address": Address(street=f"Straße {number}", city=city, country=country, postal_code=f"{number:05d}"),
        "geo": Geo(latitude=latitude, longitude=longitude),
        "categories": ["Cafe" if number % 3 else "Bäckerei"],
        "rating": (number % 50) / 10,
        "review_count": number,
        "source_url": f"https://cafe-{number}.example/kontakt",
        "found_at": START + timedelta(minutes=number),
    }
    return Lead(**(members | changes))


async def found(valkey: Redis, keys: Keys, *leads: Lead, tenant: str = "acme", task: str = "tsk_1") -> list[bytes]:
    """Append results as the ingest script does; their ids on the stream."""
    async with valkey.pipeline(transaction=False) as pipe:
        for each in leads:
            fields = {
                "task": task,
                "tenant": tenant,
                "unit": f"{task}.0",
                "event": "1-0",
                "lead": each.model_dump_json(),
            }
            pipe.xadd(keys.results(), fields)
        ids: list[bytes] = await pipe.execute()
    return ids
