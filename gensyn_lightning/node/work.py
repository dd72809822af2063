"""What a runner can be asked to do, and how it answers the one who asked."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from gensyn_lightning.errors import SandboxError
from gensyn_lightning.network.process import limit_resources
from gensyn_lightning.node.exchange import Order, error_line, progress_line, result_line

Request = Mapping[str, Any]
Result = Mapping[str, Any]
Report = Callable[[Mapping[str, Any]], None]
Plain = Callable[[Request, Path, Report], Result]


@dataclass(frozen=True, slots=True)
class Staged:
    """Work whose first stage is the same for many requests.

    `load` is told no more of a request than what `about` returns, so that whatever it made can
    `run` every request with an equal `about`. `forks` says whether a fork of the process that
    loaded is as good as one that loads itself.
    """

    about: Callable[[Request], Request]
    load: Callable[[Request, Path], Any]
    forks: Callable[[Any], bool]
    run: Callable[[Any, Request, Report], Result]


Work = Plain | Staged


def settle_in(scratch: Path, nice: int = 0) -> None:
    """Make this process a session of its own that starts in its scratch folder, within limits."""
    os.setsid()
    os.nice(nice)
    os.chdir(scratch)
    limit_resources()
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open("runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for old, new in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    os.close(nothing)
    os.close(log)


def perform(work: Mapping[str, Work], order: Order, connection: socket.socket) -> int:
    """Do what `order` asks and answer; return this process's exit status."""

    def do(report: Report) -> Result:
        kind = work.get(order.kind)
        if kind is None:
            raise SandboxError(f"a runner cannot do {order.kind!r}")
        if isinstance(kind, Staged):
            return kind.run(
                kind.load(kind.about(order.request), order.scratch), order.request, report
            )
        return kind(order.request, order.scratch, report)

    return answer(connection, do)


def answer(connection: socket.socket, do: Callable[[Report], Result]) -> int:
    """Send what `do` reports, then its result or its error; return the exit status."""
    connection.setblocking(True)
    try:
        result = do(lambda each: connection.sendall(progress_line(each)))
    except BaseException as error:
        return refuse(connection, error)
    connection.sendall(result_line(result))
    return 0


def refuse(connection: socket.socket, error: BaseException) -> int:
    """Answer with an error that is being handled; return the exit status."""
    connection.setblocking(True)
    traceback.print_exception(error)
    connection.sendall(error_line(error))
    return 1


def leave_after(do: Callable[[], int]) -> NoReturn:
    """Do what this fork is for and end it with the status returned, past all that a fork shares."""
    status = 1
    try:
        status = do()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _about_segment(request: Request) -> Request:
    return {name: request[name] for name in ("manifest", "artifacts", "perturb")}


def _load_segment(about: Request, scratch: Path) -> Any:
    from gensyn_lightning.protocol.digest import parse_digest
    from gensyn_lightning.training.loaded import Loaded

    manifest, artifacts = parse_digest(about["manifest"]), Path(about["artifacts"])
    return Loaded(manifest, artifacts, scratch, about["perturb"])


def _run_segment(loaded: Any, request: Request, report: Report) -> Result:
    from gensyn_lightning.node import exchange
    from gensyn_lightning.training.segment import run_loaded

    return exchange.write_result(run_loaded(loaded, exchange.read_request(request), report))


def _numerics(request: Request, scratch: Path, report: Report) -> Result:
    from gensyn_lightning.training.numerics import ARITHMETICS, version_of

    return {"numerics": [version_of(each) for each in ARITHMETICS]}


def _self_test(request: Request, scratch: Path, report: Report) -> Result:
    from gensyn_lightning.protocol.digest import parse_digest
    from gensyn_lightning.repops import selftest

    return {"outputs": selftest.outputs(parse_digest(request["challenge"])).hex()}


WORK: Mapping[str, Work] = {
    "segment": Staged(
        _about_segment, _load_segment, lambda loaded: bool(loaded.forks), _run_segment
    ),
    "numerics": _numerics,
    "self_test": _self_test,
}
