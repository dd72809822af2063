"""Execute the notebooks anew, in place; what they show stays in them, widgets do not."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def main() -> None:
    """Execute every notebook; the first cell that fails ends it."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        print(f"executing {path.name}", file=sys.stderr)
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(NOTEBOOKS)}}
        NotebookClient(
            notebook, timeout=None, resources=resources, store_widget_state=False
        ).execute()
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
