"""What of a job's log is worth a line at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gensyn_lightning.report.finding import printable

REASON_CHARS_MAX = 500
LOST = frozenset({"refuted", "leaseexpired", "nodefailed", "saltwithheld"})


def remark(kind: str, body: Mapping[str, Any]) -> str:
    """Return what people want to hear of an entry of the log, or nothing."""
    index = int(body.get("index", 0))
    match kind:
        case "audit_expired":
            return f"segment {index}: a check was not finished ({reason(kind, body)})"
        case "reported":
            return _verdict(index, body)
        case "arbitrated":
            return f"segment {index}: arbitration says {str(body['outcome']).lower()}"
        case _ if kind in LOST:
            return f"segment {index} is trained again: {reason(kind, body)}"
    return ""


def reason(kind: str, body: Mapping[str, Any]) -> str:
    """Return why a segment is lost or a check was not finished."""
    return printable(str(body.get("reason") or kind)[:REASON_CHARS_MAX])


def _verdict(index: int, body: Mapping[str, Any]) -> str:
    verdict = str(body.get("verdict", ""))
    if verdict == "MATCH":
        return ""
    where = f", differs in {body['field']}" if body.get("field") else ""
    return f"segment {index}: a replay says {verdict.lower().replace('_', ' ')}{where}"
