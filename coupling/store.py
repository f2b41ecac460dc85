"""A folder of property records that text tools can read: one JSON file a study, written whole or not at all."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coupling.atomic import write_json
from coupling.errors import UserError
from coupling.record import Property, graded

FORMAT = 1


def digest(value: Any) -> str:
    """Hash (16 hex digits of SHA-256) of any JSON-ready value: the key under which results are kept."""
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_records(path: str | Path, records: Iterable[Property]) -> None:
    """Write records to one JSON file in one step, those without error or bound as of low confidence (`record.graded`)."""
    write_json(path, {"format": FORMAT, "records": [graded(record).to_dict() for record in records]})


def read_records(path: str | Path, mend: str = "delete it to have it computed again") -> list[Property]:
    """Records of one file; `mend` is what to do about a damaged one.

    Raises:
        UserError: the file is missing, is not a record file, or holds an impossible record.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise UserError(f"{path}: record format {data['format']}, this version reads {FORMAT}")
        return [Property.from_dict(item) for item in data["records"]]
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such record file") from error
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a property record file ({error}); {mend}") from error


def find(records: Iterable[Property], material: str, quantity: str) -> list[Property]:
    """Records of one quantity of one material, in the order given."""
    return [record for record in records if record.material == material and record.quantity == quantity]
