# make demo: the first case, from crystal structures to a report.   make test: the checks that CI runs.
# make cp2k: adds CP2K, optional, for first-principles labels.   make browser: headless Chromium, for the tests of pages.
# make sevennet: adds SevenNet, optional, a second teacher of potentials.
# make pictures: PyVista, optional, for multiscale picture.
.PHONY: demo test lint setup verify benchmarks docs notebooks cp2k sevennet browser pictures clean

RANKS ?= 2

demo: setup
	env/exec mpirun -n $(RANKS) multiscale run cases/li-lpscl

test: setup
	env/exec ruff check .
	env/exec mypy
	env/exec python -m pytest -q -n 2 --dist loadfile

lint: setup
	env/exec ruff check --fix .
	env/exec mypy

verify: setup
	env/exec multiscale verify

benchmarks: setup
	env/exec python benchmarks/run.py

docs: setup
	env/exec pip install -q -r docs/requirements.txt
	env/exec python docs/build.py

notebooks: setup
	env/exec pip install -q -r docs/requirements.txt
	env/exec python notebooks/execute.py

cp2k: setup
	@env/optional cp2k

sevennet: setup
	@env/optional sevennet

browser: setup
	@env/optional browser
	env/exec pip install -q -c env/constraints.txt playwright

pictures: setup
	@env/optional pictures
	env/exec pip install -q -c env/constraints.txt pyvista

setup:
	@env/exec true

clean:
	rm -rf .venv .venv.log .sevennet .sevennet.log cases/*/results
