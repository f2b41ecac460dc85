"""Property records: what is refused, how they are kept, how they are drawn from."""

import json

import numpy as np
import pytest

from coupling.errors import UserError
from coupling.record import Property, sample
from coupling.store import digest, read_records, write_records

SOURCE = {"reference": "test"}


def prop(**changes):
    return Property(**({"material": "X", "quantity": "q", "value": 2.0, "unit": "Pa", "source": SOURCE} | changes))


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": float("nan")}, {"stderr": -1.0}, {"stderr": float("inf")}, {"bound": "above"}, {"source": {}},
        {"low": 3.0, "high": 1.0},
    ],
)  # fmt: skip
def test_impossible_records_are_refused(wrong):
    with pytest.raises(ValueError, match="X q"):
        prop(**wrong)


def test_records_survive_the_store(tmp_path):
    records = [prop(stderr=0.1, conditions={"temperature_K": 300.0}), prop(bound="upper", kind="md")]
    write_records(tmp_path / "r.json", records)
    assert read_records(tmp_path / "r.json") == records
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_a_number_without_an_error_is_of_low_confidence(tmp_path):
    """What is computed here without error, bound or limits; not what was measured, and nothing is said twice."""
    bare, told = prop(), prop(source={"method": "of one cut, so that no error is known"})
    sure = [prop(stderr=0.1), prop(bound="lower"), prop(low=1.0, high=3.0), prop(kind="measured", confidence="verified")]
    write_records(tmp_path / "r.json", [bare, told, *sure])
    first, second, *others = read_records(tmp_path / "r.json")
    assert (first.confidence, first.source["method"]) == ("low", "no error of it is known")
    assert (second.confidence, second.source) == ("low", told.source)
    assert others == sure


@pytest.mark.parametrize("text", ["{", '{"format": 9, "records": []}', '{"format": 1, "records": [{"material": "X"}]}', "[]"])
def test_a_spoilt_store_is_told(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(UserError, match=r"r\.json"):
        read_records(tmp_path / "r.json")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    write_records(tmp_path / "r.json", [prop()])
    before = (tmp_path / "r.json").read_text()
    with pytest.raises(ValueError):
        write_records(tmp_path / "r.json", [prop(source={"number": float("nan")})])
    assert (tmp_path / "r.json").read_text() == before
    assert json.loads(before)["records"]
    assert len(list(tmp_path.iterdir())) == 1


def test_digest_does_not_depend_on_order():
    assert digest({"a": 1, "b": [2.5, "x"]}) == digest({"b": [2.5, "x"], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_samples_follow_what_is_known():
    rng = np.random.default_rng(1)
    estimate = sample(prop(value=3.0, stderr=0.3), 200_000, rng)
    assert np.exp(np.log(estimate).mean()) == pytest.approx(3.0, rel=2e-3)
    assert np.log(estimate).std() == pytest.approx(np.sqrt(np.log1p(0.01)), rel=1e-2)
    ranged = sample(prop(value=0.1, low=0.01, high=1.0), 100_000, rng)
    assert ranged.min() >= 0.01
    assert ranged.max() <= 1.0
    assert np.log10(ranged).mean() == pytest.approx(-1.0, abs=0.01)
    bound = sample(prop(value=1e-3, bound="upper"), 100_000, rng)
    assert bound.max() <= 1e-3
    assert np.log10(bound).mean() == pytest.approx(-4.5, abs=0.02)
    assert (sample(prop(), 5, rng) == 2.0).all()
    assert sample(prop(value=-1.0, stderr=0.5), 100_000, rng).std() == pytest.approx(0.5, rel=0.02)
