"""The embedded network as others use it: make sure there is one, find it, add a node, stop it."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gensyn_lightning.config import Config
from gensyn_lightning.errors import ConfigError, NetworkError
from gensyn_lightning.network import keys
from gensyn_lightning.network.attached import attach
from gensyn_lightning.network.child import last_words
from gensyn_lightning.network.home import Home, NetworkInfo, locked, read_info
from gensyn_lightning.network.plan import clean_environment, module, node_command

START_S = 90.0
STOP_S = 15.0
POLL_S = 0.02
Say = Callable[[str], None]

# Supervisors outlive whoever started them; they stay here so that they can be reaped.
_started: list[subprocess.Popen[bytes]] = []


class Network:
    """The one embedded network of a home folder."""

    @staticmethod
    def ensure(config: Config, say: Say | None = None) -> NetworkInfo:
        """Return the running network, started now if there is none; `say` hears about it.

        A network started here stops by itself `config.idle_minutes` after its last use. Raise
        `NetworkError` if it does not come up.
        """
        say = say or _say
        home = Home(config.home).make()
        home.clients.touch(mode=0o600)
        with locked(home.start_lock):
            running = Network.find(config.home)
            if running is not None:
                return running
            chain = attach(home, "", say)
            began = time.monotonic()
            nodes = f"{config.solvers} solvers, {config.verifiers} verifiers"
            first = "" if chain else "chain, "
            say(f"starting a network on this machine: {first}coordinator, {nodes} ({home.path})")
            options = ("--idle-minutes", str(config.idle_minutes), "--chain", chain)
            info = start(home, config.solvers, config.verifiers, extra=options)
            say(f"network ready in {time.monotonic() - began:.1f} s; it stops when nobody needs it")
            return info

    @staticmethod
    def find(home: Path) -> NetworkInfo | None:
        """Return the network that runs in `home`, or None."""
        place = Home(home)
        if not _is_locked(place.lock):
            return None
        return read_info(place)

    @staticmethod
    def keep(home: Path) -> None:
        """Say that somebody still uses the network."""
        Home(home).clients.touch(mode=0o600)

    @staticmethod
    def add_node(
        info: NetworkInfo, name: str, roles: str, faults: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        """Start one more node in a running network; it lives as long as the caller leaves it."""
        home = Home(Path(info.home))
        keys.pin_node(home, name, roles)
        command = node_command(home, name, roles, info.coordinator, Path(info.zygote))
        planted = [part for fault in faults for part in ("--fault", fault)]
        with home.log(name).open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the command is ours
                [*command, *planted, "--die-with", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(),
                cwd="/",
                start_new_session=True,
            )

    @staticmethod
    def stop(home: Path) -> bool:
        """Stop the network; return whether there was one. Raise `NetworkError` if it stays."""
        info = Network.find(home)
        if info is None:
            return False
        os.kill(info.supervisor, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while _is_locked(Home(home).lock) or _is_ours(info.supervisor):
            if time.monotonic() > deadline:
                raise NetworkError(
                    "the network does not stop", hint=f"kill process {info.supervisor}"
                )
            time.sleep(POLL_S)
        return True


def start(
    home: Home,
    solvers: int,
    verifiers: int,
    faults: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> NetworkInfo:
    """Start a supervisor and return once its network answers."""
    reading, writing = os.pipe()
    planted = [part for fault in faults for part in ("--fault", fault)]
    command = module(
        "gensyn_lightning.network.supervisor",
        home=home.path,
        solvers=solvers,
        verifiers=verifiers,
    )
    with home.log("supervisor").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            [*command, *planted, *extra, "--ready-fd", str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=clean_environment(),
            cwd="/",
            pass_fds=(writing,),
            start_new_session=True,
        )
    _started[:] = [each for each in _started if each.poll() is None] + [process]
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = _first_line(pipe.fileno(), home, process)
    if "error" in answer:
        raise NetworkError(f"no network: {answer['error']}", hint=str(answer["hint"]))
    info = read_info(home)
    if info is None:
        raise NetworkError("the network stopped at once", hint=last_words(home.log("supervisor")))
    return info


def _first_line(pipe: int, home: Home, process: subprocess.Popen[bytes]) -> dict[str, object]:
    if not select.select([pipe], [], [], START_S)[0]:
        process.kill()
        raise NetworkError("the network did not start in time", hint=f"see {home.path / 'logs'}")
    line = os.read(pipe, 65536)
    if not line:
        raise NetworkError("the network did not start", hint=last_words(home.log("supervisor")))
    value = json.loads(line)
    return value if isinstance(value, dict) else {}


def _is_ours(pid: int) -> bool:
    """Whether a supervisor was started here and still has to end; ends it properly if it did."""
    return any(each.pid == pid and each.poll() is None for each in _started)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("r") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="set GENSYN_HOME") from error
    return False


def _say(text: str) -> None:
    print(f"gensyn: {text}", file=sys.stderr, flush=True)
