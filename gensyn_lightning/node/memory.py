"""What a node must still know after it was killed: salts it may be asked for, replays it promised.

One small file each, written before the network hears of them, dropped when they are old.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.commitment import Commitment
from gensyn_lightning.protocol.digest import Digest, Nonce, parse_digest
from gensyn_lightning.protocol.job import JobId
from gensyn_lightning.protocol.jsonform import from_json, to_json
from gensyn_lightning.protocol.verdict import Replay

ENTRIES_MAX = 1 << 14
KEPT_S = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Promised:
    """A replay and what it is of, as it is shown once the salt is open."""

    work_id: Digest
    fence: int
    commitment: Commitment
    replay: Replay


class Memory:
    """A folder of what a node promised."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._forget_old()

    def keep_salt(self, commitment: Commitment, salt: Nonce) -> None:
        """Keep the salt of a commitment about to be handed in."""
        value = {
            "salt": salt.hex(),
            "job": commitment.job.hex(),
            "index": commitment.task_index,
        }
        self._write(f"salt-{struct_hash(commitment).hex()}", value)

    def committed(self) -> dict[JobId, int]:
        """Return the jobs this node committed to segments of, each with the last such segment."""
        found: dict[JobId, int] = {}
        for path in self._folder.glob("salt-*"):
            value = self._read(path.name)
            if value is not None and "job" in value:
                job = JobId(parse_digest(value["job"]))
                found[job] = max(found.get(job, 0), int(value["index"]))
        return found

    def salt(self, commitment: Digest) -> Nonce | None:
        """Return the salt of a commitment made here, or None."""
        value = self._read(f"salt-{commitment.hex()}")
        return None if value is None else Nonce(bytes.fromhex(value["salt"]))

    def keep_promised(self, promised: Promised) -> None:
        """Keep a replay about to be promised."""
        value = {
            "fence": promised.fence,
            "commitment": to_json(promised.commitment),
            "replay": to_json(promised.replay),
        }
        self._write(f"replay-{promised.work_id.hex()}", value)

    def promised(self, work_id: Digest) -> Promised | None:
        """Return the replay promised for a piece of work, or None."""
        value = self._read(f"replay-{work_id.hex()}")
        if value is None:
            return None
        commitment = from_json(Commitment, value["commitment"])
        return Promised(work_id, value["fence"], commitment, from_json(Replay, value["replay"]))

    def _write(self, name: str, value: dict[str, Any]) -> None:
        staged = self._folder / f".{name}"
        with staged.open("w") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(self._folder / name)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            value: dict[str, Any] = json.loads((self._folder / name).read_text())
        except FileNotFoundError:
            return None
        return value

    def _forget_old(self) -> None:
        found = sorted(self._folder.iterdir(), key=lambda each: each.stat().st_mtime)
        oldest = time.time() - KEPT_S
        for place, each in enumerate(found):
            if each.stat().st_mtime < oldest or place < len(found) - ENTRIES_MAX:
                each.unlink()
