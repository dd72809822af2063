"""One remote call, described once for both ends: its name, what goes in, what comes out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Generic, TypeVar

Request = TypeVar("Request")
Response = TypeVar("Response")

PACKAGE = "gensyn.v1"
MESSAGE_BYTES_MAX = 4 << 20
UNARY_S = 60.0
STREAM_S = 600.0


@dataclass(frozen=True, slots=True)
class Rpc(Generic[Request, Response]):
    """A call of `service`; `request` and `response` are the records that travel."""

    service: str
    name: str
    request: type[Request]
    response: type[Response]
    request_streams: bool = False
    response_streams: bool = False

    @property
    def path(self) -> str:
        """The full method name, which is part of what a request's signature covers."""
        return f"/{PACKAGE}.{self.service}/{self.name}"

    @property
    def handler(self) -> str:
        """The name of the method that answers it: `OpenSalt` is answered by `open_salt`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.name).lower()

    @property
    def deadline_s(self) -> float:
        """The longest time a server spends on one call."""
        return STREAM_S if self.request_streams or self.response_streams else UNARY_S
