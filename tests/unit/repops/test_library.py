import ctypes
from pathlib import Path

import pytest

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.repops import library
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.library import RANK_MAX
from gensyn_lightning.repops.mapping import map_elements
from gensyn_lightning.repops.plan import Plan, WordSource, contiguous_strides
from gensyn_lightning.repops.programs import arithmetic


@pytest.fixture
def kernels():
    found = library.load()
    if found is None:
        pytest.skip("no kernels here")
    return found


def test_where_nothing_is_built_there_is_nothing_to_load(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSYN_KERNELS", str(tmp_path))
    library.load.cache_clear()
    try:
        assert library.load() is None
        library.load.cache_clear()
        monkeypatch.setenv("GENSYN_ISA", "x86-64-v3")
        with pytest.raises(ConfigError, match="no build of the kernels for x86-64-v3"):
            library.load()
    finally:
        library.load.cache_clear()


def test_another_build_is_not_the_best_and_not_the_oldest(kernels):
    found = library.another()
    assert found is None or found.isa not in (kernels.isa, library.BASELINE)


def test_a_kernel_or_program_a_build_lacks_is_an_error(kernels):
    with pytest.raises(ConfigError, match="no kernel repops_nothing"):
        kernels.address("repops_nothing")
    with pytest.raises(ConfigError, match="no program nothing"):
        kernels.program("nothing")


def test_a_plan_keeps_its_numbers_in_c(kernels):
    plan = Plan()
    a, b = plan.new((2, 3), Dtype.F32), plan.new((2, 3), Dtype.F32)
    map_elements(plan, arithmetic.add["fF"], a, [b.narrow(0, 0, 2)], [WordSource(5, "f")])
    plan.returns([a, b], None, b)
    made = kernels.compile(plan)
    assert (made.tensors, made.calls, made.words, made.results) == (2, 1, 1, 5)
    assert made.result[:5] == [-4, 0, 1, -1, 1]
    assert made.tensor[0].size[:2] == [2, 3]
    assert made.tensor[0].stride[:2] == list(contiguous_strides((2, 3)))
    assert made.word[0].value == 5
    assert ctypes.sizeof(made.tensor[0]) == 8 * (4 + 2 * RANK_MAX)


def test_more_dimensions_than_kernels_take_are_refused(kernels):
    plan = Plan()
    plan.new((1,) * (RANK_MAX + 1), Dtype.F32)
    with pytest.raises(ValueError, match="dimensions"):
        kernels.compile(plan)


def test_what_a_machine_supports_is_read_off_its_flags(tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    flags = library._NEEDS["x86-64-v3"] | library._NEEDS["x86-64-v2"]
    cpuinfo.write_text(f"processor: 0\nflags\t\t: {' '.join(flags)}\n")
    monkeypatch.setattr(library, "Path", lambda _: cpuinfo)
    monkeypatch.setattr(library.platform, "machine", lambda: "x86_64")
    assert library.supported() == ["x86-64-v3", "x86-64-v2"]
    monkeypatch.setattr(library.platform, "machine", lambda: "aarch64")
    assert library.supported() == ["aarch64"]
    assert isinstance(library.FOLDER, Path)
