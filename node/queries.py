"""What the command line asks a network: rounds, members, a vote, an audit. Events come through the node's index, files through a store."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from node import explain as explanations
from node.adapters.chain_evm import EvmChain
from node.advice import Court, advise_aggregate, advise_score
from node.audit.ledger import AuditRules
from node.audit.models import ModelAuditor
from node.audit.report import AuditReport, Scope, audit
from node.config import Config
from node.explain import Explanation, Past, Terms
from node.index.history import History, open_index
from node.index.store import Identity
from node.manifest import Manifest, load_manifest
from node.ports import SLICE_MAX_BYTES, BlobStore, Chain
from node.protocol.cid import cid_from_digest
from node.protocol.errors import ConfigError
from node.protocol.state import Round, State
from node.protocol.types import Call
from node.roles.view import Facts
from node.runtime import load_guideline, load_signer, open_blobs, open_trainer
from node.store import NodeStore


@asynccontextmanager
async def open_chain(config: Config, manifest: Manifest, *, sign: bool = False) -> AsyncIterator[EvmChain]:
    """The chain of a network, read-only unless ``sign``."""
    chain = await EvmChain.connect(
        config.chain.rpc,
        manifest.chain_id,
        manifest.contracts,
        signer=load_signer(config) if sign else None,
        code_hashes=manifest.code_hashes,
    )
    try:
        yield chain
    finally:
        await chain.close()


def identity_of(manifest: Manifest) -> Identity:
    """Whose events an index of this network holds."""
    return Identity(manifest.chain_id, manifest.deployment_block, manifest.contracts, manifest.code_hashes)


@asynccontextmanager
async def open_history(config: Config, manifest: Manifest, chain: Chain) -> AsyncIterator[History]:
    """The network up to now: what the index in the node's folder holds, and what happened since.

    Raises:
        ConfigError: the index belongs to another network.
        ChainError: the chain does not answer.
    """
    index = open_index(config.node.data, identity_of(manifest))
    try:
        history = History(index, chain, manifest.deployment_block)
        await history.refresh()
        yield history
    finally:
        index.close()


async def read_state(config: Config) -> State:
    """The network now, folded from all its events."""
    manifest = load_manifest(config.network.manifest)
    async with open_chain(config, manifest) as chain, open_history(config, manifest, chain) as history:
        return history.state


def terms_of(manifest: Manifest) -> Terms:
    """Constants of a deployment as explanations need them."""
    params = manifest.params
    return Terms(
        chain_id=manifest.chain_id,
        contracts=manifest.contracts,
        rounds=params.rounds,
        scoring=params.scoring,
        court=params.court,
        registry=params.registry,
        emission=params.emission,
        linear_up_to=params.governance.linear_up_to,
        quorum_floor=params.governance.quorum_floor,
        max_regression=params.governance.max_regression,
    )


def past_of(history: History, manifest: Manifest) -> Past:
    """Everything that happened, for explanations."""
    now = history.head.timestamp if history.head else 0
    return Past(history.events, history.state, terms_of(manifest), now)


async def explain(config: Config, what: str, parts: tuple[str, ...]) -> Explanation:
    """Why the chain decided something as it did.

    Raises:
        ConfigError: there is no such thing.
    """
    manifest = load_manifest(config.network.manifest)
    async with open_chain(config, manifest) as chain, open_history(config, manifest, chain) as history:
        return explanations.explain(past_of(history, manifest), what, parts)


async def rounds(config: Config) -> list[dict[str, Any]]:
    """One row a round."""
    state = await read_state(config)
    return [_round_row(found) for _, found in sorted(state.rounds.items())]


def _round_row(found: Round) -> dict[str, Any]:
    return {
        "round": found.number,
        "phase": found.phase.name,
        "committed": len(found.commits),
        "revealed": len(found.reveals),
        "accepted": len(found.accepted),
        "attestations": len(found.attestations),
        "sealed": found.is_sealed,
        "model_hash": found.proposal.model_hash.hex() if found.proposal else None,
    }


async def round_detail(config: Config, number: int) -> dict[str, Any]:
    """One round with its updates; 0 is the newest.

    Raises:
        ConfigError: there is no such round.
    """
    state = await read_state(config)
    wanted = number or max(state.rounds, default=0)
    if wanted not in state.rounds:
        raise ConfigError(f"There is no round {wanted}.", hint=f"Rounds so far: {len(state.rounds)}.")
    found = state.rounds[wanted]
    updates = []
    for reveal in found.reveals:
        verdict = found.settled.get(reveal.index)
        updates.append(
            {
                "index": reveal.index,
                "trainer": reveal.trainer,
                "status": verdict.status.name if verdict else "PENDING",
                "gain": verdict.gain if verdict else None,
                "votes": verdict.votes if verdict else None,
                "weight": verdict.weight if verdict else None,
                "retried": verdict.is_retried if verdict else False,
                "forfeited": reveal.index in found.forfeited,
                "cid": cid_from_digest(reveal.cid),
            }
        )
    return {**_round_row(found), "updates": updates}


async def members(config: Config) -> list[dict[str, Any]]:
    """One row an account that ever applied."""
    state = await read_state(config)
    return [
        {
            "address": address,
            "status": member.status.name,
            "application": member.application,
            "approvals": sum(state.reviews.get(member.application, {}).values()),
            "stake": str(member.stake),
            "earned": str(state.rewards.get(address, 0)),
            "slashed": str(member.slashed),
        }
        for address, member in sorted(state.members.items())
    ]


async def dispute(config: Config, number: int, index: int | None, *, send: bool) -> dict[str, Any]:
    """Advice on disputing one verdict (``index``) or the model (None) of a round; with ``send`` the dispute is opened.

    Raises:
        ConfigError: there is no such round, update or model, or the court would not take the dispute.
        TransactionReverted: the bond is not there, or somebody was faster.
    """
    manifest = load_manifest(config.network.manifest)
    facts = NodeStore(config.node.data).load_facts().get(number, Facts())
    async with open_chain(config, manifest, sign=True) as chain, open_history(config, manifest, chain) as history:
        state = history.state
        found = state.rounds.get(number)
        if found is None or (found.proposal is None if index is None else index not in found.settled):
            what = "model" if index is None else f"verdict on update {index}"
            raise ConfigError(f"Round {number} has no {what}.", hint="`commonweight round show` lists what it has.")
        scoring = state.scoring_of(found.epoch, manifest.params.scoring)
        rules = Court(manifest.params.rounds, manifest.params.court, scoring, (await chain.head()).timestamp)
        if index is None:
            advice = advise_aggregate(state, found, facts, rules)
        else:
            advice = advise_score(state, found, index, load_signer(config).address, facts, rules)
        answer: dict[str, Any] = {**asdict(advice), "bond": str(advice.bond), "reasons": list(advice.reasons)}
        if send:
            if not advice.can:
                raise ConfigError("The court does not take this dispute.", why=" ".join(advice.reasons))
            court = manifest.contracts["RoundCourt"]
            await chain.send(Call("ContributionToken", "approve", (court, advice.bond)))
            act = ("disputeAggregate", (number,)) if index is None else ("disputeScore", (number, index))
            receipt = await chain.send(Call("RoundCourt", *act))
            answer["transaction"] = "0x" + receipt.transaction.hex()
        return answer


def audit_rules(manifest: Manifest) -> AuditRules:
    """Constants of a deployment as the auditor needs them."""
    return AuditRules(
        chain_id=manifest.chain_id,
        contracts=manifest.contracts,
        params=manifest.params.rounds,
        court_params=manifest.params.court,
        scoring=manifest.params.scoring,
        emission=manifest.params.emission,
        registry=manifest.params.registry,
        governance=manifest.params.governance,
        genesis_model_hash=manifest.genesis.hash,
        guideline_hash=manifest.guideline.hash,
        committee=manifest.committee,
        guardian=manifest.guardian,
        guardian_until=manifest.guardian_until,
    )


async def run_audit(
    config: Config,
    *,
    ledger_only: bool,
    rescore: int | None = 0,
    detailed_rounds: int | None = None,
    gateway: str = "",
) -> AuditReport:
    """Audit a network through any RPC endpoint and any IPFS peers. Uses an empty store of its own, so nothing local is trusted.

    Args:
        config: names endpoint, network and peers.
        ledger_only: leave the models out.
        rescore: verdicts of each round to score again; None: all.
        detailed_rounds: newest rounds whose every participant is compared with storage; None: all.
        gateway: URL of an IPFS gateway to read files from, instead of the settings' peers.
    """
    manifest = load_manifest(config.network.manifest)
    guideline = load_guideline(config, manifest)
    scope = Scope(detailed_rounds=detailed_rounds)
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(open_chain(config, manifest))
        rules, first = audit_rules(manifest), manifest.deployment_block
        if ledger_only:
            return await audit(chain, rules, first_block=first, models=None, scope=scope)
        blobs = await _reader(config, gateway, stack)
        models = ModelAuditor(
            blobs,
            guideline,
            manifest.chain_id,
            rules.round_manager,
            fetch_seconds=config.pace.fetch_seconds,
            rescore=rescore,
            tau=rules.scoring.tau,
            seed=secrets.randbits(64),
        )
        if rescore != 0:
            models.trainer = open_trainer(config, guideline, stack)
            models.public_benchmark = await blobs.get(
                manifest.public_benchmark.cid, max_bytes=SLICE_MAX_BYTES, seconds=config.pace.fetch_seconds
            )
        return await audit(chain, rules, first_block=first, models=models, scope=scope)


async def _reader(config: Config, gateway: str, stack: AsyncExitStack) -> BlobStore:
    """Where an audit reads files: a gateway, or an empty store of its own among the network's peers; the stack closes it."""
    if gateway:
        from node.adapters.blobs_gateway import GatewayStore  # noqa: PLC0415 - only auditors need it

        return await stack.enter_async_context(GatewayStore(gateway))
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="commonweight-audit-"))
    blobs = await open_blobs(config, Path(folder) / "ipfs")
    stack.push_async_callback(blobs.close)
    return blobs
