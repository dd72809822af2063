"""Who is asking and who signed: accounts sign records, node keys sign requests."""

from __future__ import annotations

from gensyn_lightning.identity.account import Account, Signature, recover, sign_record
from gensyn_lightning.identity.delegation import Delegation, NodeKey, Role, SignedDelegation
from gensyn_lightning.identity.keystore import create_account, open_account, open_or_create
from gensyn_lightning.identity.request import Caller, Identity, RequestVerifier, sign_request

__all__ = [
    "Account",
    "Caller",
    "Delegation",
    "Identity",
    "NodeKey",
    "RequestVerifier",
    "Role",
    "Signature",
    "SignedDelegation",
    "create_account",
    "open_account",
    "open_or_create",
    "recover",
    "sign_record",
    "sign_request",
]
