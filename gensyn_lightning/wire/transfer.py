"""How artifacts travel, as records; the comments are in proto/v1/artifact.proto."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gensyn_lightning.identity.account import Signature
from gensyn_lightning.protocol.commitment import StoreReceipt
from gensyn_lightning.protocol.digest import Digest
from gensyn_lightning.wire.rpc import Rpc

SERVICE = "Artifacts"
CHUNK_BYTES_MAX = 1 << 20
DIGESTS_MAX = 4096


@dataclass(frozen=True, slots=True)
class MissingRequest:
    """At most `DIGESTS_MAX` artifacts to look for."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class MissingResponse:
    """Those the store lacks, in the order asked."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """An artifact about to be sent."""

    digest: Digest
    length: int


@dataclass(frozen=True, slots=True)
class OpenResponse:
    """From which byte on the store wants it; `complete` when it stands already."""

    offset: int
    complete: bool


@dataclass(frozen=True, slots=True)
class PutHeader:
    """What the chunks after it belong to, and where the first of them starts."""

    digest: Digest
    length: int
    offset: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """At most `CHUNK_BYTES_MAX` bytes of an artifact."""

    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class PutRequest:
    """Exactly one of the two: the header first, chunks after it."""

    header: PutHeader | None = None
    chunk: Chunk | None = None


@dataclass(frozen=True, slots=True)
class PutResponse:
    """How far the store has come; `complete` once the artifact stands."""

    offset: int
    complete: bool


@dataclass(frozen=True, slots=True)
class ArtifactsGetRequest:
    """An artifact, from `offset` on."""

    digest: Digest
    offset: int


@dataclass(frozen=True, slots=True)
class ArtifactsGetResponse:
    """One piece of an artifact of `length` bytes."""

    length: int
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class StoreReceiptRequest:
    """Artifacts the store is to vouch for."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class StoreReceiptResponse:
    """The store's signed word."""

    receipt: StoreReceipt
    signature: Signature


MISSING = Rpc(SERVICE, "Missing", MissingRequest, MissingResponse)
OPEN = Rpc(SERVICE, "Open", OpenRequest, OpenResponse)
PUT = Rpc(SERVICE, "Put", PutRequest, PutResponse, request_streams=True)
GET = Rpc(SERVICE, "Get", ArtifactsGetRequest, ArtifactsGetResponse, response_streams=True)
STORE_RECEIPT = Rpc(SERVICE, "StoreReceipt", StoreReceiptRequest, StoreReceiptResponse)

RPCS: tuple[Rpc[Any, Any], ...] = (MISSING, OPEN, PUT, GET, STORE_RECEIPT)
