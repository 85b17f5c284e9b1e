"""The snapshot of docs/web-api.md: one moment of the network as JSON values, section by section. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from node.protocol.errors import ConfigError
from node.web import views_law, views_members, views_rounds
from node.web.world import World, hexed

VERSION = 1


def _network(world: World) -> dict[str, Any]:
    rounds, registry = world.terms.rounds, world.terms.registry
    return {
        "name": world.name,
        "chain_id": world.terms.chain_id,
        "is_testnet": world.is_testnet,
        "contracts": dict(world.terms.contracts),
        "params": {
            "max_verifiers": rounds.max_verifiers,
            "max_attesters": rounds.max_attesters,
            "min_bond": str(registry.min_bond),
            "grant": str(registry.grant),
            "threshold": registry.threshold,
            "veto_threshold": registry.veto_threshold,
            "veto_window": registry.veto_window,
            "halving": world.terms.emission.halving,
            "emission": str(world.terms.emission.initial),
            "linear_up_to": str(world.terms.linear_up_to),
            "quorum_floor": str(world.terms.quorum_floor),
            "max_regression": world.terms.max_regression,
            **world.governance,
        },
    }


def _head(world: World) -> dict[str, Any]:
    return {
        "block": world.head.number,
        "hash": hexed(world.head.hash),
        "timestamp": world.head.timestamp,
        "events": len(world.events),
        "is_stale": world.is_stale,
    }


def _viewer(world: World) -> dict[str, Any]:
    node = world.viewer.node
    return {
        "mode": world.viewer.mode,
        "account": world.viewer.account,
        "node": None if node is None else {key: node.get(key) for key in _NODE_KEYS},
    }


_NODE_KEYS = ("name", "address", "roles", "round", "phase", "running", "failing", "error")


def _guideline(world: World) -> dict[str, Any] | None:
    epoch = world.state.guidelines.current
    if epoch is None:
        return None
    scoring = epoch.scoring
    return {
        "epoch": epoch.number,
        "hash": hexed(epoch.guideline_hash),
        "cid": views_law.cid_text(epoch.guideline_cid),
        "since": epoch.since,
        "scoring": {
            "tau": scoring.tau,
            "delta_min": scoring.delta_min,
            "harm_min": scoring.harm_min,
            "gain_cap": scoring.gain_cap,
        },
    }


def _audit(world: World) -> dict[str, Any] | None:
    report = world.local.audit
    if report is None:
        return None
    checked = {str(key): value for key, value in dict(report.get("checked", {})).items() if isinstance(value, int)}
    findings = [text if isinstance(text, str) else str(text) for text in report.get("findings", ())]
    seen, blocks = report.get("events", checked.get("events", 0)), report.get("blocks")
    return {
        "ok": report.get("ok") is True and not findings,
        "at": report.get("at"),
        "block": blocks[-1] if isinstance(blocks, list) and blocks and isinstance(blocks[-1], int) else None,
        "checked": checked,
        "findings": findings,
        "is_current": isinstance(seen, int) and seen >= world.chronicle.events_at_end > 0,
    }


SECTIONS: Mapping[str, Callable[[World], Any]] = {
    "network": _network,
    "head": _head,
    "viewer": _viewer,
    "guideline": _guideline,
    "members": views_members.members,
    "seats": views_members.seats,
    "live": views_rounds.live,
    "rounds": views_rounds.rounds,
    "metric": views_rounds.metric,
    "contributions": views_rounds.contributions,
    "rewards": lambda world: world.chronicle.claims[::-1],
    "slashes": lambda world: list(world.chronicle.slashes),
    "disputes": views_rounds.disputes,
    "power": views_members.power,
    "proposals": views_law.proposals,
    "applications": views_members.applications,
    "releases": views_law.releases,
    "benchmarks": views_law.benchmarks,
    "treasury": views_law.treasury,
    "audit": _audit,
    "activity": lambda world: world.chronicle.activity[::-1],
}
"""Sections by name, in the order of the snapshot."""


def sections(world: World, names: Iterable[str] = SECTIONS) -> dict[str, Any]:
    """The sections of these names.

    Raises:
        ConfigError: one of them does not exist.
    """
    wanted = list(names)
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        raise ConfigError(f"There is no section {unknown[0][:40]!r}.", hint=f"There are {', '.join(SECTIONS)}.")
    return {name: SECTIONS[name](world) for name in wanted}
