"""The sightings of leads that were seen more than once: what they are merged from again when the next one arrives.

Kept in SQLite on scratch, because a tenant who scrapes a million leads twice has two million of them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

from control_plane.store.schema import Position, Sighting
from leads.model import Lead

CACHE_KB = 8_192

_TABLES = """
CREATE TABLE sighting (
    lead_id TEXT, ms INTEGER, seq INTEGER, task_id TEXT, event_id TEXT, lead TEXT, PRIMARY KEY (lead_id, ms, seq)
) WITHOUT ROWID;
CREATE TABLE staged (
    component INTEGER, ms INTEGER, seq INTEGER, task_id TEXT, event_id TEXT, lead TEXT,
    PRIMARY KEY (component, ms, seq)
) WITHOUT ROWID;
"""

_MANY = 500  # below SQLite's bound of parameters in every build


class History:
    """Of one tenant. All methods block, and any thread may call them."""

    def __init__(self, path: Path, tenant: str) -> None:
        self._tenant = tenant
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # scratch: after a crash it is made anew from the log
        self._db.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-{CACHE_KB};")
        self._db.executescript("PRAGMA secure_delete=ON;")  # of an erased lead no free page keeps anything
        self._db.executescript(_TABLES)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def of(self, lead_ids: Collection[str]) -> dict[str, list[Sighting]]:
        """The sightings of those of the leads that have a history, in order of the stream."""
        found: dict[str, list[Sighting]] = defaultdict(list)
        ids = list(lead_ids)
        for start in range(0, len(ids), _MANY):
            some = ids[start : start + _MANY]
            marks = ",".join("?" * len(some))
            query = (
                "SELECT lead_id, ms, seq, task_id, event_id, lead FROM sighting"  # noqa: S608 - only question marks
                f" WHERE lead_id IN ({marks}) ORDER BY lead_id, ms, seq"
            )
            for lead_id, *rest in self._rows(query, some):
                found[str(lead_id)].append(self._sighting(rest))
        return dict(found)

    def put(self, histories: Mapping[str, Sequence[Sighting]]) -> None:
        """Replace the histories of some leads."""
        if not histories:
            return
        rows = [(lead_id, *_columns(each)) for lead_id, sightings in histories.items() for each in sightings]
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany("DELETE FROM sighting WHERE lead_id = ?", [(lead_id,) for lead_id in histories])
            self._db.executemany("INSERT INTO sighting VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")

    def remove(self, lead_ids: Iterable[str]) -> None:
        with self._lock:
            self._db.executemany("DELETE FROM sighting WHERE lead_id = ?", [(lead_id,) for lead_id in lead_ids])

    def stage(self, rows: Iterable[tuple[int, int, int, str, str, str]]) -> None:
        """Put sightings aside while a view is built: component, ms, seq, task, event, lead as JSON."""
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR REPLACE INTO staged VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")

    def unstage(self) -> Iterator[list[Sighting]]:
        """What was put aside, one component after the other; nothing is staged afterwards."""
        with closing(self._db.execute("SELECT * FROM staged ORDER BY component, ms, seq")) as cursor:
            for _, group in groupby(cursor, key=lambda row: row[0]):
                yield [self._sighting(row[1:]) for row in group]
        with self._lock:
            self._db.execute("DELETE FROM staged")

    def _rows(self, query: str, parameters: Sequence[str]) -> list[tuple[object, ...]]:
        with self._lock:
            return self._db.execute(query, parameters).fetchall()

    def _sighting(self, row: Sequence[object]) -> Sighting:
        ms, seq, task_id, event_id, lead = row
        position = Position(int(str(ms)), int(str(seq)))
        return Sighting(position, self._tenant, str(task_id), str(event_id), Lead.model_validate_json(str(lead)))


def _columns(sighting: Sighting) -> tuple[int, int, str, str, str]:
    position, lead = sighting.position, sighting.lead.model_dump_json(exclude_defaults=True)
    return position.ms, position.seq, sighting.task_id, sighting.event_id, lead
