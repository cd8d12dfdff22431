"""How Sphinx builds the documentation: Markdown by MyST, nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from weft import __version__

project = "Weft"
author = "the Weft authors"
copyright = "the Weft authors, Apache License 2.0"
release = __version__

extensions = ["myst_parser"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "alabaster"
html_theme_options = {"description": "OpenStack Networking that one person can understand", "page_width": "1100px"}
html_copy_source = False
