import os
import subprocess
import sys

import pytest

from gensyn_lightning.repops import build


def test_kernels_are_built_where_there_is_neither_torch_nor_numpy():
    code = """
import sys
sys.modules["torch"] = sys.modules["numpy"] = None
from gensyn_lightning.repops import build, library
from gensyn_lightning.repops.programs import all_definitions
assert all_definitions() and library.supported() is not None
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_library_is_current_until_a_source_is_newer(tmp_path, monkeypatch):
    sources = tmp_path / "csrc"
    sources.mkdir()
    source = sources / "a.c"
    source.write_text("")
    monkeypatch.setattr(build, "SOURCES", sources)
    assert not build.is_current("aarch64", tmp_path)
    library = tmp_path / build.name_of("aarch64")
    library.write_bytes(b"")
    os.utime(source, (1, 1))
    assert build.is_current("aarch64", tmp_path)
    os.utime(library, (0, 0))
    assert not build.is_current("aarch64", tmp_path)


def test_a_build_that_fails_leaves_what_was_there(tmp_path):
    there = tmp_path / build.name_of("x86-64-v2")
    there.write_bytes(b"old")
    with pytest.raises(subprocess.CalledProcessError):
        build.build("x86-64-v2", tmp_path, ["false"])
    assert there.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [there]
