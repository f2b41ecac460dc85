"""Bad sweep files: each is refused in one line that names file, line and key, what was read, and the mend."""

import pytest
import sweep_cases

from coupling.errors import UserError
from multiscale.sweeps import driver
from multiscale.sweeps.settings import load_sweep

GOOD = """title = "t"

[[variable]]
name = "thickness"
key = "geometry.interlayer.thickness"
kind = "range"
from = "10 nm"
to = "100 nm"
steps = 3
"""
LIST = GOOD.replace('kind = "range"\nfrom = "10 nm"\nto = "100 nm"\nsteps = 3\n', 'kind = "list"\nvalues = ["10 nm", "20 nm"]\n')
DRAWN = GOOD.replace('"range"', '"sobol"').replace("steps = 3\n", "\n[sampling]\ncount = 4\n")
SECOND = '[[variable]]\nkey = "{}"\nkind = "list"\nvalues = [{}]\n'
OPTION = '[[variable]]\nname = "o"\nkind = "options"\n[[variable.option]]\nname = "a"\n{}\n'
SEARCH = '[search]\n[[search.objective]]\nof = "{}"\ngoal = "{}"\n'
LAYER = "materials.Li6PS5Cl-interphase."
"""A file, then the line, the key and the words of its refusal."""
BAD = {
    "no TOML": (GOOD + "x = \n", 10, "", "not valid TOML"),
    "a table twice": (GOOD + "[run]\nslots = 1\n[run]\nranks = 1\n", 12, "", "only once"),
    "no variable": ('title = "t"\n', 1, "variable", "this key is missing"),
    "no title": (GOOD.replace('title = "t"\n', ""), 1, "title", "this key is missing"),
    "an unknown key": (GOOD.replace("steps", "step"), 9, "variable.step", 'unknown key; did you mean "steps"'),
    "an unknown table": (GOOD + "[runs]\nslots = 1\n", 10, "runs", 'did you mean "run"'),
    "an unknown kind": (GOOD.replace('"range"', '"grid"'), 6, "variable.kind", "allowed: 'list', 'range'"),
    "a misspelt key of the case": (
        GOOD.replace('thickness"\nkind', 'thicknes"\nkind'),
        5,
        "variable.key",
        'did you mean "geometry.',
    ),
    "no key of a case at all": (GOOD.replace("geometry.interlayer.thickness", "foo.bar"), 5, "variable.key", "unknown key"),
    "a table for a key": (GOOD.replace("interlayer.thickness", "interlayer"), 5, "variable.key", "holds no single value"),
    "a property nobody knows": (
        GOOD.replace("geometry.interlayer.thickness", "materials.Li.colour"),
        5,
        "variable.key",
        'unknown quantity "colour"',
    ),
    "half a property": (
        GOOD.replace("geometry.interlayer.thickness", "materials.Li"),
        5,
        "variable.key",
        "materials.NAME.QUANTITY",
    ),
    "a bare number": (GOOD.replace('"10 nm"', "10"), 7, "variable.from", "bare number 10"),
    "a wrong unit": (GOOD.replace('"100 nm"', '"100 S/m"'), 8, "variable.to", "cannot be expressed in m"),
    "ends the wrong way round": (GOOD.replace('"100 nm"', '"5 nm"'), 8, "variable.to", "must be above from"),
    "one step": (GOOD.replace("steps = 3", "steps = 1"), 9, "variable.steps", "greater than or equal to 2"),
    "no steps": (GOOD.replace("steps = 3\n", ""), 3, "variable.steps", 'kind "range" needs it'),
    "values for a range": (GOOD + 'values = ["1 nm"]\n', 10, "variable.values", 'not used by kind "range"'),
    "a range of names": (GOOD.replace("interlayer.thickness", "interlayer.material"), 6, "variable.kind", "takes no number"),
    "a logarithm of zero": (
        GOOD.replace("geometry.interlayer.thickness", "conditions.stack_pressure")
        .replace('"10 nm"', '"0 Pa"')
        .replace('"100 nm"', '"1 MPa"')
        + 'spacing = "log"\n',
        7,
        "variable.from",
        "above zero",
    ),
    "an empty list": (LIST.replace('["10 nm", "20 nm"]', "[]"), 7, "variable.values", "it is empty"),
    "a value twice": (LIST.replace('"20 nm"', '"0.01 um"'), 7, "variable.values", "stands there twice"),
    "an impossible value": (LIST.replace('"20 nm"', '"-20 nm"'), 7, "geometry.interlayer.thickness", "must be above 0 m"),
    "an unknown material": (GOOD + SECOND.format("geometry.interlayer.material", '"LiXX"'), 13, "", 'unknown material "LiXX"'),
    "a half number": (GOOD + SECOND.format("geometry.seed", "1.5"), 13, "variable.values", "write a whole number"),
    "a word for a flag": (GOOD + SECOND.format("physics.lithium_creep", '"yes"'), 13, "variable.values", "write true or false"),
    "a choice that is none": (
        GOOD + SECOND.format("geometry.flaw.at", '"corner"'),
        13,
        "geometry.flaw.at",
        "allowed: 'grain-boundary'",
    ),
    "one key by two variables": (
        GOOD + SECOND.format("geometry.interlayer.thickness", '"1 nm"').replace("kind", 'name = "b"\nkind'),
        11,
        "variable.key",
        'is set by the variable "thickness" already',
    ),
    "one key fixed and varied": (
        GOOD + '[fixed]\n"geometry.interlayer.thickness" = "1 nm"\n',
        5,
        "variable.key",
        "[fixed] already",
    ),
    "two variables of one name": (
        GOOD + SECOND.format("geometry.width", '"6 um"').replace("kind", 'name = "thickness"\nkind'),
        12,
        "variable.name",
        "two variables are named",
    ),
    "a name with a space": (GOOD.replace('"thickness"', '"the thickness"'), 4, "variable.name", "letters, digits and _"),
    "the name of a column": (GOOD.replace('"thickness"', '"state"'), 4, "variable.name", "a column of the table already"),
    "draws without a count": (DRAWN.replace("[sampling]\ncount = 4\n", ""), 1, "sampling", "needs [sampling]"),
    "a count without draws": (GOOD + "[sampling]\ncount = 4\n", 10, "sampling", "no variable is drawn"),
    "no draws": (DRAWN.replace("count = 4", "count = 0"), 11, "sampling.count", "a whole number from 1 on"),
    "blocks of a Sobol sequence": (DRAWN.replace("count = 4", "count = [4, 4]"), 11, "sampling.count", "only a Latin hypercube"),
    "two ways to draw": (
        DRAWN + '[[variable]]\nkey = "geometry.width"\nkind = "random"\nfrom = "5 um"\nto = "7 um"\n',
        6,
        "variable.kind",
        "must be of one kind",
    ),
    "part of a mixture": (
        GOOD.replace("geometry.interlayer.thickness", LAYER + "youngs_modulus")
        .replace("10 nm", "1 GPa")
        .replace("100 nm", "9 GPa"),
        5,
        "materials.Li6PS5Cl-interphase",
        "set ionic_conductivity, poissons_ratio too",
    ),
    "a fixed key nobody knows": (
        GOOD + "[fixed]\ngeometry.seeds = 1\n",
        11,
        "fixed.geometry.seeds",
        'did you mean "geometry.seed"',
    ),
    "a fixed bare number": (GOOD + "[fixed]\ngeometry.width = 6\n", 11, "fixed.geometry.width", "bare number 6"),
    "an option twice": (
        GOOD + OPTION.format('set = {}\n[[variable.option]]\nname = "a"\n'),
        17,
        "variable.option.name",
        "another option",
    ),
    "an option of an unknown key": (
        GOOD + OPTION.format('set = { "geometry.widht" = "1 um" }'),
        15,
        "variable.option.set",
        "unknown key",
    ),
    "a removed table nobody knows": (
        GOOD + OPTION.format('remove = ["geometry.layer"]'),
        15,
        "variable.option.remove",
        "unknown key",
    ),
    "replicas of varied seeds": (
        "replicas = 2\n" + GOOD + SECOND.format("geometry.seed", "1, 2"),
        1,
        "replicas",
        "remove one of the two",
    ),
    "no replicas": ("replicas = 0\n" + GOOD, 1, "replicas", "greater than or equal to 1"),
    "an unknown fidelity": ('fidelity = "best"\n' + GOOD, 1, "fidelity", "allowed: 'screening'"),
    "MD that is not there": ('md = "case"\n' + GOOD, 1, "md", "not run yet"),
    "a constraint that compares nothing": ('constraints = ["thickness"]\n' + GOOD, 1, "constraints", "it compares nothing"),
    "a constraint that runs code": (
        "constraints = [\"__import__('os').system('x') == 0\"]\n" + GOOD,
        1,
        "constraints",
        "only these functions",
    ),
    "a constraint of an unknown name": (
        "constraints = [\"thicknes > '1 nm'\"]\n" + GOOD,
        1,
        "constraints",
        'did you mean "thickness"',
    ),
    "a constraint of wrong units": (
        "constraints = [\"thickness > '1 MPa'\"]\n" + GOOD,
        1,
        "constraints",
        "cannot be compared or added",
    ),
    "a constraint without a unit": ('constraints = ["thickness > 5"]\n' + GOOD, 1, "constraints", "cannot be compared or added"),
    "constraints that nothing meets": (
        "constraints = [\"thickness > '1 m'\"]\n" + GOOD,
        1,
        "constraints",
        "none of the 3 designs",
    ),
    "too many designs": (
        GOOD.replace("steps = 3", "steps = 9000")
        + GOOD.partition("\n")[2]
        .replace('"thickness"', '"w"')
        .replace("interlayer.thickness", "width")
        .replace("steps = 3", "steps = 9000"),
        3,
        "variable",
        "at most 1e+06",
    ),
    "an unknown engine": (GOOD + '[run]\nengine = "pbs"\n', 11, "run.engine", "allowed: 'local'"),
    "no slots": (GOOD + "[run]\nslots = 0\n", 11, "run.slots", "greater than or equal to 1"),
    "a bare time limit": (GOOD + "[run]\ntime_limit = 60\n", 11, "run.time_limit", "bare number 60"),
    "a walltime in words": (GOOD + '[cluster]\nwalltime = "2 hours"\n', 11, "cluster.walltime", 'read "2 hours"'),
    "a goal that is none": (
        GOOD + SEARCH.format("ccd", "large"),
        13,
        "search.objective.goal",
        "allowed: 'maximize' or 'minimize'",
    ),
    "an objective nobody knows": (GOOD + SEARCH.format("cdd", "maximize"), 12, "search.objective.of", 'did you mean "ccd"'),
    "an objective that is a word": (
        GOOD + SEARCH.format("limited_by", "maximize"),
        12,
        "search.objective.of",
        "holds no numbers",
    ),
    "an objective without its error bar": (
        'fidelity = "screening"\n' + GOOD + SEARCH.format("ccd", "maximize"),
        13,
        "search.objective.of",
        'write "ccd_best_values"',
    ),
    "a limit of an unknown name": (
        GOOD + SEARCH.format("ccd", "maximize").replace("[search]", '[search]\nlimits = ["ars < 1"]'),
        11,
        "search.limits",
        'unknown name "ars"',
    ),
}


def test_the_good_ones_are_good(tmp_path):
    for number, text in enumerate((GOOD, LIST, DRAWN, GOOD + SEARCH.format("ccd", "maximize"), GOOD + OPTION.format("set = {}"))):
        assert driver.plan(load_sweep(sweep_cases.write(tmp_path / str(number), text)))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_sweep_is_refused_in_one_clear_line(name, tmp_path):
    text, line, key, words = BAD[name]
    folder = sweep_cases.write(tmp_path, text)
    with pytest.raises(UserError) as refusal:
        driver.plan(load_sweep(folder))
    told = str(refusal.value)
    assert len(told.splitlines()) == 1, told
    assert told.startswith(f"{folder / 'sweep.toml'}:{line}: " + (f"{key}: " if key else "")), told
    assert words in told
    assert not (folder / "results").exists()
