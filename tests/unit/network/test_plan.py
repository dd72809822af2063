"""A network on paper: the right processes, an environment without secrets, faults where asked."""

from pathlib import Path

import pytest

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.network.home import Home
from gensyn_lightning.network.plan import SOCKET_PATH_BYTES_MAX, draw_up


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "h").make()


def test_every_process_has_a_plan(home: Home) -> None:
    plans = {each.name: each for each in draw_up(home, 2, 1, []).plans}
    nodes = {"solver-1", "solver-2", "verifier-1"}
    assert plans.keys() == {"zygote", "chain", "coordinator", *nodes}
    assert all("--embedded" in plans[name].command for name in nodes)


def test_a_chain_that_runs_elsewhere_has_no_plan(home: Home) -> None:
    layout = draw_up(home, 1, 0, [], "https://chain.example:443/")
    plans = {each.name: each for each in layout.plans}
    assert plans.keys() == {"zygote", "coordinator", "solver-1"}
    assert "https://chain.example:443/" in plans["coordinator"].command
    assert layout.chain == "https://chain.example:443/"
    assert not (home.data("chain") / "genesis.json").exists()


def test_the_environment_is_passed_on_only_where_it_is_needed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    for plan in draw_up(home, 1, 0, []).plans:
        assert "canary" not in plan.environment.values()
        assert plan.environment.get("PYTHONHASHSEED") != "5"


def test_runners_start_in_the_normal_form(home: Home) -> None:
    zygote = draw_up(home, 1, 0, []).plans[0]
    assert zygote.name == "zygote"
    assert zygote.environment["PYTHONHASHSEED"] == "0"
    assert zygote.environment["OPENBLAS_NUM_THREADS"] == "1"


def test_a_fault_goes_to_its_node_and_to_the_first_start_only(home: Home) -> None:
    plans = {
        e.name: e for e in draw_up(home, 1, 1, ["solver-1=bit-flip@3", "solver-1=crash"]).plans
    }
    assert plans["solver-1"].once == ("--fault", "bit-flip@3", "--fault", "crash")
    assert "--fault" not in plans["solver-1"].command
    assert plans["verifier-1"].once == ()


@pytest.mark.parametrize("fault", ["solver-9=crash", "crash", "solver-1", "chain=crash"])
def test_a_fault_for_nobody_is_refused(home: Home, fault: str) -> None:
    with pytest.raises(ConfigError, match="NODE=KIND"):
        draw_up(home, 1, 0, [fault])


def test_a_long_home_gets_a_short_socket(tmp_path: Path) -> None:
    deep = Home(tmp_path / ("d" * 100)).make()
    socket = draw_up(deep, 1, 0, []).zygote
    assert len(str(socket)) <= SOCKET_PATH_BYTES_MAX
    assert socket.parent.stat().st_mode & 0o077 == 0
    socket.parent.rmdir()


def test_nothing_answers_before_it_is_started(home: Home) -> None:
    assert draw_up(home, 1, 0, []).silent() == "chain"
