"""The chain adapter on a real Anvil: reads, decoded reverts, nonces under attack, dropped and replaced transactions."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from node.adapters.abi import CONTRACTS
from node.adapters.chain_evm import EvmChain
from node.adapters.chain_rpc import RpcLimits
from node.adapters.chain_sender import SendLimits
from node.adapters.signer_keystore import KeystoreSigner
from node.protocol.errors import (
    ChainError,
    ChainIdMismatch,
    ConfigError,
    LocalProtocolError,
    RpcUnreachable,
    TransactionReverted,
)
from node.protocol.types import Address, Call, MemberStatus

pytestmark = pytest.mark.e2e

Network = Any  # the class of conftest.py, which importlib mode does not let us import

EAGER = SendLimits(check_every=0.05, bump_after=1e9, timeout=20)
"""Looks after waiting transactions at once, so that tests need not wait."""
NO_ACCOUNT = Address("0x" + "11" * 20)


def application(peer: bytes = b"peer") -> Call:
    return Call("MemberRegistry", "applyToJoin", (b"\x01" * 32, b"\x02" * 32, peer, b"\x03" * 32))


def approve(amount: int) -> Call:
    return Call("ContributionToken", "approve", (NO_ACCOUNT, amount))


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """First truthy answer of ``condition``."""
    async with asyncio.timeout(20):
        while not (answer := await condition()):  # what is awaited happens in another process
            await asyncio.sleep(0.01)
    return answer


async def waiting(network: Network, account: int) -> dict[int, dict[str, Any]]:
    """Unmined transactions of an account, by nonce."""
    pool = await network.rpc("txpool_content")
    found = {}
    for kind in ("pending", "queued"):
        for sender, entries in pool[kind].items():
            if sender.lower() == network.address(account).lower():
                found.update({int(nonce): entry for nonce, entry in entries.items()})
    return found


# --- connecting -------------------------------------------------------------------------------------------------------


async def test_wrong_chain_says_both_ids(network: Network) -> None:
    with pytest.raises(ChainIdMismatch, match=r"serves chain 31337; .* on chain 5\b"):
        await EvmChain.connect(network.anvil.url, 5, network.manifest.contracts)


async def test_no_code_names_contract_and_address(network: Network) -> None:
    contracts = {**network.manifest.contracts, "RoundManager": NO_ACCOUNT}
    with pytest.raises(ChainError, match=f"no contract RoundManager at {NO_ACCOUNT}"):
        await EvmChain.connect(network.anvil.url, 31337, contracts)


async def test_other_code_is_refused(network: Network) -> None:
    hashes = {**network.manifest.code_hashes, "MemberRegistry": bytes(32)}
    with pytest.raises(ChainError, match="code of MemberRegistry"):
        await EvmChain.connect(network.anvil.url, 31337, network.manifest.contracts, code_hashes=hashes)


async def test_contracts_must_be_complete(network: Network) -> None:
    with pytest.raises(ConfigError, match="must name the contracts"):
        await EvmChain.connect(network.anvil.url, 31337, {"RoundManager": NO_ACCOUNT})


async def test_chain_that_stops_is_unreachable_and_back_when_it_returns(network: Network) -> None:
    chain = await EvmChain.connect(
        network.anvil.url, 31337, network.manifest.contracts, rpc_limits=RpcLimits(attempts=2, backoff=0.01)
    )
    async with chain:
        network.anvil.stop()
        with pytest.raises(RpcUnreachable, match=rf"127.0.0.1:{network.anvil.port} does not answer"):
            await chain.head()
        again = await type(network.anvil).start(replace(network.anvil.options, port=network.anvil.port))
        async with again:
            assert (await chain.head()).number >= 0


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_head_follows_the_chain(network: Network) -> None:
    chain = await network.chain()
    before = await chain.head()
    await network.rpc("evm_mine")
    after = await chain.head()
    assert after.number > before.number
    assert len(after.hash) == 32
    assert after.timestamp >= before.timestamp


async def test_old_blocks_stay_readable(network: Network) -> None:
    """What an auditor needs, long after the states of those blocks are pruned: hashes (for seeds) and logs."""
    chain = await network.chain(4)
    receipt = await chain.send(approve(7))
    early = await network.rpc("eth_getBlockByNumber", hex(receipt.block), False)
    await network.rpc("anvil_mine", hex(network.anvil.options.prune_history + 100))
    head = await chain.head()
    assert await chain.block_hash(receipt.block) == bytes.fromhex(early["hash"][2:])
    assert await chain.block_hash(head.number + 1000) is None
    (event,) = [event for event in await chain.events(0, head.number) if event.name == "Approval"]
    assert (event.arguments["value"], event.timestamp) == (7, int(early["timestamp"], 16))
    assert (await chain.send(approve(8))).block > head.number


async def test_results_have_the_ports_forms(network: Network) -> None:
    chain = await network.chain()
    model = await chain.read(Call("RoundManager", "latestModel"))
    assert model == (network.manifest.genesis.hash, model[1], 0)
    assert isinstance(model[1], bytes)
    assert await chain.read(Call("MemberRegistry", "seatHolder", (0,))) == network.address(1)
    assert (await chain.read(Call("RoundManager", "params")))["maxVerifiers"] == 7
    assert await chain.read(Call("MemberRegistry", "statusOf", (network.address(4),))) == MemberStatus.NONE


async def test_refused_read_is_decoded(network: Network) -> None:
    chain = await network.chain()
    with pytest.raises(TransactionReverted, match=r"NoSuchSeat\(9, 3\)"):
        await chain.read(Call("MemberRegistry", "seatHolder", (9,)))


@pytest.mark.parametrize(
    "call",
    [
        Call("RoundManager", "noSuchFunction"),
        Call("NoSuchContract", "params"),
        Call("RoundManager", "phaseOf", ()),
        Call("RoundManager", "phaseOf", (-1,)),
        Call("RoundManager", "commitUpdate", (1, b"\x00" * 33)),
        Call("MemberRegistry", "statusOf", ("0x12",)),
    ],
)
async def test_call_that_fits_no_function_is_our_bug(network: Network, call: Call) -> None:
    with pytest.raises(LocalProtocolError):
        await (await network.chain()).read(call)


async def test_reader_cannot_send(network: Network) -> None:
    with pytest.raises(LocalProtocolError, match="needs a key"):
        await (await network.chain()).send(application())


# --- sending ----------------------------------------------------------------------------------------------------------


async def test_sent_call_is_mined_and_logged(network: Network) -> None:
    chain = await network.chain(4)
    receipt = await chain.send(application())
    assert chain.gas_log == {"MemberRegistry.applyToJoin": [receipt.gas_used]}
    (event,) = await chain.events(receipt.block, receipt.block)
    assert (event.contract, event.name, event.transaction) == ("MemberRegistry", "Applied", receipt.transaction)
    assert event.arguments == {
        "application": 1,
        "applicant": network.address(4),
        "requestHash": b"\x01" * 32,
        "requestCid": b"\x02" * 32,
        "peerId": b"peer",
        "encryptionKey": b"\x03" * 32,
    }


async def test_revert_is_decoded_before_it_costs_anything(network: Network) -> None:
    chain = await network.chain(4)
    await chain.send(application())
    balance = await network.rpc("eth_getBalance", network.address(4), "latest")
    with pytest.raises(TransactionReverted) as caught:
        await chain.send(application())
    assert caught.value.error == "WrongStatus"
    assert caught.value.arguments == (network.address(4), MemberStatus.APPLIED, MemberStatus.NONE)
    assert "MemberRegistry.applyToJoin" in str(caught.value)
    assert await network.rpc("eth_getBalance", network.address(4), "latest") == balance


async def test_error_of_another_contract_is_decoded(network: Network) -> None:
    """`bond` fails inside the token: the registry passes the token's own error on."""
    applicant, seats = await network.chain(4), [await network.chain(1), await network.chain(2)]
    await applicant.send(application())
    for seat in seats:
        await seat.send(Call("MemberRegistry", "review", (1, True, bytes(32))))
    with pytest.raises(TransactionReverted) as caught:
        await applicant.send(Call("MemberRegistry", "bond", (5,)))
    assert caught.value.error == "ERC20InsufficientAllowance"
    assert caught.value.arguments == (network.manifest.contracts["MemberRegistry"], 0, 5)


