"""Export formats: rows of the view as bytes, chunk by chunk, in bounded memory.

CSV is for spreadsheets (RFC 4180, one documented header, text that cannot run as a formula), JSON and JSON lines are
for programs and carry the whole lead, Excel is the CSV's columns as a workbook, Parquet keeps types. The same rows are
the same bytes, so an upload that broke off can be gone on with.
"""

from __future__ import annotations

import io
import tempfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

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

EXCEL_ROWS = 1_048_576
"""Excel's limit of rows in a sheet, its header included; further leads go to further sheets."""

GZIP_LEVEL = 3  # half the time of the usual 6 for a file that is a tenth larger

# A cell that begins like this, blanks aside, is run as a formula by some spreadsheet; Excel in Japanese, Chinese and
# Korean takes the wide signs too.
_DANGEROUS = r"^(\s*[=+\-@\t\r＝＋－＠])"

# "+49 30 123456; +49 171 1234567" is text to every spreadsheet, for its blanks; "+4930123456" becomes a number there,
# "+49-30-123456" a sum, and "030123456" loses its zero.
_READABLE_PHONES = r"^\+\d{1,3} [\d ().x\-]+(; \+\d{1,3} [\d ().x\-]+)*$"
_E164_PHONES = r"^\+\d+(; \+\d+)*$"
_NUMBER_LIKE = r"^([\d\s().,/\-]+)$"

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
_NUMBERS = {"latitude", "longitude", "rating", "review_count", "score", "fit"}
_MOMENTS = {"first_seen_at", "last_seen_at"}


@dataclass(frozen=True, slots=True)
class FileKind:
    extension: str
    content_type: str


_KINDS: dict[ExportFormat, FileKind] = {
    "csv": FileKind("csv", "text/csv; charset=utf-8"),
    "json": FileKind("json", "application/json"),
    "jsonl": FileKind("jsonl", "application/x-ndjson"),
    "excel": FileKind("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "parquet": FileKind("parquet", "application/vnd.apache.parquet"),
}


def kind_of(request: ExportRequest) -> FileKind:
    """What the file of a request is called and is. A compressed one is stored as what it is: with ``Content-Encoding``
    clients would unpack it and keep the name of a packed file."""
    kind = _KINDS[request.format]
    return FileKind(f"{kind.extension}.gz", "application/gzip") if request.compress == "gzip" else kind


@dataclass(frozen=True, slots=True)
class Rows:
    """What is written: frames of at most ``CHUNK_ROWS`` rows with the columns that ``columns_read`` names,
    oldest lead first, and the moment they are as of: of the last change to the tenant's leads, in UTC.

    ``frames`` is gone through once, and closed by who goes through it.
    """

    total: int
    as_of: datetime
    frames: Generator[pl.DataFrame]


def chunks(request: ExportRequest, rows: Rows, scratch: Path) -> Iterator[bytes]:
    """The file in pieces of a few MB at most. Excel and Parquet are made in ``scratch`` first."""
    match request.format:
        case "csv":
            pieces = _csv(request, rows)
        case "json":
            pieces = _json(request, rows, opening="[\n", between=",\n", closing="\n]\n")
        case "jsonl":
            pieces = _json(request, rows, opening="", between="\n", closing="\n")
        case "excel":
            pieces = _excel(request, rows, scratch)
        case "parquet":
            pieces = _parquet(request, rows, scratch)
    return _gzip(pieces) if request.compress == "gzip" else pieces


def columns_read(request: ExportRequest) -> list[str]:
    """The columns of VIEW_SCHEMA that the file is made of."""
    if request.format in {"json", "jsonl"}:
        return [*request.columns] if request.columns else ["lead"]
    columns: list[str] = list(request.columns or COLUMNS)
    return [*columns, "phones_e164"] if "phones" in columns else columns


def text_cells(rows: pl.DataFrame, request: ExportRequest) -> pl.DataFrame:
    """The asked-for columns as a spreadsheet takes them: numbers stay numbers, the rest becomes harmless text."""
    return rows.select(_cell(column, request).alias(column) for column in request.columns or COLUMNS)


def _csv(request: ExportRequest, rows: Rows) -> Iterator[bytes]:
    names = ",".join(request.columns or COLUMNS)
    yield (b"\xef\xbb\xbf" if request.bom else b"") + names.encode() + b"\r\n"
    for frame in rows.frames:
        text = io.BytesIO()
        cells = text_cells(frame, request)
        cells.write_csv(text, include_header=False, line_terminator="\r\n", quote_style="necessary")
        yield text.getvalue()


def _json(request: ExportRequest, rows: Rows, *, opening: str, between: str, closing: str) -> Iterator[bytes]:
    """Whole leads; or flat objects of the columns that were asked for."""
    before = opening
    for frame in rows.frames:
        lines = frame.select(request.columns).write_ndjson().splitlines() if request.columns else frame["lead"]
        yield (before + between.join(lines)).encode()
        before = between
    yield closing.encode()


def _excel(request: ExportRequest, rows: Rows, scratch: Path) -> Iterator[bytes]:
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
            "use_zip64": True,
        }
        with xlsxwriter.Workbook(str(path), options) as workbook:
            # the time of writing would make the same leads another file with each worker that goes on with it
            workbook.set_properties({"created": rows.as_of})
            sheet, used = _sheet(workbook, request), 1
            for frame in rows.frames:
                for row in text_cells(frame, request).iter_rows():
                    if used == EXCEL_ROWS:
                        sheet, used = _sheet(workbook, request), 1
                    sheet.write_row(used, 0, [_excel_cell(value) for value in row])
                    used += 1
                yield b""
        yield from _file(path)


