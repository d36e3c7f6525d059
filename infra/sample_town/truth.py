"""The truth about the town as a file: what a perfect scrape would find, and what none may report."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from infra.sample_town.businesses import SEED
from infra.sample_town.model import Business, Poison, Town, site_url

TRUTH_PATH = Path(__file__).with_name("truth.json")


def town_truth(town: Town) -> dict[str, Any]:
    """``{seed, businesses: […], forbidden: […]}``, plain values in a fixed order."""
    return {
        "seed": SEED,
        "businesses": [_business_truth(business) for business in town.businesses],
        "forbidden": [_poison_truth(poison) for poison in town.poisons],
    }


def truth_text(town: Town) -> str:
    """The bytes of truth.json, as text; the same for the same town on every machine."""
    return json.dumps(town_truth(town), ensure_ascii=False, indent=1) + "\n"


def load_truth(path: Path = TRUTH_PATH) -> dict[str, Any]:
    """The truth as it was written; ValueError when the file holds something else."""
    truth = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(truth, dict) or not {"businesses", "forbidden"} <= truth.keys():
        raise ValueError(f"{path}: not a truth file; write one with `python -m infra.sample_town --write-truth`")
    return truth


def _business_truth(business: Business) -> dict[str, Any]:
    return {
        "id": business.id,
        "name": business.name,
        "category": business.category,
        "language": business.language,
        "phones": list(business.phones),
        "faxes": list(business.faxes),
        "emails": list(business.emails),
        "address": asdict(business.address),
        "branches": [asdict(branch) for branch in business.branches],
        "site_url": business.url,
        "also_at": [site_url(label) for label in business.labels[1:]],
        "listed_in_directory": True,
        "contact_style": business.contact_style,
        "email_style": business.email_style,
        "placement": business.placement,
        "traits": sorted(business.traits),
    }


def _poison_truth(poison: Poison) -> dict[str, Any]:
    return asdict(poison)