async def test_revert_only_when_mined_is_explained(network: Network) -> None:
    """Simulated at the newest block, the second call looks fine; mined behind the first it is refused."""
    first = await network.chain(4, limits=replace(EAGER, simulate_at="latest"))
    await network.stop_mining()
    sends = [asyncio.create_task(first.send(application(peer))) for peer in (b"a", b"b")]

    async def both_wait() -> bool:
        return len(await waiting(network, 4)) == 2

    await until(both_wait)
    await network.rpc("evm_mine")
    results = await asyncio.gather(*sends, return_exceptions=True)
    (refused,) = [one for one in results if isinstance(one, BaseException)]
    assert isinstance(refused, TransactionReverted)
    assert refused.error == "WrongStatus"
    assert len(first.gas_log["MemberRegistry.applyToJoin"]) == 2


async def test_account_without_funds(network: Network) -> None:
    poor = KeystoreSigner.from_key(b"\x07" * 32)
    async with await EvmChain.connect(network.anvil.url, 31337, network.manifest.contracts, signer=poor) as chain:
        with pytest.raises(ChainError, match=f"{poor.address} cannot pay"):
            await chain.send(application())


async def test_fees_above_the_limit_are_not_paid(network: Network) -> None:
    chain = await network.chain(4, limits=SendLimits(max_fee=1))
    with pytest.raises(ChainError, match="the limit is 1"):
        await chain.send(application())
    assert await waiting(network, 4) == {}


