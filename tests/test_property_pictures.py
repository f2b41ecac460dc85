"""Pictures of a properties study: one a kind of record that it has, stale ones removed."""

from pathlib import Path

from atomistic import property_pictures
from coupling.record import Property


def record(quantity: str, value: float, unit: str, bound: str | None = None, **conditions) -> Property:
    where = {"temperature_K": 300.0, **conditions}
    return Property("Li", quantity, value, unit, stderr=None if bound else 0.1 * value, bound=bound, conditions=where,
                    source={"potential": "none"})  # fmt: skip


def test_bars_of_what_the_study_has(tmp_path: Path, monkeypatch) -> None:
    """Values come in the unit of the axis, bounds as such; Green–Kubo's twin of a coefficient is no bar of its own."""
    drawn = {}
    monkeypatch.setattr(property_pictures, "bars", lambda path, bars, label: drawn.update({path.stem: (bars, label)}))
    (tmp_path / "adhesion.png").write_bytes(b"of a run before")
    frame = {"species": "Li-Li", "frame": "S"}
    property_pictures.draw([
        record("elastic_C11", 2e10, "Pa"), record("bulk_modulus", 1e10, "Pa"),
        record("surface_energy", 0.5, "J/m^2", miller="100"), record("onsager_coefficient", 1e40, "1/(J*m*s)", **frame),
        record("onsager_coefficient", 1e40, "1/(J*m*s)", **frame, method="x"),
        record("onsager_coefficient", 1e38, "1/(J*m*s)", "upper", species="S-S", frame="S"),
    ], tmp_path)  # fmt: skip
    assert not (tmp_path / "adhesion.png").exists()
    assert set(drawn) == {"elasticity", "moduli", "surface", "onsager"}
    assert drawn["elasticity"][0] == {"Li C11, 300 K": (20.0, 2.0, False)}
    first, second = drawn["onsager"][0].values()
    assert abs(first[0] - 2567) < 1  # mS/cm
    assert (second[1], second[2]) == (0.0, True)


def test_a_picture_is_written(tmp_path: Path) -> None:
    property_pictures.draw([record("work_of_adhesion", 0.7, "J/m^2")], tmp_path)
    assert (tmp_path / "adhesion.png").stat().st_size > 4000
