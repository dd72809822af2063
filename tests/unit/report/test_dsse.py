from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from gensyn_lightning.errors import InvalidProof, LimitExceeded, Malformed
from gensyn_lightning.identity import NodeKey
from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.report import dsse
from gensyn_lightning.report.dsse import pre_authentication, seal, unseal

PAYLOAD = {"_type": "https://in-toto.io/Statement/v1", "text": "à"}


def test_what_is_sealed_comes_out_with_its_key() -> None:
    key = NodeKey()
    opened = unseal(seal(PAYLOAD, key))
    assert opened.payload == PAYLOAD
    assert opened.key == key.public


def test_the_pre_authentication_encoding_is_the_standards() -> None:
    """The example of https://github.com/secure-systems-lab/dsse/blob/master/protocol.md."""
    encoded = pre_authentication("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_flipping_any_byte_of_an_envelope_is_found() -> None:
    envelope = seal(PAYLOAD, NodeKey())
    for place, byte in enumerate(envelope):
        for bit in range(8):
            changed = envelope[:place] + bytes([byte ^ 1 << bit]) + envelope[place + 1 :]
            with pytest.raises((Malformed, InvalidProof)):
                unseal(changed)


def remade(change: Any) -> bytes:
    value = json.loads(seal(PAYLOAD, NodeKey()))
    change(value)
    return json_bytes(value)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(surplus=1),
        lambda value: value["signatures"].append(value["signatures"][0]),
        lambda value: value["signatures"].clear(),
        lambda value: value["signatures"][0].update(cert=""),
        lambda value: value["signatures"][0].update(keyid="AB" * 32),
        lambda value: value["signatures"][0].update(keyid="00" * 32),
        lambda value: value.update(payloadType="text/plain"),
        lambda value: value.update(payload=1),
        lambda value: value.update(payload=value["payload"] + "\n"),
        lambda value: value.update(payload=value["payload"].rstrip("=") + "?"),
    ],
)
def test_an_envelope_of_another_form_is_refused(change: Any) -> None:
    with pytest.raises((Malformed, InvalidProof)):
        unseal(remade(change))


def test_a_payload_that_is_not_canonical_is_refused() -> None:
    key, body = NodeKey(), b'{"b":1, "a":2}'
    value = {
        "payload": base64.b64encode(body).decode(),
        "payloadType": dsse.IN_TOTO,
        "signatures": [dsse.signature(body, key, dsse.IN_TOTO)],
    }
    with pytest.raises(Malformed, match="canonical"):
        unseal(json_bytes(value))


def test_an_envelope_has_a_longest_length() -> None:
    with pytest.raises(LimitExceeded):
        unseal(b" " * (dsse.ENVELOPE_BYTES_MAX + 1))