# --- nonces -----------------------------------------------------------------------------------------------------------


async def test_twenty_at_once(network: Network) -> None:
    chain = await network.chain(4)
    receipts = await asyncio.gather(*(chain.send(approve(amount)) for amount in range(20)))
    assert len({receipt.transaction for receipt in receipts}) == 20
    head = await chain.head()
    events = await chain.events(receipts[0].block, head.number)
    assert sorted(event.arguments["value"] for event in events) == list(range(20))
    assert len(chain.gas_log["ContributionToken.approve"]) == 20


async def test_foreign_transactions_of_the_same_key(network: Network) -> None:
    """A second process with our key moves the nonce on by more than one; ours notices and goes on."""
    ours, foreign = await network.chain(4), await network.chain(4)
    await ours.send(approve(1))
    for amount in (2, 3, 4):
        await foreign.send(approve(amount))
    await ours.send(approve(5))
    await foreign.send(approve(6))
    head = await ours.head()
    events = await ours.events(network.manifest.deployment_block, head.number)
    assert [e.arguments["value"] for e in events if e.name == "Approval"] == [1, 2, 3, 4, 5, 6]


async def test_two_processes_with_one_key_racing(network: Network) -> None:
    chains = [await network.chain(4) for _ in range(2)]
    await asyncio.gather(*(chains[amount % 2].send(approve(amount)) for amount in range(20)))
    events = await chains[0].events(0, (await chains[0].head()).number)
    values = [
        e.arguments["value"] for e in events if e.name == "Approval" and e.arguments["owner"] == network.address(4)
    ]
    assert sorted(values) == list(range(20))


async def test_dropped_transaction_is_sent_again(network: Network) -> None:
    chain = await network.chain(4, limits=EAGER)
    await network.stop_mining()
    sending = asyncio.create_task(chain.send(approve(1)))
    (entry,) = (await until(lambda: waiting(network, 4))).values()
    await network.rpc("anvil_dropTransaction", entry["hash"])
    (again,) = (await until(lambda: waiting(network, 4))).values()
    assert again["hash"] == entry["hash"]
    await network.rpc("evm_mine")
    assert (await sending).transaction.hex() == entry["hash"][2:]


