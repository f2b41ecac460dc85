"""Reads and writes the safetensors format: an 8-byte length, a JSON header, raw numbers; nothing in it can run.

Format: https://github.com/huggingface/safetensors (section "Format"). Only what potentials need: dense arrays.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from coupling.errors import UserError

DTYPES = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}


def save(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to a safetensors file (any shape, dtypes of DTYPES)."""
    header, blobs, offset = {}, [], 0
    for name, array in arrays.items():
        blob = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": NAMES[np.asarray(array).dtype],
            "shape": list(np.shape(array)),
            "data_offsets": [offset, offset + len(blob)],
        }
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load(path: str | Path) -> dict[str, np.ndarray]:
    """Read a safetensors file.

    Raises:
        UserError: the file is missing or not a safetensors file.
    """
    try:
        data = Path(path).read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        if length > len(data) - 8:
            raise ValueError("header longer than the file")
        header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
        return {name: _array(entry, body) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error}); export the potential again") from error


def _array(entry: dict, body: bytes) -> np.ndarray:
    """One array of the body by its header entry."""
    first, last = entry["data_offsets"]
    if not 0 <= first <= last <= len(body):
        raise ValueError("offsets outside the file")
    return np.frombuffer(body[first:last], dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"]).copy()