def _sheet(workbook: Any, request: ExportRequest) -> Any:
    number = len(workbook.worksheets()) + 1
    sheet = workbook.add_worksheet("Leads" if number == 1 else f"Leads {number}")
    sheet.freeze_panes(1, 0)
    sheet.write_row(0, 0, list(request.columns or COLUMNS))
    return sheet


def _parquet(request: ExportRequest, rows: Rows, scratch: Path) -> Iterator[bytes]:
    columns = list(request.columns or COLUMNS)

    def read(
        with_columns: Sequence[str] | None, predicate: object, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        yield from (frame.select(with_columns or columns) for frame in rows.frames)

    source = register_io_source(read, schema=pl.Schema({name: VIEW_SCHEMA[name] for name in columns}))
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        path = Path(directory) / "leads.parquet"
        source.sink_parquet(path, row_group_size=CHUNK_ROWS * 5)
        yield from _file(path)


def _file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece


def _gzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(GZIP_LEVEL, wbits=31)  # 31: a gzip header, whose time is 0
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def _cell(column: str, request: ExportRequest) -> pl.Expr:
    if column in _NUMBERS:
        return pl.col(column)
    if column in _MOMENTS:
        return pl.col(column).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    if column == "phones":
        e164 = request.phone_format == "e164"
        joined = pl.col("phones_e164" if e164 else "phones").list.join(SEPARATOR)
        known = joined.str.contains(_E164_PHONES if e164 else _READABLE_PHONES)
        # what libphonenumber does not know stands as the page wrote it
        return pl.when(known).then(joined).otherwise(_harmless(joined).str.replace(_NUMBER_LIKE, "'${1}"))
    return _harmless(pl.col(column).list.join(SEPARATOR) if column in _LISTS else pl.col(column))


def _harmless(text: pl.Expr) -> pl.Expr:
    """An apostrophe in front makes a spreadsheet take the cell as text."""
    return text.str.replace(_DANGEROUS, "'${1}")


def _excel_cell(value: object) -> object:
    if isinstance(value, str) and len(value) > EXCEL_CELL:
        return value[: EXCEL_CELL - len(CUT)] + CUT
    return value
