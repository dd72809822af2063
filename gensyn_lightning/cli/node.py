"""`gensyn node`: run a node in the foreground, list nodes, look at one, have one leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gensyn_lightning import config
from gensyn_lightning.cli.completion import node_names
from gensyn_lightning.cli.console import emit, say, show
from gensyn_lightning.cli.failure import FAILED, INTERRUPTED
from gensyn_lightning.errors import ConfigError, NetworkError, NotFound, SandboxError, TimedOut
from gensyn_lightning.network import Home, Network, NetworkInfo
from gensyn_lightning.network.connection import connected, known_network
from gensyn_lightning.network.home import LEAVE

NODE_SCHEMA, LIST_SCHEMA = "gensyn-node/1", "gensyn-nodes/1"
ROLES = {"solver": "solve", "verifier": "verify"}
START_S = 60.0
POLL_S = 0.2
PREFIX_MIN = 6
_NAME_CHARS_MAX = 64

Name = Annotated[str, typer.Argument(help="a node's name or account", autocompletion=node_names)]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on stdout")]

app = typer.Typer(no_args_is_help=True, help="Run, list, show and retire nodes.")


@app.command("start")
def start(
    role: Annotated[
        list[str] | None, typer.Option(help="solver or verifier; repeatable (default: both)")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="what it is called (default: a new name)")
    ] = None,
    coordinator: Annotated[
        str | None, typer.Option(help="address of a network (default: the one of this home)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run one more node in the foreground.

    Ctrl-C has it leave: it finishes what it holds first. Ctrl-C again ends it at once.
    """
    roles = _roles(role or list(ROLES))
    info = _place(coordinator)
    home = Home(Path(info.home))
    chosen = name or _new_name(home, info, roles)
    _check_name(chosen, home, info)
    (home.data(chosen) / LEAVE).unlink(missing_ok=True)  # that was asked of the one before
    process = _run(home, info, chosen, ",".join(ROLES[each] for each in roles))
    try:
        _await_start(process, home.data(chosen))
        say(f"{chosen} works for {info.coordinator}; Ctrl-C has it leave")
        if as_json:
            emit(NODE_SCHEMA, _find(info, chosen))
        _stay(process, home)
    except KeyboardInterrupt:
        _retire(process, home.data(chosen))


@app.command("ls")
def ls(as_json: AsJson = False) -> None:
    """List the nodes the network knows, and what those of this home work on."""
    info = known_network()
    rows = _rows(info)
    show(
        "",
        ("node", "roles", "arithmetic", "seen", "works on"),
        [
            (
                row["name"],
                ", ".join(row["roles"]) or "none",
                ", ".join(_short(each) for each in row["numerics"]) or "-",
                _ago(row["seen_ms"]),
                _doing(row),
            )
            for row in rows
        ],
    )
    if as_json:
        emit(LIST_SCHEMA, {"coordinator": info.coordinator, "nodes": rows})


@app.command("show")
def show_node(name: Name, as_json: AsJson = False) -> None:
    """Show what the network knows about a node."""
    found = _find(known_network(), name)
    rows = {
        **{key: found[key] for key in ("name", "account", "owner", "coordinator")},
        "roles": ", ".join(found["roles"]) or "none",
        "arithmetic": ", ".join(found["numerics"]) or "-",
        "sandbox": found["sandbox_tier"],
        "seen": _ago(found["seen_ms"]),
        "process": found["pid"] or "not of this home",
        "works on": _doing(found),
    }
    show("", ("", ""), [(key, str(value)) for key, value in rows.items()])
    if as_json:
        emit(NODE_SCHEMA, found)


@app.command("drain")
def drain(
    name: Name,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="until it has left")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="seconds; 0 = as long as it takes")] = 0,
    as_json: AsJson = False,
) -> None:
    """Have a node of this home finish what it holds, take nothing more, and end.

    It stays until nobody can ask anything of it: a segment it trained may still be checked.
    """
    from gensyn_lightning.node import presence

    info = known_network()
    found = _find(info, name)
    if not found["pid"]:
        raise ConfigError(
            f"{found['name']} does not run from {info.home}",
            hint="its owner drains it, from the home it was started in",
        )
    folder = Home(Path(info.home)).data(found["name"])
    presence.ask_to_leave(folder)
    say(f"{found['name']} leaves once it owes nothing")
    deadline = time.monotonic() + timeout if timeout else None
    while wait and presence.look(folder) is not None:
        if deadline is not None and time.monotonic() > deadline:
            raise TimedOut(f"{found['name']} has not left after {timeout:g} s")
        time.sleep(POLL_S)
    if as_json:
        emit(NODE_SCHEMA, found | {"leaving": True} if not wait else _find(info, name))


def _roles(words: list[str]) -> list[str]:
    unknown = [each for each in words if each not in ROLES]
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is no role", hint="--role solver or --role verifier")
    return [each for each in ROLES if each in words]


def _place(coordinator: str | None) -> NetworkInfo:
    """Return the embedded network to work in; raise `SandboxError` for any other."""
    settings = config.resolve({"coordinator": coordinator})
    running = Network.find(settings.home)
    if settings.coordinator and (running is None or running.coordinator != settings.coordinator):
        from gensyn_lightning.node.__main__ import refuse_strangers

        refuse_strangers(embedded=False)
    return running or known_network()


