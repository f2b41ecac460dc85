"""`multiscale analyze cluster`: size of the largest cluster of an element, lithium metal say, in any trajectory."""

from typing import Annotated

import typer

from coupling.errors import UserError
from multiscale.commands.analyze import Trajectory, _answer, _require_file, _told
from multiscale.commands.structure import PictureOption
from multiscale.console import JsonOption, frame_interval


def register(app: typer.Typer) -> None:
    """Add the command to `multiscale analyze`."""
    app.command("cluster")(cluster)


def cluster(
    trajectory: Trajectory,
    element: Annotated[str, typer.Option(help="Element of the cluster.")] = "Li",
    foreign: Annotated[str, typer.Option(metavar="S,P,…", help="Elements that metal has no contact with.")] = "",
    timestep: Annotated[str | None, typer.Option(help='Time between two frames, for the picture: "50 fs".')] = None,
    picture: PictureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Size of the largest metal cluster, counted smoothly (as nucleation studies do); its error holds the frames' correlation.

    Example: multiscale analyze cluster run.traj --foreign S,P,Cl --picture cluster.png
    """
    step = None if timestep is None else frame_interval(timestep)
    strange = tuple(name.strip() for name in foreign.split(",") if name.strip())
    _require_file(trajectory)
    import numpy as np

    from atomistic import clusters
    from atomistic.correlated import mean_error
    from atomistic.frames import read_frames
    from coupling.record import Property

    settings = clusters.ClusterSettings(element=element, foreign=strange)
    read = read_frames(trajectory)
    if any(frame.cell.rank < 3 and frame.pbc.any() for frame in read):
        raise UserError(f"{trajectory}: a periodic frame has no three-dimensional cell")
    sizes = _told(trajectory, lambda: clusters.sizes(read, settings))
    error = mean_error(sizes) if len(sizes) >= 10 else None
    source = {"trajectory": str(trajectory), "frames": len(read), "atoms": len(read[0]), "largest": float(sizes.max()),
              "method": "coordination-filtered smooth count of the largest cluster"}  # fmt: skip
    conditions, material = {"element": element, "foreign": list(strange)}, read[0].get_chemical_formula(empirical=True)
    record = Property(material, "largest_cluster_size", float(sizes.mean()), "1", error, conditions=conditions, source=source)
    if picture is not None:
        from atomistic.observable_pictures import curves

        times = np.arange(len(sizes)) * (1.0 if step is None else step * 1e12)
        name = f"largest {element} cluster (atoms)"
        curves(picture, {"size": (times, sizes, None)}, "frame" if step is None else "time (ps)", name)
    _answer("cluster", [record], as_json)
