"""Builds the kernels beside the package; `setup.cfg` holds everything else.

A library for the two best instruction sets of this machine (`GENSYN_ISAS` names others, `CC`
another compiler). Without a compiler the package installs as well: operators then run by the
reference, right and slow, and a warning says so. `GENSYN_KERNELS_REQUIRED=1` fails instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from setuptools import Command, Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build

HERE = Path(__file__).parent
FOLDER = "gensyn_lightning/repops/lib"


class Kernels(Command):
    """Compiles the kernels, into the checkout for an editable install."""

    description = "compile the kernels"
    user_options: ClassVar[list[tuple[str, str, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        """Take nothing from the command line."""
        self.build_lib: str | None = None

    def finalize_options(self) -> None:
        """Take the build folder from `build`."""
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def run(self) -> None:
        """Compile every library; where one cannot be, warn, or fail if kernels are required."""
        sys.path.insert(0, str(HERE))
        from gensyn_lightning.repops import build as kernels
        from gensyn_lightning.repops import library

        into = HERE / FOLDER if self.editable_mode else Path(self.build_lib or "", FOLDER)
        if not self.editable_mode:
            shutil.rmtree(into, ignore_errors=True)
        required = os.environ.get("GENSYN_KERNELS_REQUIRED") == "1"
        named = os.environ.get("GENSYN_ISAS", "").split()
        # The best this machine runs, and another to show that it makes no difference.
        for isa in named or library.supported()[:2]:
            if kernels.is_current(isa, into):
                continue
            try:
                kernels.build(isa, into)
            except (OSError, subprocess.CalledProcessError) as error:
                if required:
                    raise
                self.warn(f"no kernels for {isa}, operators will be slow: {error}")

    def get_source_files(self) -> list[str]:
        """Return what belongs into a source distribution."""
        return [
            str(each.relative_to(HERE))
            for each in sorted(HERE.glob("gensyn_lightning/repops/csrc/*.[ch]"))
        ]

    def get_outputs(self) -> list[str]:
        """Return what was built."""
        return [str(each) for each in Path(self.build_lib or "", FOLDER).glob("*.so")]

    def get_output_mapping(self) -> dict[str, str]:
        """Return nothing: an editable install finds the libraries where they are built."""
        return {}


class BuildWithKernels(build):
    """Builds the kernels too."""

    sub_commands: ClassVar[list[tuple[str, Any]]] = [*build.sub_commands, ("kernels", None)]


class Wheel(bdist_wheel):
    """Tags the wheel for a platform and for every Python: the kernels know nothing of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """Return `py3-none-<platform>`."""
        return "py3", "none", super().get_tag()[2]


class Binary(Distribution):
    """A distribution whose wheels hold compiled code."""

    def has_ext_modules(self) -> bool:
        """Say that there is compiled code."""
        return True


setup(
    distclass=Binary,
    cmdclass={"build": BuildWithKernels, "kernels": Kernels, "bdist_wheel": Wheel},
)
