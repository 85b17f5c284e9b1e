"""Histories of scripted communities, and what explains them."""

from __future__ import annotations

from collections.abc import Sequence

from node.explain import Past, Terms
from node.protocol.state import State, apply
from node.protocol.types import Address, ChainEvent
from node.sim.ledger import Deployment
from node.sim.scripted import Community

CONTRACTS = {"ReleaseRegistry": Address("0x" + "77" * 20)}


def terms(deployment: Deployment) -> Terms:
    return Terms(
        chain_id=deployment.chain_id,
        contracts=CONTRACTS,
        rounds=deployment.params,
        scoring=deployment.scoring,
        court=deployment.court,
        registry=deployment.registry,
        emission=deployment.emission,
        linear_up_to=10_000 * 10**18,
        quorum_floor=10**20,
        max_regression=20_000,
    )


def past_of(community: Community, events: Sequence[ChainEvent] | None = None) -> Past:
    chosen = list(community.events if events is None else events)
    state = State()
    for event in chosen:
        state = apply(state, event)
    return Past(chosen, state, terms(community.deployment), community.now)
