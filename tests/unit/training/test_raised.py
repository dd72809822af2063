"""A user's exception comes back as itself, without any of its code running."""

import pytest

from gensyn_lightning.errors import ProgramRaised
from gensyn_lightning.training.raised import Raised

LOUD: list[str] = []


class Broken(RuntimeError):
    def __init__(self, code: int, *, detail: str) -> None:
        LOUD.append(detail)
        super().__init__(f"broken with {code}")
        self.code = code


def test_a_class_that_is_loaded_here_is_raised_as_itself() -> None:
    kind = f"{Broken.__module__}:Broken"
    resolve = {kind: Broken}.get
    found = Raised(kind, "broken with 7", ("broken with 7",), {"code": 7}, "line 1\nline 2")
    with pytest.raises(Broken, match="broken with 7") as caught:
        raise found.rebuild(resolve)
    assert caught.value.code == 7
    assert "line 2" in str(caught.value.__cause__)
    assert LOUD == []


def test_builtin_exceptions_come_back() -> None:
    assert isinstance(Raised("builtins:KeyError", "'x'", ("x",)).rebuild(), KeyError)


@pytest.mark.parametrize("name", ["table.csv", None])
def test_a_missing_file_is_named(name: str | None) -> None:
    told = (2, "No such file or directory")
    thrown = FileNotFoundError(*told, name) if name else FileNotFoundError(*told)
    found = Raised("builtins:FileNotFoundError", str(thrown), thrown.args).rebuild()
    assert isinstance(found, FileNotFoundError)
    assert (str(found), found.errno, found.filename) == (str(thrown), 2, name)


@pytest.mark.parametrize("kind", ["nowhere:Broken", "builtins:int", "os:system", "", ":"])
def test_what_is_no_exception_here_is_told_in_words(kind: str) -> None:
    error = Raised(kind, "broken").rebuild()
    assert type(error) is ProgramRaised
    assert "broken" in str(error)
