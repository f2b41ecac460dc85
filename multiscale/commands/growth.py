"""`multiscale growth`: layers that grow, coatings, stress of a volume change. Heavy imports happen inside."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from coupling.errors import UserError
from multiscale.commands.growth_onsager import onsager
from multiscale.commands.quantities import quantity
from multiscale.console import JsonOption, show, show_json

OHM_CM2 = 1e4
"""One ohm m² in ohm cm²."""
GROWTH_HELP = """Growth of an interphase, and the coating that keeps a metal out.

Example: multiscale growth layer --law parabolic --constant "1e-21 m^2/s" --time "30 d"
"""


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    growth_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=GROWTH_HELP)
    growth_app.command("layer")(layer)
    growth_app.command("coating")(coating)
    growth_app.command("stress")(stress)
    growth_app.command("onsager")(onsager)
    growth_app.command("wagner")(wagner)
    app.add_typer(growth_app, name="growth")


def layer(
    law: Annotated[str, typer.Option(help="parabolic, deal-grove or passivating.")],
    time: Annotated[list[str], typer.Option(help='A time, as often as wanted: "30 d".')],
    constant: Annotated[str | None, typer.Option(help='parabolic: k of L² = L0² + 2kt, "1e-21 m^2/s".')] = None,
    stderr: Annotated[str | None, typer.Option(help="parabolic: standard error of k.")] = None,
    linear: Annotated[str | None, typer.Option(help='deal-grove: A of L² + A L = B(t + τ), "20 nm".')] = None,
    parabolic: Annotated[str | None, typer.Option(help="deal-grove: B.")] = None,
    rate: Annotated[str | None, typer.Option(help='passivating: first rate, "1 nm/h".')] = None,
    decay: Annotated[str | None, typer.Option(help='passivating: thickness over which the rate falls e-fold, "2 nm".')] = None,
    start: Annotated[str, typer.Option(help="First thickness.")] = "0 nm",
    conductivity: Annotated[str | None, typer.Option(help="Ionic, of the layer: adds its resistance over time.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Thickness of a growing layer over time, and its area-specific resistance.

    Example: multiscale growth layer --law parabolic --constant "1e-21 m^2/s" --time "30 d" --conductivity "1e-5 S/m"
    """
    from multiscale.transport import growth

    first = quantity("--start", start, "m")
    numbers = {
        "parabolic": {"--constant": (constant, "m^2/s")},
        "deal-grove": {"--linear": (linear, "m"), "--parabolic": (parabolic, "m^2/s")},
        "passivating": {"--rate": (rate, "m/s"), "--decay": (decay, "m")},
    }
    if law not in numbers:
        raise UserError(f"--law {law}: {', '.join(numbers)}")
    stated = {"--constant": constant, "--linear": linear, "--parabolic": parabolic, "--rate": rate, "--decay": decay}
    for option, text in stated.items():
        if (text is not None) != (option in numbers[law]):
            told = "needs" if option in numbers[law] else "does not use"
            raise UserError(f"--law {law} {told} {option}")
    values = [quantity(option, str(text), unit) for option, (text, unit) in numbers[law].items()]
    kinds: dict[str, Any] = {
        "parabolic": growth.Parabolic, "deal-grove": growth.DealGrove, "passivating": growth.Passivating
    }
    grown = kinds[law](*values, first)
    κ = None if conductivity is None else quantity("--conductivity", conductivity, "S/m", 0.0)
    error = _relative_error(law, stderr, values)
    rows = [_grown(grown, quantity("--time", text, "s", 0.0), κ, error) for text in time]
    if as_json:
        show_json({"law": law, "rows": rows})
    else:
        show("\n".join(_growth_line(row) for row in rows))


def _relative_error(law: str, stderr: str | None, values: list[float]) -> float | None:
    if stderr is None:
        return None
    if law != "parabolic":
        raise UserError(f"--law {law} does not use --stderr")
    return quantity("--stderr", stderr, "m^2/s", 0.0) / values[0]


def _grown(law: Any, time: float, conductivity: float | None, relative_error: float | None) -> dict[str, Any]:
    """One row: time (s), thickness (m) and perhaps its 68 % interval, and resistance (ohm cm²)."""
    from multiscale.transport import growth

    row: dict[str, Any] = {"time_s": time, "thickness_m": float(law.thickness(time))}
    if relative_error is not None:
        import numpy as np

        draws = law.constant * np.exp(relative_error * np.random.default_rng(0).standard_normal(4000))
        _, low, high = growth.thickness_bounds(lambda k: growth.Parabolic(k, law.start), draws.tolist(), time)
        row |= {"low_m": float(low), "high_m": float(high)}
    if conductivity is not None:
        row["asr_ohm_cm2"] = OHM_CM2 * float(growth.area_specific_resistance(law, conductivity, time))
    return row


def _growth_line(row: Mapping[str, Any]) -> str:
    spread = f" (68 %: {1e9 * row['low_m']:.4g} to {1e9 * row['high_m']:.4g})" if "low_m" in row else ""
    resistance = f", {row['asr_ohm_cm2']:.4g} ohm cm2" if "asr_ohm_cm2" in row else ""
    return f"{row['time_s']:g} s: {1e9 * row['thickness_m']:.5g} nm{spread}{resistance}"


