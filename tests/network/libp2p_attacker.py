"""A hostile libp2p peer, run as a process by test_gossip_libp2p: one connection with a fresh identity per attack.

``python libp2p_attacker.py ADDRESS TOPIC ATTACK...`` prints each attack's name when it is done.
"""

import logging
import os
import sys
import time

import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.rsa import create_new_key_pair as create_rsa_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.noise.transport import Transport as Noise
from libp2p.utils import encode_varint_prefixed

MESHSUB = TProtocol("/meshsub/1.1.0")
PEERS = TProtocol("/commonweight/peers/1")


def message(topic: str, author: bytes, data: bytes = b"EVIL", at: float = 0.0) -> rpc_pb2.Message:
    sequence = int((time.time() + at) * 1e9).to_bytes(8, "big")
    return rpc_pb2.Message(data=data, topicIDs=[topic], from_id=author, seqno=sequence)


def signed(keys: KeyPair, text: rpc_pb2.Message) -> rpc_pb2.Message:
    text.signature = keys.private_key.sign(b"libp2p-pubsub:" + text.SerializeToString())
    return text


def packet(keys: KeyPair, topic: str, attack: str) -> bytes:
    me = ID.from_pubkey(keys.public_key).to_bytes()
    other = create_new_key_pair()
    match attack:
        case "malformed protobuf":
            return b"\xff" * 50
        case "key that cannot be parsed":
            rsa = ID.from_pubkey(create_rsa_key_pair().public_key).to_bytes()
            evil = message(topic, rsa)
            evil.key, evil.signature = b"\xff\xff\xff", b"z"
        case "unsigned":
            evil = message(topic, me)
        case "forged author":
            evil = signed(keys, message(topic, ID.from_pubkey(other.public_key).to_bytes()))
        case "tampered":
            evil = signed(keys, message(topic, me, b"harmless"))
            evil.data = b"EVIL"
        case "oversized":
            evil = signed(keys, message(topic, me, b"EVIL" * 20_000))
        case "old":
            evil = signed(keys, message(topic, me, at=-3_600))
        case "from the future":
            evil = signed(keys, message(topic, me, at=3_600))
        case "broken peer record":
            return rpc_pb2.RPC(senderRecord=b"\xff" * 20).SerializeToString()
        case "topic that is not text":
            return b"\x12\x05\x22\x03\xff\xfe\xfd"
        case "broken prune":
            rpc = rpc_pb2.RPC()
            prune = rpc.control.prune.add()
            prune.topicID = topic
            prune.peers.add().peerID = b"\xff\xff"
            return rpc.SerializeToString()
        case "genuine":
            evil = signed(keys, message(topic, me, b"GOOD"))
        case _:
            raise ValueError(attack)
    return rpc_pb2.RPC(publish=[evil]).SerializeToString()


async def attack_once(address: str, topic: str, attack: str) -> None:
    keys = create_new_key_pair()
    security = {NOISE: Noise(keys, noise_privkey=create_noise_key_pair().private_key)}
    if attack == "plaintext":
        security = {TProtocol(PLAINTEXT_PROTOCOL_ID): InsecureTransport(keys)}
    listen = multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")
    host = new_host(key_pair=keys, listen_addrs=[listen], sec_opt=security)
    info = info_from_p2p_addr(multiaddr.Multiaddr(address))
    if attack == "garbage instead of a handshake":
        port = int(multiaddr.Multiaddr(address).value_for_protocol("tcp"))
        for garbage in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff" * 100_000,
            b"\x13/multistream/1.0.0\n\x07/noise\n\x00\x10" + b"\xaa" * 16,
        ):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(garbage)
                await trio.sleep(0.1)
        return
    async with host.run(listen_addrs=[listen]):
        await host.connect(info)
        if attack == "plaintext":
            raise SystemExit("the host accepted a peer without encryption")
        stream = await host.new_stream(info.peer_id, [PEERS if attack == "peer exchange cut short" else MESHSUB])
        if attack == "endless length":
            await stream.write(b"\xff\xff\xff\xff\x7f")
        elif attack == "garbage on the stream":
            await stream.write(os.urandom(3_000))
        elif attack == "peer exchange cut short":
            await stream.reset()
        else:
            await stream.write(encode_varint_prefixed(packet(keys, topic, attack)))
        await trio.sleep(0.3)


async def attempt(address: str, topic: str, attack: str) -> None:
    try:
        with trio.move_on_after(8):
            await attack_once(address, topic, attack)
    # The victim may cut the connection at any point, which py-libp2p reports in many ways; that is its right.
    except Exception:  # noqa: BLE001
        pass
    sys.stdout.write(f"{attack}\n")


async def main(address: str, topic: str, *attacks: str) -> None:
    async with trio.open_nursery() as nursery:
        for attack in attacks:
            nursery.start_soon(attempt, address, topic, attack)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    trio.run(main, *sys.argv[1:])
