"""`gensyn verify`: check a report, and say with an exit code what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gensyn_lightning import config
from gensyn_lightning.cli.console import emit, people, say
from gensyn_lightning.errors import ConfigError, TimedOut
from gensyn_lightning.network.home import Home, read_info
from gensyn_lightning.protocol.digest import Address, parse_address
from gensyn_lightning.report import story, text, trust
from gensyn_lightning.report.finding import Level, Result
from gensyn_lightning.report.form import REPORT_BYTES_MAX
from gensyn_lightning.report.trust import Pins
from gensyn_lightning.report.verify import Verification
from gensyn_lightning.report.verify import verify as check

SCHEMA = "gensyn-verify/1"
_SEARCH_CHAIN_S = 1.0


def verify(  # noqa: PLR0913, PLR0917 - a flag each
    report: Annotated[Path, typer.Argument(help="report.json of a job")],
    trusted: Annotated[
        list[Path] | None, typer.Option("--trust", help="a file of pinned accounts; repeatable")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="also compare the model in this file or folder, by name (L3)"),
    ] = None,
    replay: Annotated[
        int, typer.Option(min=0, help="also run this many segments again here (L4)")
    ] = 0,
    chain: Annotated[str, typer.Option(help="JSON-RPC address of the job's chain")] = "",
    escrow: Annotated[str, typer.Option(help="the escrow contract you know, for --chain")] = "",
    timeout: Annotated[float, typer.Option(min=0, help="give up replaying; 0 = never")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON document on stdout")] = False,
) -> None:
    """Check a report: form, signatures, records; with options also model files and replays.

    Exit codes: 0 verified, 1 error, 2 usage, 3 the report does not hold, 4 inconclusive (for
    example signers whose accounts are not pinned, or a checkpoint that cannot be read without
    running it), 124 timeout, 130 interrupted.
    """
    done, pins = examine(report, trusted or [], chain=chain, escrow=escrow)
    if model is not None:
        _compare_model(done, model)
    try:
        if replay:
            _replay(done, replay, timeout)
    except TimeoutError:
        raise TimedOut(
            f"the replay was not finished within {timeout:g} s", hint="allow more: --timeout"
        ) from None
    _show(report, done, pins, as_json=as_json)
    raise typer.Exit(done.exit_code())


def examine(
    path: Path, trusted: list[Path], *, chain: str = "", escrow: str = ""
) -> tuple[Verification, Pins]:
    """Check a report file against the pins of trust files, this machine's network and the chain."""
    data = _read(path)
    home = Home(config.resolve().home)
    pins = Pins()
    for each in trusted:
        pins |= trust.read(each)
    if home.trust.exists():
        pins |= trust.read(home.trust)
    done = check(data, pins)
    place = _chain(done, home, chain, escrow)
    if place and done.holds and done.case:
        from gensyn_lightning.report import onchain

        vouched = onchain.check(done.findings, done.case, *place)
        if vouched.names:
            pins |= vouched
            done.pin(pins)
    return done, pins


def document(done: Verification, pins: Pins) -> dict[str, Any]:
    """Return what `--json` prints, without its schema."""
    told = story.tell(done, pins)
    return {
        "exit_code": int(done.exit_code()),
        "verdict": done.verdict(),
        "job": told.job,
        "summary": done.summary,
        "signers": [
            {"role": each.role, "account": each.account, "name": each.name, "known": each.known}
            for each in told.parties
        ],
        "checks": [
            {
                "level": each.level.value,
                "name": each.name,
                "result": each.result.value,
                "detail": each.detail,
            }
            for each in done.lines
        ],
    }


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(REPORT_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}",
            hint="name the report.json that training wrote, or make it: gensyn report JOB",
        ) from None


def _chain(done: Verification, home: Home, url: str, escrow: str) -> tuple[str, Address] | None:
    """Return the chain to ask: the one that was named, or this machine's if it is the report's."""
    if url:
        if not escrow:
            raise ConfigError("--chain needs --escrow", hint="name the contract you know")
        return url, parse_address(escrow)
    info = read_info(home)
    if info is None or done.case is None:
        return None
    known = parse_address(str(info.domain["escrow"]))
    same = (info.domain["chain_id"], known) == (done.case.domain.chain_id, done.case.domain.escrow)
    return (info.chain, known) if same and _answers(info.chain) else None


def _answers(url: str) -> bool:
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(_SEARCH_CHAIN_S)
        return probe.connect_ex((parts.hostname or "", parts.port or 0)) == 0


def _compare_model(done: Verification, path: Path) -> None:
    from gensyn_lightning.report import model

    model.check(done.findings, done.leaves, path, done.files)


def _replay(done: Verification, count: int, timeout: float) -> None:
    from gensyn_lightning.cli import replay

    if done.holds and done.case:
        replay.check(done.findings, done.case, count, timeout_s=timeout or None, say=say)


def _show(path: Path, done: Verification, pins: Pins, *, as_json: bool) -> None:
    told, console = story.tell(done, pins), people()
    console.print(text.checks(told))
    console.print(text.headline(told))
    foreign = [
        each for each in done.lines if each.level is Level.FORM and each.result is Result.FAIL
    ]
    if foreign:
        say(
            f"\n{path} is no report: {foreign[0].detail} - name the report.json training wrote",
            "red",
        )
    else:
        say(f"\n{told.check}", text.STYLES[told.tone])
    unknown = [each for each in told.parties if not each.known]
    if done.holds and unknown:
        say("Pin these accounts with --trust FILE once you know whose they are:")
        rows = [{"account": e.account, "name": "", "roles": [e.role]} for e in unknown]
        say(json.dumps({"schema": trust.SCHEMA, "accounts": rows}, indent=1))
    if as_json:
        emit(SCHEMA, document(done, pins))