def coating(
    diffusivity: Annotated[str, typer.Option(help='Of the metal in the coating: at the temperature, or D0: "1e-9 m^2/s".')],
    time: Annotated[str, typer.Option(help='How long it must keep the metal out: "10 h", "5 year".')],
    share: Annotated[float, typer.Option(help="Concentration allowed at the inner face, over that at the outer one.")] = 0.01,
    activation: Annotated[str | None, typer.Option(help='Activation energy of the diffusivity: "250 kJ/mol" (needs D0).')] = None,
    temperature: Annotated[str | None, typer.Option(help='With --activation: "700 degC".')] = None,
    as_json: JsonOption = False,
) -> None:
    """Thickness of a coating that keeps a diffusing metal below a share of its outer concentration for a time.

    Two limits: the layer behind takes the metal up as the coating would, or nothing passes the inner face (thicker).

    Example: multiscale growth coating --diffusivity "1e-9 m^2/s" --activation "250 kJ/mol" --temperature "600 degC" --time "10 h"
    """
    from multiscale.transport import growth

    D = quantity("--diffusivity", diffusivity, "m^2/s", 0.0)
    if (activation is None) != (temperature is None):
        raise UserError("--activation and --temperature go together: D = D0 exp(-E/(RT))")
    if activation is not None and temperature is not None:
        D = growth.arrhenius(D, quantity("--activation", activation, "J/mol"), quantity("--temperature", temperature, "K", 0.0))
    seconds = quantity("--time", time, "s", 0.0)
    answer = {
        "diffusivity_m2_per_s": D, "time_s": seconds, "share": share,
        "thickness_open_m": growth.coating_thickness(D, seconds, share),
        "thickness_sealed_m": growth.sealed_coating_thickness(D, seconds, share),
    }  # fmt: skip
    if as_json:
        show_json(answer)
        return
    show(
        f"D = {D:.4g} m2/s for {seconds:g} s, at most {100 * share:g} % at the inner face:\n"
        f"  {1e9 * answer['thickness_open_m']:.4g} nm if the layer behind takes the metal up, "
        f"{1e9 * answer['thickness_sealed_m']:.4g} nm if nothing passes"
    )


def stress(
    volume_change: Annotated[
        str, typer.Option(help='Of the free layer: "8 %", or three strains "2 %, 2 %, 4 %" (the last along its normal).')
    ],
    youngs_modulus: Annotated[str, typer.Option(help='Of the layer: "30 GPa".')],
    poissons_ratio: Annotated[float, typer.Option(help="Of the layer.")],
    thickness: Annotated[str | None, typer.Option(help='Adds the energy per area: "20 nm".')] = None,
    as_json: JsonOption = False,
) -> None:
    """Stress and swelling of a layer that changes its volume while what it lies on holds it in its plane.

    Example: multiscale growth stress --volume-change "8 %" --youngs-modulus "30 GPa" --poissons-ratio 0.3 --thickness "20 nm"
    """
    from multiscale.transport.confined_film import confined_film

    given = [quantity("--volume-change", part.strip(), "1") for part in volume_change.split(",")]
    if len(given) not in (1, 3):
        raise UserError(f'--volume-change: read "{volume_change}"; give one volume change or three strains')
    strains = (given[0] / 3,) * 3 if len(given) == 1 else (given[0], given[1], given[2])
    film = confined_film(strains, quantity("--youngs-modulus", youngs_modulus, "Pa", 0.0), poissons_ratio)
    answer = {
        "stress_x_Pa": film.stress[0], "stress_y_Pa": film.stress[1], "swelling_1": film.swelling,
        "energy_density_J_per_m3": film.energy_density,
    }  # fmt: skip
    if thickness is not None:
        answer["energy_J_per_m2"] = film.energy_density * quantity("--thickness", thickness, "m", 0.0)
    if as_json:
        show_json(answer)
        return
    per_area = f", {answer['energy_J_per_m2']:.4g} J/m2 for delamination" if thickness is not None else ""
    show(
        f"in its plane {film.stress[0] / 1e6:.4g} and {film.stress[1] / 1e6:.4g} MPa (compression negative), "
        f"{100 * film.swelling:.4g} % thicker, {film.energy_density:.4g} J/m3{per_area}"
    )


def wagner(
    electronic: Annotated[str, typer.Option(help='Conductivity of electrons in the layer at its lithium side: "1e-9 S/m".')],
    ionic: Annotated[str, typer.Option(help='Conductivity of lithium ions: "1e-4 S/m".')],
    molar_volume: Annotated[str, typer.Option(help='Of the product per formula: "15 cm^3/mol".')],
    electrons: Annotated[float, typer.Option(help="Lithium (charges) per formula of product.")],
    drop: Annotated[str, typer.Option(help='Difference of the potential against lithium across the layer: "1.7 V".')],
    fold: Annotated[
        str | None, typer.Option(help='Potential over which the electronic conductivity falls e-fold from lithium on: "25.7 mV".')
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Parabolic constant of a layer that conducts electrons and ions, by Wagner's law: for `growth layer --constant`.

    k = V/(nF) times the integral of s_e s_ion/(s_e + s_ion) over the lithium potential between both faces.

    Example: multiscale growth wagner --electronic "1e-9 S/m" --ionic "1e-4 S/m" --molar-volume "15 cm^3/mol" --electrons 2
    --drop "1.7 V"
    """
    import math

    from multiscale.transport import growth

    if not electrons > 0:
        raise UserError(f"--electrons {electrons:g}: give a number above 0")
    e, i = quantity("--electronic", electronic, "S/m", 0.0), quantity("--ionic", ionic, "S/m", 0.0)
    U, V = quantity("--drop", drop, "V", 0.0), quantity("--molar-volume", molar_volume, "m^3/mol", 0.0)
    falls = math.inf if fold is None else quantity("--fold", fold, "V", 0.0)
    k = growth.wagner_constant(V, electrons, lambda u: e * math.exp(-u / falls), lambda u: i, U)
    if as_json:
        show_json({"parabolic_constant_m2_per_s": k, "ionic_transference_at_lithium": i / (e + i)})
    else:
        show(f'k = {k:.5g} m2/s (L2 = L0^2 + 2kt); ions carry {i / (e + i):.4g} of the current at the lithium side')
