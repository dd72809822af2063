"""Every setting, where it may be set, and where the value in force came from.

A flag goes before `GensynStrategy(...)`, that before the environment (`GENSYN_*`), that before
`[tool.gensyn]` in the nearest pyproject.toml, that before `config.toml` in
`$XDG_CONFIG_HOME/gensyn`, and that before the default.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.protocol.parameters import PPM
from gensyn_lightning.repops import VERSION as REPOPS

CONFIG_BYTES_MAX = 1 << 20
NODES_PER_ROLE_MAX = 16
_FLAGS: ContextVar[Mapping[str, Any]] = ContextVar("flags", default=MappingProxyType({}))
ARITHMETICS = (REPOPS, "native")
AUDITS = MappingProxyType({"default": 100_000, "full": PPM, "none": 0})


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force; `sources` says for each name where its value came from.

    `coordinator` is an address, or empty for the embedded network under `home`. `audit_rate_ppm`
    is the share of segments that verifiers replay. `segment_seconds` of 0 leaves the length of
    segments to the network. `idle_minutes` is how long an embedded network outlives its last
    job. `budget` is the highest price of a job; 0 means the price of the whole fit. `numerics` is
    the arithmetic programs run on: reproducible operators, or `native` for torch's own, whose bits
    only machines of one kind share.
    """

    home: Path
    coordinator: str
    solvers: int
    verifiers: int
    audit_rate_ppm: int
    segment_seconds: float
    idle_minutes: float
    budget: int
    value_at_stake: int
    numerics: str
    timeout_seconds: float
    quiet: bool
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: what it means, how text becomes its value, and its default."""

    help: str
    parse: Callable[[Any], Any]
    default: Any


def resolve(
    flags: Mapping[str, Any] | None = None,
    strategy: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Config:
    """Return the settings in force; None as a value means "not said here".

    Raise `ConfigError` that names the place if a value is unknown or cannot be read.
    """
    environment = os.environ if environ is None else environ
    pyproject = _nearest_pyproject(folder or Path.cwd())
    personal = personal_file(environment)
    places = (
        ("flag", _said(_FLAGS.get() if flags is None else flags)),
        ("GensynStrategy", _said(strategy)),
        ("environment", _from_environment(environment)),
        (str(pyproject or "pyproject.toml"), _from_pyproject(pyproject)),
        (str(personal), read_toml(personal)),
        ("default", _defaults(environment)),
    )
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for place, said in places:
        for name, value in said.items():
            parsed = parse(place, name, value)
            if name not in values:
                values[name], sources[name] = parsed, place
    renamed = {"audit_rate_ppm" if name == "audit" else name: v for name, v in values.items()}
    return Config(**renamed, sources=MappingProxyType(sources))


@contextmanager
def flags(said: Mapping[str, Any]) -> Iterator[None]:
    """Let `said` stand as the flags of whatever is resolved inside the block without any."""
    token = _FLAGS.set(said)
    try:
        yield
    finally:
        _FLAGS.reset(token)


def as_settings(config: Config) -> dict[str, tuple[Any, str]]:
    """Return each setting by the name people use, with its value and its source."""
    rows: dict[str, tuple[Any, str]] = {}
    for name in SETTINGS:
        value = config.audit_rate_ppm / PPM if name == "audit" else getattr(config, name)
        rows[name] = (str(value) if isinstance(value, Path) else value, config.sources[name])
    return rows


def variable(name: str) -> str:
    """Return the environment variable that sets `name`."""
    return f"GENSYN_{name.upper()}"


def parse(place: str, name: str, value: Any) -> Any:
    """Return the value `place` gives a setting; raise `ConfigError` that names the place."""
    setting = SETTINGS.get(name)
    if setting is None:
        known = ", ".join(SETTINGS)
        raise ConfigError(f"{place}: there is no setting {name!r}", hint=f"there are {known}")
    try:
        return setting.parse(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{place}: {name} = {value!r}: {error}", hint=setting.help) from error


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a TOML file says; nothing if there is no such file."""
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        text = file.read(CONFIG_BYTES_MAX + 1)
    if len(text) > CONFIG_BYTES_MAX:
        raise ConfigError(f"{path} is larger than {CONFIG_BYTES_MAX} bytes")
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error


def personal_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return the config.toml of this user; it need not exist."""
    environment = os.environ if environ is None else environ
    home = environment.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "gensyn" / "config.toml"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")
    return value


def _path(value: Any) -> Path:
    return Path(value).expanduser().absolute()


def _count(value: Any) -> int:
    number = _whole(value)
    if number > NODES_PER_ROLE_MAX:
        raise ValueError(f"must be at most {NODES_PER_ROLE_MAX}")
    return number


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or int(value) < 0:
        raise ValueError("must be a whole number, 0 or more")
    return int(value)


def _duration(value: Any) -> float:
    if isinstance(value, bool) or not 0 <= float(value) < float("inf"):
        raise ValueError("must be a number, 0 or more")
    return float(value)


def _audit(value: Any) -> int:
    if value in AUDITS:
        return AUDITS[value]
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if isinstance(value, bool) or not 0 <= rate <= 1:
        raise ValueError("must be default, full, none or a share between 0 and 1")
    return round(rate * PPM)


def _arithmetic(value: Any) -> str:
    if value not in ARITHMETICS:
        raise ValueError(f"must be {' or '.join(ARITHMETICS)}")
    return str(value)


def _flag(value: Any) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    found = value if isinstance(value, bool) else words.get(str(value).lower())
    if found is None:
        raise ValueError("must be true or false")
    return found


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "home": Setting("folder of keys, jobs and the embedded network", _path, None),
        "coordinator": Setting("address of a coordinator; empty starts one here", _text, ""),
        "solvers": Setting("solvers of the embedded network", _count, 2),
        "verifiers": Setting("verifiers of the embedded network", _count, 1),
        "audit": Setting("share of segments replayed: default, full, none, 0-1", _audit, "default"),
        "segment_seconds": Setting(
            "wanted length of a segment, up to four times it late in a job; 0 = automatic",
            _duration,
            0.0,
        ),
        "idle_minutes": Setting(
            "an embedded network stops this long after its last job", _duration, 10.0
        ),
        "budget": Setting("highest price of a job; 0 = that of the whole fit", _whole, 0),
        "value_at_stake": Setting("what a wrong model would cost you", _whole, 0),
        "numerics": Setting(
            f"arithmetic of programs: {' or '.join(ARITHMETICS)}", _arithmetic, REPOPS
        ),
        "timeout_seconds": Setting("give up on a job after this long; 0 = never", _duration, 0.0),
        "quiet": Setting("say nothing while a job runs", _flag, False),
    }
)


def _said(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (values or {}).items() if value is not None}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what `GENSYN_*` says; other variables with that prefix are not settings."""
    return {name: environ[variable(name)] for name in SETTINGS if environ.get(variable(name))}


def _nearest_pyproject(folder: Path) -> Path | None:
    for each in (folder, *folder.parents):
        if (each / "pyproject.toml").is_file():
            return each / "pyproject.toml"
    return None


def _from_pyproject(path: Path | None) -> dict[str, Any]:
    tool = {} if path is None else read_toml(path).get("tool", {})
    said = tool.get("gensyn", {}) if isinstance(tool, dict) else {}
    if not isinstance(said, dict):
        raise ConfigError(f"{path}: tool.gensyn must be a table")
    return said


def _defaults(environ: Mapping[str, str]) -> dict[str, Any]:
    data = Path(environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "gensyn"
    return {name: each.default for name, each in SETTINGS.items()} | {"home": data}
