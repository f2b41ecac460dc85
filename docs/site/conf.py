"""Settings of Sphinx; docs/build.py copies this folder, adds the generated pages and runs it with warnings as errors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from docstrings import escaped  # put beside this file by docs/build.py

project = "multiscale-li"
author = "The multiscale-li developers"
copyright = "The multiscale-li developers"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "off"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
html_theme = "furo"
html_title = "multiscale-li"
html_static_path = ["_static"]
html_css_files = ["side.css"]
html_show_copyright = False
exclude_patterns = ["README.md"]


def setup(app):
    """Docstrings are plain text first: signs that mean something to reStructuredText are kept as they are."""

    def keep(app, what, name, obj, options, lines):
        lines[:] = escaped(lines)

    app.connect("autodoc-process-docstring", keep, priority=1)
