"""The jobs submitted from one home, so that people can name them by what they were shown."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

from gensyn_lightning.errors import ConfigError, Malformed, NotFound
from gensyn_lightning.network.home import Home, write_json
from gensyn_lightning.protocol.digest import parse_digest
from gensyn_lightning.protocol.job import JobId, display_id

RECORD_BYTES_MAX = 4096
LISTED_MAX = 1000
DIGITS_MIN = 4


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job, when and from which folder it was submitted, and its batches at most (0: unknown)."""

    job: JobId
    submitted_ms: int
    folder: str
    batches_max: int = 0


def remember(home: Home, job: JobId, batches_max: int = 0) -> None:
    """Note that `job` was submitted from here, now."""
    folder = home.path / "jobs"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{job.hex()}.json"
    if not path.exists():
        now_ms = time.time_ns() // 1_000_000
        record = {"submitted_ms": now_ms, "folder": str(Path.cwd()), "batches_max": batches_max}
        write_json(path, record)


def most_batches(home: Home, job: JobId) -> int:
    """Return how many batches a job submitted from here has at most, 0 if nothing says so."""
    return next((each.batches_max for each in submitted(home) if each.job == job), 0)


def submitted(home: Home) -> list[Submitted]:
    """Return the jobs submitted from here, newest first, at most `LISTED_MAX`."""
    folder = home.path / "jobs"
    found = [_read(path) for path in folder.glob("*.json")] if folder.is_dir() else []
    return sorted(found, key=lambda each: -each.submitted_ms)[:LISTED_MAX]


def find(home: Home, name: str) -> JobId:
    """Return the job people mean by `name`: what was shown, the whole digest, or how it starts.

    Raise `NotFound` unless it is exactly one; a whole digest may be of any job.
    """
    digits = name.removeprefix("job-").lower()
    if len(digits) == 64:
        return JobId(parse_digest(digits))
    if len(digits) < DIGITS_MIN or set(digits) - set("0123456789abcdef"):
        raise ConfigError(f"{name!r} is no job", hint="job names look like job-0123456789abcdef")
    known = [each.job for each in submitted(home) if each.job.hex().startswith(digits)]
    if len(known) == 1:
        return known[0]
    if known:
        raise NotFound(f"{name} is one of {', '.join(map(display_id, known[:8]))}")
    raise NotFound(f"no job {name} was submitted from {home.path}", hint="see `gensyn job ls`")


def _read(path: Path) -> Submitted:
    try:
        with path.open() as file:
            value = json.loads(file.read(RECORD_BYTES_MAX))
        job = JobId(parse_digest(path.stem))
        most = int(value.get("batches_max", 0))
        return Submitted(job, int(value["submitted_ms"]), str(value["folder"]), most)
    except (OSError, ValueError, KeyError, TypeError, Malformed) as error:
        raise ConfigError(f"{path} is damaged: {error}", hint="delete it") from error