async def test_gap_left_by_a_dropped_transaction_is_closed(network: Network) -> None:
    chain = await network.chain(4, limits=EAGER)
    await network.stop_mining()
    abandoned = asyncio.create_task(chain.send(approve(1)))
    (entry,) = (await until(lambda: waiting(network, 4))).values()
    kept = asyncio.create_task(chain.send(approve(2)))

    async def both_wait() -> bool:
        return len(await waiting(network, 4)) == 2

    await until(both_wait)
    abandoned.cancel()
    await asyncio.gather(abandoned, return_exceptions=True)
    await network.rpc("anvil_dropTransaction", entry["hash"])
    await until(both_wait)
    await network.rpc("evm_mine")
    await kept
    events = await chain.events(0, (await chain.head()).number)
    assert [e.arguments["value"] for e in events if e.name == "Approval"] == [2]


async def test_replaced_transaction_is_sent_anew(network: Network) -> None:
    """Somebody with our key outbids our nonce: the call is simulated and sent again with the next one."""
    chain = await network.chain(4, limits=EAGER)
    await network.stop_mining()
    sending = asyncio.create_task(chain.send(approve(1)))
    (entry,) = (await until(lambda: waiting(network, 4))).values()
    rival = {
        "to": network.address(4),
        "data": b"",
        "value": 0,
        "gas": 21_000,
        "chainId": 31337,
        "nonce": int(entry["nonce"], 16),
        "maxFeePerGas": 10 * int(entry["maxFeePerGas"], 16),
        "maxPriorityFeePerGas": 10 * int(entry["maxPriorityFeePerGas"], 16),
        "type": 2,
    }
    await network.rpc("eth_sendRawTransaction", "0x" + network.signers[4].sign_transaction(rival).hex())
    await network.rpc("evm_mine")
    await until(lambda: waiting(network, 4))
    await network.rpc("evm_mine")
    receipt = await sending
    (event,) = await chain.events(receipt.block, receipt.block)
    assert event.arguments["value"] == 1


async def test_stuck_transaction_gets_higher_fees(network: Network) -> None:
    chain = await network.chain(4, limits=replace(EAGER, bump_after=0.0))
    await network.stop_mining()
    sending = asyncio.create_task(chain.send(approve(1)))
    (first,) = (await until(lambda: waiting(network, 4))).values()

    async def dearer() -> bool:
        entries = (await waiting(network, 4)).values()
        return any(int(one["maxFeePerGas"], 16) > int(first["maxFeePerGas"], 16) for one in entries)

    await until(dearer)
    await network.rpc("evm_mine")
    receipt = await sending
    assert receipt.transaction.hex() != first["hash"][2:]
    assert len(chain.gas_log["ContributionToken.approve"]) == 1


async def test_unmined_transaction_is_given_up(network: Network) -> None:
    chain = await network.chain(4, limits=replace(EAGER, timeout=0.2))
    await network.stop_mining()
    with pytest.raises(ChainError, match=r"ContributionToken\.approve was not mined"):
        await chain.send(approve(1))


async def test_cancelled_send_leaves_the_adapter_usable(network: Network) -> None:
    """Cancelled at many different moments; whatever was sent, the next call finds its nonce."""
    chain = await network.chain(4)
    for turns in range(40):
        sending = asyncio.create_task(chain.send(approve(turns)))
        for _ in range(turns):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    async with asyncio.timeout(20):
        receipt = await chain.send(approve(1000))
    (event,) = [e for e in await chain.events(receipt.block, receipt.block) if e.transaction == receipt.transaction]
    assert event.arguments["value"] == 1000


# --- events -----------------------------------------------------------------------------------------------------------


async def test_events_are_in_order_and_stamped(network: Network) -> None:
    chain = await network.chain(4)
    others = [await network.chain(account) for account in (5, 6)]
    await asyncio.gather(*(one.send(approve(1)) for one in (chain, *others)), chain.send(application()))
    head = await chain.head()
    events = await chain.events(0, head.number)
    assert [(e.block, e.log_index) for e in events] == sorted((e.block, e.log_index) for e in events)
    for event in events:
        block = await network.rpc("eth_getBlockByNumber", hex(event.block), False)
        assert event.timestamp == int(block["timestamp"], 16)
    assert {event.contract for event in events} <= set(CONTRACTS)
    assert await chain.events(head.number + 1, head.number) == []
