"""The experimenter's signature under a ledger: Ed25519 over its head, so that nobody else can write another one.

Whoever holds the private key can still sign anything: keep it where the recordings are not, and deposit the public one
before the study begins.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disk.reading import read_plain
from disk.writing import write_whole
from racer.errors import ConfigError, RacerError
from sessions.extras import import_extra
from sessions.ledger import Ledger

SIGNATURE_NAME = "ledger.signature.json"
_REQUIREMENT = "racer[sign]"
_MOST_BYTES = 2**16


class SignatureError(RacerError):
    """There is no signature, or it is wrong."""


@dataclass(frozen=True)
class Signature:
    """A signature that is right: whoever has the private key has signed this head."""

    entries: int
    """How many the ledger had."""
    head: str


def make_key(path: Path) -> str:
    """Write a new private key (PEM, PKCS #8, not encrypted); return the public key, 64 hexadecimal digits.

    Raises:
        ConfigError: If there is such a file, or the disk refuses.
        MissingPackageError: If `cryptography` is not installed.
    """
    serialization, ed25519 = _modules()
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        write_whole(path, pem, overwrite=False)
    except OSError as error:
        raise ConfigError(f"cannot write the key {path}: {error.strerror}; nothing was written") from error
    return _public(key)


def sign(folder: Path, ledger: Ledger, key: Path) -> str:
    """Sign the head of a folder's ledger; return the public key, 64 hexadecimal digits.

    Args:
        folder: Where the signature goes, `ledger.signature.json`, in place of an earlier one.
        ledger: To sign.
        key: The private key: Ed25519, PEM, not encrypted.

    Raises:
        ConfigError: If the key cannot be read, or the disk refuses.
        MissingPackageError: If `cryptography` is not installed.
    """
    serialization, ed25519 = _modules()
    try:
        private = serialization.load_pem_private_key(read_plain(key, _MOST_BYTES), password=None)
    except OSError as error:
        raise ConfigError(f"cannot read the key {key}: {error.strerror}; nothing was signed") from error
    except Exception as error:  # of OpenSSL, many kinds
        raise ConfigError(f"{key} is not a private key in PEM form without a passphrase; nothing was signed") from error
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise ConfigError(f"{key} is not an Ed25519 key; nothing was signed: make one with `racer study key FILE`")
    entries, head, public = len(ledger.entries), ledger.head, _public(private)
    signature = private.sign(_message(entries, head)).hex()
    told = {"entries": entries, "head": head, "public_key": public, "signature": signature}
    try:
        write_whole(folder / SIGNATURE_NAME, (json.dumps(told) + "\n").encode())
    except OSError as error:
        raise ConfigError(f"cannot write {folder / SIGNATURE_NAME}: {error.strerror}; nothing was signed") from error
    return public


def read_signature(folder: Path, public_key: str) -> Signature:
    """Return what was signed of a folder's ledger, with the private key that belongs to a public one.

    Args:
        folder: That holds `ledger.signature.json`.
        public_key: 64 hexadecimal digits.

    Raises:
        ConfigError: If the public key is none.
        SignatureError: If there is no signature, or it is wrong.
        MissingPackageError: If `cryptography` is not installed.
    """
    _, ed25519 = _modules()
    try:
        public = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    except Exception as error:
        raise ConfigError("the public key must be 64 hexadecimal digits, as `racer study key` prints it") from error
    try:
        told: dict[str, Any] = json.loads(read_plain(folder / SIGNATURE_NAME, _MOST_BYTES))
        entries, head = told["entries"], told["head"]
        if type(entries) is not int or not isinstance(head, str):
            raise TypeError
        public.verify(bytes.fromhex(told["signature"]), _message(entries, head))
    except FileNotFoundError:
        raise SignatureError("the ledger was not signed") from None
    except OSError as error:
        raise SignatureError(f"{SIGNATURE_NAME} cannot be read: {error.strerror}") from error
    except Exception as error:  # InvalidSignature, and whatever a damaged file leads to
        raise SignatureError("the signature is not of this public key") from error
    return Signature(entries, head)


def _message(entries: int, head: str) -> bytes:
    return f"racer ledger 1\n{entries}\n{head}\n".encode()


def _public(key: Any) -> str:
    raw: bytes = key.public_key().public_bytes_raw()
    return raw.hex()


def _modules() -> tuple[Any, Any]:
    purpose = "signing a ledger"
    serialization = import_extra("cryptography.hazmat.primitives.serialization", _REQUIREMENT, purpose)
    ed25519 = import_extra("cryptography.hazmat.primitives.asymmetric.ed25519", _REQUIREMENT, purpose)
    return serialization, ed25519
