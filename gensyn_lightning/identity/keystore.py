"""Account keys on disk: a version 3 keystore per account, and its generated password beside it.

The format is Ethereum's Web3 Secret Storage, so that any wallet opens the file. The password is
random, so the work factor guards nothing and is kept small; what protects a key is that only its
user can read the folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gensyn_lightning.errors import ConfigError, GensynError
from gensyn_lightning.identity.account import Account
from gensyn_lightning.protocol.digest import keccak

FILE_BYTES_MAX = 16_384
SCRYPT_N = 1 << 14
SCRYPT_N_MAX = 1 << 20
_SCRYPT_R, _SCRYPT_P, _KEY_BYTES = 8, 1, 32
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def open_or_create(folder: Path, name: str) -> Account:
    """Return the account called `name` in `folder`, made on first use."""
    with _locked(folder):
        if _paths(folder, name)[0].exists():
            return open_account(folder, name)
        return create_account(folder, name)


def create_account(folder: Path, name: str, account: Account | None = None) -> Account:
    """Store `account`, or a new one, as `name`; raise `ConfigError` if the name is taken."""
    file, password_file = _paths(folder, name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if file.exists():
        raise ConfigError(f"the account {name} exists", hint="choose another name")
    account = account or Account.generate()
    password = secrets.token_urlsafe(32)
    _write(password_file, password.encode())
    _write(file, json.dumps(encrypt(account, password), indent=1).encode())
    return account


def open_account(folder: Path, name: str) -> Account:
    """Return the stored account; raise `ConfigError` if it is missing or does not open."""
    file, password_file = _paths(folder, name)
    try:
        password = _read(password_file).decode().strip()
        value = json.loads(_read(file))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"the account {name} cannot be read: {error}", hint=f"look in {folder}"
        ) from None
    return decrypt(value, password)


def encrypt(account: Account, password: str) -> dict[str, Any]:
    """Return a version 3 keystore for `account`."""
    salt, iv = secrets.token_bytes(32), secrets.token_bytes(16)
    parameters = {"n": SCRYPT_N, "r": _SCRYPT_R, "p": _SCRYPT_P, "dklen": _KEY_BYTES}
    derived = _derive(password, salt, parameters)
    hidden = _cipher(derived, iv, account.secret())
    return {
        "version": 3,
        "id": str(uuid.uuid4()),
        "address": account.address.hex(),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": hidden.hex(),
            "kdf": "scrypt",
            "kdfparams": {**parameters, "salt": salt.hex()},
            "mac": keccak(derived[16:] + hidden).hex(),
        },
    }


def decrypt(value: Any, password: str) -> Account:
    """Return the account in a version 3 keystore; raise `ConfigError` if it does not open."""
    try:
        box = value["crypto"]
        if (value["version"], box["kdf"], box["cipher"]) != (3, "scrypt", "aes-128-ctr"):
            raise ConfigError("this is no keystore of version 3 with scrypt")
        parameters = box["kdfparams"]
        derived = _derive(password, bytes.fromhex(parameters["salt"]), parameters)
        hidden = bytes.fromhex(box["ciphertext"])
        if not hmac.compare_digest(keccak(derived[16:] + hidden).hex(), box["mac"].lower()):
            raise ConfigError("the password does not open this keystore")
        account = Account(_cipher(derived, bytes.fromhex(box["cipherparams"]["iv"]), hidden))
    except (KeyError, TypeError, ValueError, AttributeError, GensynError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError("the keystore is damaged") from None
    return account


def _derive(password: str, salt: bytes, parameters: dict[str, Any]) -> bytes:
    n, r, p = parameters["n"], parameters["r"], parameters["p"]
    if parameters["dklen"] != _KEY_BYTES or not 2 <= n <= SCRYPT_N_MAX or r * p > 64:
        raise ConfigError("the keystore asks for more work than we do")
    memory = 128 * r * (n + p + 2)
    return hashlib.scrypt(
        password.encode(), salt=salt, n=n, r=r, p=p, dklen=_KEY_BYTES, maxmem=2 * memory
    )


def _cipher(derived: bytes, iv: bytes, data: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(derived[:16]), modes.CTR(iv)).encryptor()
    return cipher.update(data) + cipher.finalize()


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} is no account name", hint="use a-z, 0-9, dot, dash, underscore"
        )
    return folder / f"{name}.json", folder / f"{name}.password"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, data: bytes) -> None:
    staged = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(staged, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path.name} is larger than {FILE_BYTES_MAX} bytes")
    return data
