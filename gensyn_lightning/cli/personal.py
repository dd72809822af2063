"""The personal config.toml: one setting is changed, every other line stays as it was."""

from __future__ import annotations

import json
import os
import re
import secrets
import tomllib
from pathlib import Path
from typing import Any

from gensyn_lightning import config
from gensyn_lightning.errors import ConfigError


def change(path: Path, name: str, text: str) -> None:
    """Set `name` in the file to what `text` means; raise `ConfigError` where that is not possible.

    The file is written whole or not at all, for its owner only.
    """
    value = config.parse(str(path), name, text)
    before = config.read_toml(path)
    for each, known in before.items():
        config.parse(str(path), each, known)
    content = path.read_text() if before or path.is_file() else ""
    made = _with_line(content, name, f"{name} = {_written(text, value)}")
    try:
        changed = tomllib.loads(made)
        same = {key: each for key, each in changed.items() if key != name}
        done = same == {key: each for key, each in before.items() if key != name}
        done = done and config.parse(str(path), name, changed[name]) == value
    except (tomllib.TOMLDecodeError, LookupError):
        done = False
    if not done:
        raise ConfigError(f"{path} is laid out in a way that is not ours", hint="edit it by hand")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(made)
    staged.replace(path)


def _with_line(content: str, name: str, line: str) -> str:
    """Replace the line that sets `name`, or add one before the first table."""
    lines = content.splitlines()
    top = next((n for n, each in enumerate(lines) if each.lstrip().startswith("[")), len(lines))
    for number, each in enumerate(lines[:top]):
        if re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=", each):
            lines[number] = line
            break
    else:
        lines.insert(top, line)
    return "\n".join(lines) + "\n"


def _written(text: str, value: Any) -> str:
    """Return the value as TOML: a number or a truth value as such, everything else as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and text not in config.AUDITS:
        return text if re.fullmatch(r"\d+(\.\d+)?", text) else json.dumps(text)
    return json.dumps(text)
