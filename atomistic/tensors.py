"""Reads and writes the safetensors format: an 8-byte length, a JSON header, raw numbers; nothing in it can run.

Format: https://github.com/huggingface/safetensors (section "Format"). Only what potentials need: dense arrays.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from coupling.errors import UserError

VALUES, PLACES, SHAPE = "|values", "|places", "|shape"
"""Ends of the names of an array that is stored as its values other than zero, where they lie in the flat array, its shape."""
FEW, LARGE = 0.1, 1000
"""An array of at least LARGE numbers is stored in that way where less than this part of them differ from zero."""
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


def sparse(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same arrays with large ones of mostly zeros (coupling tensors) by their non-zero values, to the last bit the same."""
    made: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        places = np.flatnonzero(array)
        if array.size < LARGE or len(places) >= FEW * array.size:
            made[name] = array
            continue
        made[name + VALUES], made[name + PLACES] = array.reshape(-1)[places], places.astype(np.int64)
        made[name + SHAPE] = np.array(array.shape, dtype=np.int64)
    return made


def dense(arrays: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """What `sparse` was given; arrays that are whole stay as they are.

    Raises:
        UserError: parts of an array that do not fit each other.
    """
    made: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        whole = name.rpartition("|")[0]
        if name.endswith(VALUES):
            try:
                shape = tuple(int(length) for length in arrays[whole + SHAPE])
                flat = np.zeros(int(np.prod(shape)), dtype=array.dtype)
                flat[arrays[whole + PLACES]] = array
            except (KeyError, IndexError, ValueError) as error:
                told = f"{where}: the parts of {whole!r} do not fit each other ({error})"
                raise UserError(f"{told}; export the potential again") from error
            made[whole] = flat.reshape(shape)
        elif not name.endswith((PLACES, SHAPE)):
            made[name] = array
    return made


def _array(entry: dict, body: bytes) -> np.ndarray:
    """One array of the body by its header entry."""
    first, last = entry["data_offsets"]
    if not 0 <= first <= last <= len(body):
        raise ValueError("offsets outside the file")
    return np.frombuffer(body[first:last], dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"]).copy()
