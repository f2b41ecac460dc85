"""What sweep.toml may hold."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from coupling.toml_input import AtKey, InUnit, Table, Whole

SAMPLED = ("random", "sobol", "latin-hypercube")
"""Kinds of variables whose values are drawn."""
Positive = Annotated[Whole, Field(ge=1)]


class Option(Table):
    """One value of an "options" variable: several keys set together, tables of the case removed."""

    name: str = Field(min_length=1)
    set: dict[str, Any] = Field(default_factory=dict)
    remove: tuple[str, ...] = ()


class Variable(Table):
    """What is varied.

    kind: "list" (numbers, texts or truth values in `values`), "range" (`steps` values from `from` to `to`), "random", "sobol",
    "latin-hypercube" (drawn between `from` and `to`), "options" (several keys at once). `spacing` is "linear" or "log".
    """

    name: str | None = None
    key: str | None = None
    kind: Literal["list", "range", "random", "sobol", "latin-hypercube", "options"]
    values: tuple[Any, ...] | None = None
    from_: Any = Field(default=None, alias="from")
    to: Any = None
    steps: Annotated[Whole, Field(ge=2, le=10_000)] | None = None
    spacing: Literal["linear", "log"] | None = None
    option: tuple[Option, ...] | None = None

    @model_validator(mode="after")
    def _keys_belong_to_the_kind(self) -> "Variable":
        needs, may = _KEYS_OF_KIND[self.kind]
        given = {"key", "values", "from", "to", "steps", "spacing", "option"}
        given = {name for name in given if getattr(self, "from_" if name == "from" else name) is not None}
        for name in sorted(given - needs - may):
            raise AtKey((name,), f'not used by kind "{self.kind}", which takes {", ".join(sorted(needs | may))}; remove it')
        for name in sorted(needs - given):
            raise AtKey((name,), f'kind "{self.kind}" needs it; add it')
        if self.kind == "options" and self.name is None:
            raise AtKey(("name",), 'kind "options" needs it; add it')
        for name in ("values", "option"):
            if getattr(self, name) is not None and not getattr(self, name):
                raise AtKey((name,), "it is empty; write at least one")
        return self


_RANGE = ({"key", "from", "to"}, {"spacing"})
_KEYS_OF_KIND: dict[str, tuple[set[str], set[str]]] = {
    "list": ({"key", "values"}, set()), "range": (_RANGE[0] | {"steps"}, _RANGE[1]), "options": ({"option"}, set()),
    **dict.fromkeys(SAMPLED, _RANGE),
}  # fmt: skip


def _count(value: Any) -> int | tuple[int, ...]:
    """A whole number of draws, or a list of them. Raises ValueError."""
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(isinstance(number, int) and not isinstance(number, bool) and number >= 1 for number in numbers):
        raise ValueError(f"read {value!r}; write a whole number from 1 on, or a list of them for the blocks of a Latin hypercube")
    return tuple(numbers) if isinstance(value, list) else value


class Sampling(Table):
    """How many points are drawn for the sampled variables together; a Latin hypercube is extended by a further block."""

    count: Annotated[Any, BeforeValidator(_count)]
    seed: Annotated[Whole, Field(ge=0)] = 0


class Run(Table):
    """Where and how the designs run; nothing here changes an answer, but for `command`, which computes it."""

    engine: Literal["local", "sbatch", "parsl"] = "local"
    slots: Positive = 2
    ranks: Positive = 1
    time_limit: Annotated[float, InUnit("s", above=0.0)] | None = None
    command: tuple[str, ...] | None = Field(default=None, min_length=1)


class Cluster(Table):
    """The cluster of the engines "sbatch" and "parsl"."""

    provider: Literal["local", "slurm", "pbs", "lsf", "kubernetes"] = "local"
    partition: str | None = None
    account: str | None = None
    walltime: Annotated[str, Field(pattern=r"^(\d+-)?\d{1,3}:\d\d:\d\d$")] = "01:00:00"
    nodes: Positive = 1
    max_blocks: Positive = 1
    worker_init: str = ""
    options: tuple[str, ...] = ()
    image: str | None = None
    namespace: str = "default"


class Objective(Table):
    """What a search improves: an answer (a column of the table without its unit) or the name of a variable."""

    of: str = Field(min_length=1)
    goal: Literal["maximize", "minimize"]


class Search(Table):
    """Search with Optuna; `limits` are constraints on answers, such as "asr < '20 ohm cm^2'"."""

    objective: tuple[Objective, ...] = Field(min_length=1, max_length=4)
    sampler: Literal["nsga2", "tpe"] = "nsga2"
    trials: Annotated[Whole, Field(ge=2, le=100_000)] = 40
    population: Annotated[Whole, Field(ge=2, le=1000)] = 10
    seed: Annotated[Whole, Field(ge=0)] = 0
    limits: tuple[str, ...] = ()


class SweepFile(Table):
    """What sweep.toml may hold."""

    title: str
    fidelity: Literal["screening", "best-values", "initiation", "propagation"] = "initiation"
    md: Literal["none", "case"] = "none"
    replicas: Annotated[Whole, Field(ge=1, le=1000)] = 1
    constraints: tuple[str, ...] = ()
    fixed: dict[str, Any] = Field(default_factory=dict)
    variable: tuple[Variable, ...] = Field(min_length=1, max_length=50)
    sampling: Sampling | None = None
    run: Run = Run()
    cluster: Cluster = Cluster()
    search: Search | None = None
