"""Export formats: rows of the view as bytes, chunk by chunk, in bounded memory.

CSV is for spreadsheets (RFC 4180, one documented header, text that cannot run as a formula), JSON and JSON lines are
for programs and carry the whole lead, Excel is the CSV's columns as a workbook, Parquet keeps types.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import polars as pl
from polars.io.plugins import register_io_source

from control_plane.store.models import ExportColumn, ExportFormat, ExportRequest
from control_plane.store.schema import VIEW_SCHEMA

COLUMNS: tuple[str, ...] = get_args(ExportColumn)

CHUNK_ROWS = 10_000
"""About 5 MB of CSV: large enough for Polars to be quick, small beside what a part holds."""

READ_BYTES = 1024 * 1024

SEPARATOR = "; "

EXCEL_CELL = 32_767
"""Excel's limit of characters in a cell; what is longer ends with a mark."""
CUT = " …[cut]"

# A cell that begins like this, blanks aside, is run as a formula by some spreadsheet.
_DANGEROUS = r"^(\s*[=+\-@\t\r])"

_LISTS = {
    "phone_types",
    "phone_validity",
    "emails",
    "categories",
    "opening_hours",
    "socials",
    "platforms",
    "source_urls",
}
_NUMBERS = {"latitude", "longitude", "rating", "review_count", "score"}
_MOMENTS = {"first_seen_at", "last_seen_at"}


@dataclass(frozen=True, slots=True)
class FileKind:
    extension: str
    content_type: str


KINDS: dict[ExportFormat, FileKind] = {
    "csv": FileKind("csv", "text/csv; charset=utf-8"),
    "json": FileKind("json", "application/json"),
    "jsonl": FileKind("jsonl", "application/x-ndjson"),
    "excel": FileKind("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "parquet": FileKind("parquet", "application/vnd.apache.parquet"),
}


@dataclass(frozen=True, slots=True)
class Rows:
    """What is written: frames of at most ``CHUNK_ROWS`` rows with the columns that ``columns_read`` names.

    ``frames`` is gone through once; who makes it holds what it reads from until it is closed.
    """

    total: int
    frames: Iterator[pl.DataFrame]


def chunks(request: ExportRequest, rows: Rows, scratch: Path) -> Iterator[tuple[int, bytes]]:
    """The file in pieces, each with the number of rows written by then. Excel and Parquet are made in ``scratch``."""
    match request.format:
        case "csv":
            return _csv(request, rows)
        case "json":
            return _json(rows, opening=b"[\n", between=b",\n", closing=b"\n]\n")
        case "jsonl":
            return _json(rows, opening=b"", between=b"\n", closing=b"\n")
        case "excel":
            return _excel(request, rows, scratch)
        case "parquet":
            return _parquet(request, rows, scratch)


def columns_read(request: ExportRequest) -> list[str]:
    """The columns of VIEW_SCHEMA that the file is made of."""
    if request.format in {"json", "jsonl"}:
        return ["lead"]
    columns: list[str] = list(request.columns or COLUMNS)
    return [*columns, "phones_e164"] if "phones" in columns else columns


def text_cells(rows: pl.DataFrame, request: ExportRequest) -> pl.DataFrame:
    """The asked-for columns as a spreadsheet takes them: numbers stay numbers, the rest becomes harmless text."""
    return rows.select(_cell(column, request).alias(column) for column in request.columns or COLUMNS)


def _csv(request: ExportRequest, rows: Rows) -> Iterator[tuple[int, bytes]]:
    names = ",".join(request.columns or COLUMNS)
    yield 0, (b"\xef\xbb\xbf" if request.bom else b"") + names.encode() + b"\r\n"
    written = 0
    for frame in rows.frames:
        cells = text_cells(frame, request)
        text = cells.write_csv(include_header=False, line_terminator="\r\n", quote_style="necessary")
        written += frame.height
        yield written, text.encode()


def _json(rows: Rows, *, opening: bytes, between: bytes, closing: bytes) -> Iterator[tuple[int, bytes]]:
    yield 0, opening
    written = 0
    for frame in rows.frames:
        text = between.join(lead.encode() for lead in frame["lead"])
        yield written + frame.height, (between if written else b"") + text
        written += frame.height
    yield written, closing


def _excel(request: ExportRequest, rows: Rows, scratch: Path) -> Iterator[tuple[int, bytes]]:
    import xlsxwriter  # type: ignore[import-untyped]

    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        path = Path(directory) / "leads.xlsx"
        # written row by row; what looks like a formula, a link or a number stays the text it is
        options = {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
            "tmpdir": directory,
        }
        with xlsxwriter.Workbook(str(path), options) as workbook:
            sheet = workbook.add_worksheet("Leads")
            sheet.freeze_panes(1, 0)
            sheet.write_row(0, 0, list(request.columns or COLUMNS))
            written = 0
            for frame in rows.frames:
                for row in text_cells(frame, request).iter_rows():
                    written += 1
                    sheet.write_row(written, 0, [_excel_cell(value) for value in row])
                yield written, b""
        yield from _file(path, written)


def _parquet(request: ExportRequest, rows: Rows, scratch: Path) -> Iterator[tuple[int, bytes]]:
    columns = list(request.columns or COLUMNS)

    def read(
        with_columns: Sequence[str] | None, predicate: object, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        yield from (frame.select(with_columns or columns) for frame in rows.frames)

    source = register_io_source(read, schema=pl.Schema({name: VIEW_SCHEMA[name] for name in columns}))
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        path = Path(directory) / "leads.parquet"
        source.sink_parquet(path, row_group_size=CHUNK_ROWS * 10)
        yield from _file(path, rows.total)


def _file(path: Path, rows: int) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield rows, piece


def _cell(column: str, request: ExportRequest) -> pl.Expr:
    if column in _NUMBERS:
        return pl.col(column)
    if column in _MOMENTS:
        return pl.col(column).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    if column == "phones":
        e164 = request.phone_format == "e164"
        joined = pl.col("phones_e164" if e164 else "phones").list.join(SEPARATOR)
        # "+49 30 123456" with its blanks is text to every spreadsheet; a machine asked for its own form
        return (
            joined
            if e164
            else pl.when(joined.str.contains(r"^\+\d[\d ;+\-().x]*$")).then(joined).otherwise(_harmless(joined))
        )
    return _harmless(pl.col(column).list.join(SEPARATOR) if column in _LISTS else pl.col(column))


def _harmless(text: pl.Expr) -> pl.Expr:
    """An apostrophe in front makes a spreadsheet take the cell as text."""
    return text.str.replace(_DANGEROUS, "'${1}")


def _excel_cell(value: object) -> object:
    if isinstance(value, str) and len(value) > EXCEL_CELL:
        return value[: EXCEL_CELL - len(CUT)] + CUT
    return value
