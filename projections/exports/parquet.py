"""Parquet: row groups by sequence, for DuckDB or pandas. Needs the extra ``backstory[parquet]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.exports.format import Coverage, Format

if TYPE_CHECKING:
    from projections.exports.format import Encoder
    from projections.exports.parquet_file import ParquetFile


class ParquetMissing(Exception):
    """An export as Parquet was requested, and pyarrow, which writes it, is not installed."""

    def __init__(self) -> None:
        super().__init__("Parquet needs pyarrow: pip install 'backstory[parquet]'")


def _require() -> type[ParquetFile]:
    try:
        from projections.exports.parquet_file import ParquetFile  # noqa: PLC0415  # an extra
    except ImportError as missing:
        raise ParquetMissing from missing
    return ParquetFile


def _encoder(coverage: Coverage) -> Encoder:
    return _require()(coverage.last_sequence)


PARQUET = Format(
    name="parquet",
    media_type="application/vnd.apache.parquet",
    extension="parquet",
    encoder=_encoder,
    starts=(b"PAR1",),
    require=_require,
)