def _new_name(home: Home, info: NetworkInfo, roles: list[str]) -> str:
    """Return a name nobody has had in this home."""
    number = 1
    while home.data(name := f"{roles[0]}-{number}").exists() or name in info.processes:
        number += 1
    return name


def _check_name(name: str, home: Home, info: NetworkInfo) -> None:
    if not _is_name(name):
        raise ConfigError(f"{name!r} is no name", hint="use letters, digits, - and _")
    from gensyn_lightning.node import presence

    if name in info.processes or presence.look(home.data(name)) is not None:
        raise ConfigError(f"{name} runs in this network", hint="choose another --name")


def _is_name(name: str) -> bool:
    """Whether a node's name may become the name of a file."""
    plain = name.replace("-", "").replace("_", "")
    return plain.isascii() and plain.isalnum() and len(name) <= _NAME_CHARS_MAX


def _run(home: Home, info: NetworkInfo, name: str, roles: str) -> subprocess.Popen[bytes]:
    """Start the node; it ends with this process and hears no Ctrl-C of the terminal itself."""
    from gensyn_lightning.network.keys import pin_node
    from gensyn_lightning.network.plan import clean_environment, node_command

    pin_node(home, name, roles)
    command = node_command(home, name, roles, info.coordinator, Path(info.zygote))
    return subprocess.Popen(  # noqa: S603 - the command is ours
        [*command, "--die-with", str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        env=clean_environment(),
        cwd="/",
        process_group=0,
    )


def _await_start(process: subprocess.Popen[bytes], folder: Path) -> None:
    from gensyn_lightning.node import presence

    deadline = time.monotonic() + START_S
    while (found := presence.look(folder)) is None or found.pid != process.pid:
        if process.poll() is not None:
            raise SandboxError("the node did not start", hint="see the line above")
        if time.monotonic() > deadline:
            process.kill()
            raise NetworkError(f"the node was not ready within {START_S:.0f} s")
        time.sleep(POLL_S)


def _stay(process: subprocess.Popen[bytes], home: Home) -> None:
    """Wait for the end of the node; it has no business beyond the end of its network."""
    from gensyn_lightning.network.child import LEFT

    while process.poll() is None:
        if Network.find(home.path) is None:
            process.kill()
            raise NetworkError("the network has stopped", hint="start it with `gensyn up`")
        time.sleep(POLL_S)
    if process.returncode != LEFT:
        raise NetworkError(f"the node ended with status {process.returncode}", hint="see above")


def _retire(process: subprocess.Popen[bytes], folder: Path) -> NoReturn:
    from gensyn_lightning.node import presence

    say("finishing what it holds; Ctrl-C again ends it at once")
    try:
        presence.ask_to_leave(folder)
        status = process.wait()
    except KeyboardInterrupt:
        process.kill()
        raise typer.Exit(INTERRUPTED) from None
    from gensyn_lightning.network.child import LEFT

    raise typer.Exit(0 if status == LEFT else FAILED)


def _rows(info: NetworkInfo) -> list[dict[str, Any]]:
    """Return every node the network knows, with what those of this home say of themselves."""
    from gensyn_lightning.node import presence

    home = Home(Path(info.home))
    with connected(info) as client:
        nodes = client.network().nodes
    rows = []
    for node in nodes:
        own = _is_own(home, node.name, node.node.hex())
        standing = presence.look(home.data(node.name)) if own else None
        roles = {"solver": node.solves, "verifier": node.verifies}
        rows.append(
            {
                "name": node.name,
                "account": node.node.hex(),
                "owner": node.owner.hex(),
                "coordinator": info.coordinator,
                "roles": [role for role, has in roles.items() if has],
                "numerics": list(node.numerics),
                "sandbox_tier": node.sandbox_tier,
                "seen_ms": node.seen_ms,
                "pid": standing.pid if standing else None,
                "leaving": standing.leaving if standing else False,
                "works": [
                    {"kind": each.kind, "job": each.job, "segment": each.segment}
                    for each in (standing.works if standing else ())
                ],
            }
        )
    return rows


def _is_own(home: Home, name: str, account: str) -> bool:
    """Whether a node that calls itself so has its key in this home: names are its own word."""
    from gensyn_lightning.identity import open_account

    if not _is_name(name) or not (home.keys / f"{name}.json").is_file():
        return False
    return open_account(home.keys, name).address.hex() == account


def _find(info: NetworkInfo, name: str) -> dict[str, Any]:
    rows = _rows(info)
    found = [row for row in rows if row["name"] == name]
    if not found and len(name) >= PREFIX_MIN:
        found = [row for row in rows if row["account"].startswith(name.removeprefix("0x").lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFound(f"{len(found)} nodes are called {name}", hint="name one by its account")
    known = ", ".join(row["name"] for row in rows[:8])
    raise NotFound(f"the network knows no node {name}", hint=f"it knows {known or 'none'}")


def _doing(row: dict[str, Any]) -> str:
    works = [f"{each['kind']} {each['segment']} of {each['job'][:8]}" for each in row["works"]]
    idle = "nothing" if row["pid"] else "-"
    return (", ".join(works) or idle) + (", leaving" if row["leaving"] else "")


def _ago(seen_ms: int) -> str:
    if not seen_ms:
        return "not since the coordinator started"
    seconds = max(0, round(time.time() - seen_ms / 1000))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"


def _short(numerics: str) -> str:
    return numerics if len(numerics) <= 24 else f"{numerics[:23]}…"
