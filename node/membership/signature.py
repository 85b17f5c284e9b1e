"""The signature on a request: EIP-712, so that a wallet shows what it signs, and bound to one chain and registry.

Signers use their library (`Signer.sign_typed`); what they signed is computed here a second time, by the standard's own formula:

```
digest = H(0x1901 ‖ H(type of domain ‖ H(name) ‖ H(version) ‖ chainId ‖ registry) ‖ H(type of JoinRequest ‖ account ‖ body))
```
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from node.protocol.errors import RemoteProtocolError
from node.protocol.hashing import keccak256
from node.protocol.types import Address, address_key

NAME, DOMAIN_VERSION = "Commonweight", "1"
TYPES = {"JoinRequest": [{"name": "account", "type": "address"}, {"name": "body", "type": "bytes32"}]}
_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_REQUEST_TYPE = b"JoinRequest(address account,bytes32 body)"
SIGNATURE_BYTES = 65

Recover = Callable[[int, Address, Address, bytes, bytes], Address]
"""`recover`, or a stand-in of simulations, whose keys are made up."""


def domain(chain_id: int, registry: Address) -> dict[str, Any]:
    """EIP-712 domain of a community's requests."""
    return {"name": NAME, "version": DOMAIN_VERSION, "chainId": chain_id, "verifyingContract": registry}


def message(account: Address, body_hash: bytes) -> dict[str, Any]:
    """What is signed: who asks, and the SHA-256 of the request's body."""
    return {"account": account, "body": body_hash}


def digest(chain_id: int, registry: Address, account: Address, body_hash: bytes) -> bytes:
    """The 32 bytes under the signature (formula in the module's head)."""
    words = [keccak256(_DOMAIN_TYPE), keccak256(NAME.encode()), keccak256(DOMAIN_VERSION.encode())]
    separator = keccak256(b"".join(words) + chain_id.to_bytes(32, "big") + address_key(registry).rjust(32, b"\0"))
    struct = keccak256(keccak256(_REQUEST_TYPE) + address_key(account).rjust(32, b"\0") + body_hash)
    return keccak256(b"\x19\x01" + separator + struct)


def recover(chain_id: int, registry: Address, account: Address, body_hash: bytes, signature: bytes) -> Address:
    """Account whose key made a signature.

    Raises:
        RemoteProtocolError: it is no signature.
    """
    if len(signature) != SIGNATURE_BYTES or signature[64] not in (27, 28):
        raise RemoteProtocolError(f"The signature is not {SIGNATURE_BYTES} bytes that end in 27 or 28.")
    parts = (signature[64] - 27, int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"))
    try:
        key = Signature(vrs=parts).recover_public_key_from_msg_hash(digest(chain_id, registry, account, body_hash))
    except (BadSignature, ValidationError, ValueError) as error:
        raise RemoteProtocolError("The signature belongs to no key.", why=type(error).__name__) from error
    return Address(key.to_checksum_address())
