"""What a worker keeps between designs: few things, the latest, and never an influence on an answer."""

from pathlib import Path

import pytest
import tiny_case

from multiscale.critical_current.shelf import Shelf


def test_the_one_not_used_for_the_longest_time_goes_first():
    shelf, made = Shelf(models=2, meshes=2), []

    def take(key):
        return shelf.mesh(key, lambda: made.append(key) or key)

    assert [take(key) for key in "abacab"] == list("abacab")
    assert made == list("abcb")


def test_a_kept_model_is_renewed_and_one_that_could_not_be_is_made_again():
    shelf, renewed = Shelf(), []
    assert shelf.model("a", lambda: 1, renewed.append) == 1
    assert shelf.model("a", lambda: 2, renewed.append) == 1
    assert renewed == [1]
    with pytest.raises(ZeroDivisionError):
        shelf.model("a", lambda: 3, lambda model: model / 0)
    assert shelf.model("a", lambda: 4, renewed.append) == 4


def test_the_answer_does_not_depend_on_what_lies_on_the_shelf(tmp_path: Path, monkeypatch):
    pytest.importorskip("dolfinx", reason="needs dolfinx")
    from mpi4py import MPI

    from multiscale.case import load_case
    from multiscale.critical_current import continuum
    from multiscale.parameters import continuum_inputs, nominal, resolve

    meshed = []
    drawn = continuum.layered_domain
    monkeypatch.setattr(continuum, "layered_domain", lambda *given: meshed.append(given) or drawn(*given))
    case = load_case(tiny_case.write(tmp_path / "tiny"))
    inputs = continuum_inputs(case, {key: float(value[0]) for key, value in nominal(resolve(case, [])).items()})
    others = [inputs | {"interlayer_conductivity": 1e-2}, inputs | {"youngs_modulus": 60e9}]
    shelf = Shelf()

    def critical(point, kept):
        return continuum.initiation_model(case, point, 1, MPI.COMM_SELF, False, shelf=kept).critical_current(1e6)

    first = critical(inputs, None)
    for point in (*others, inputs):
        last = critical(point, shelf)
    assert last.current_density == pytest.approx(first.current_density, rel=1e-13)
    assert last.state.hot_spot_overpotential == pytest.approx(first.state.hot_spot_overpotential, rel=1e-12)
    assert last.state.stress_intensity == pytest.approx(first.state.stress_intensity, rel=1e-12)
    assert len(meshed) == 2
    critical(inputs | {"flaw_depth": 0.45e-6}, shelf)
    assert len(meshed) == 3
