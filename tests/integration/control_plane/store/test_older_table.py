"""A table that was made before some of the columns were."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
from deltalake.writer import write_deltalake

from control_plane.store.schema import LOG_SCHEMA, Position, Sighting, frame_of, log_row
from control_plane.store.table import PARTITION, ObservationLog
from leads.model import Enrichment
from tests.integration.control_plane.store.sample import lead

NEW = ["enriched_category", "summary", "fit"]


def rows(number: int, batch: int) -> pl.DataFrame:
    told = Enrichment(category="legal", summary="told", fit=batch, source="rules", confidence=0.5)
    sighting = Sighting(Position(batch, 0), "acme", "tsk_1", "1-0", lead(number, enrichment=told))
    return frame_of([log_row(sighting, batch)], LOG_SCHEMA)


def test_it_gets_the_columns_keeps_its_rows_and_takes_new_ones(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/leads"
    write_deltalake(uri, rows(1, 1).drop(NEW), partition_by=[PARTITION])
    workers = [ObservationLog(uri, {}) for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(ObservationLog.stored, workers))  # all at once, as replicas start
    for batch, worker in enumerate(workers, start=2):
        worker.stored()
        worker.append(rows(batch, batch), batch, Position(batch, 0))
    reader = ObservationLog(uri, {})
    reader.stored()
    found = reader.read(tenant="acme", after=Position())
    assert found["name"].to_list() == [f"Café Nummer {number}" for number in range(1, 6)]
    assert found["fit"].to_list() == [None, 2, 3, 4, 5]
    assert found.columns == LOG_SCHEMA.names()
