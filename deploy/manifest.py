"""Constants of the networks we know (`deploy/networks/*.toml`), and the manifest's names for those who deploy."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from incentives.rewards import CWT, EmissionParams
from node.manifest import (
    VERSION,
    Content,
    GovernanceParams,
    Manifest,
    NetworkParams,
    content,
    load_manifest,
    topic_of,
)
from node.protocol.errors import ConfigError
from node.protocol.types import CourtParams, RegistryParams, RoundParams, Scoring
from node.records import from_plain

__all__ = [
    "VERSION",
    "Content",
    "Manifest",
    "NetworkParams",
    "RegistryParams",
    "content",
    "load_manifest",
    "load_preset",
    "topic_of",
]

NETWORKS = Path(__file__).resolve().parent / "networks"


@dataclass(frozen=True, slots=True)
class _RegistryPreset:
    """As in a preset: whole CWT, since TOML integers have 64 bits."""

    threshold: int
    veto_threshold: int
    min_bond_cwt: int
    grant_cwt: int
    grant_budget_cwt: int
    exit_delay: int
    veto_window: int
    seat_term: int
    admission_burst: int
    admissions_per_day: int


@dataclass(frozen=True, slots=True)
class _CourtPreset:
    bond_cwt: int
    jury_size: int
    max_disputes: int
    seed_delay_blocks: int
    draw_duration: int
    commit_duration: int
    reveal_duration: int
    resolve_duration: int


@dataclass(frozen=True, slots=True)
class _EmissionPreset:
    initial_cwt: int
    halving: int
    weight_target: int


@dataclass(frozen=True, slots=True)
class _GovernancePreset:
    voting_delay: int
    voting_period: int
    late_extension: int
    quorum_percent: int
    proposal_threshold_cwt: int
    quorum_floor_cwt: int
    timelock_delay: int
    linear_up_to_cwt: int
    unlock_delay: int
    guardian_term: int
    max_regression: int


@dataclass(frozen=True, slots=True)
class _PresetFile:
    rounds: RoundParams
    scoring: Scoring
    court: _CourtPreset
    registry: _RegistryPreset
    emission: _EmissionPreset
    governance: _GovernancePreset


def load_preset(preset: str | Path) -> NetworkParams:
    """Constants of a network, by the name of a file in `deploy/networks` or by path.

    Raises:
        ConfigError: no such preset, or one with unknown or missing keys.
    """
    path = NETWORKS / f"{preset}.toml" if isinstance(preset, str) else preset
    try:
        value: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(sorted(one.stem for one in NETWORKS.glob("*.toml")))
        raise ConfigError(f"There is no network preset {preset}.", hint=f"Presets are {known}.") from error
    except ValueError as error:
        raise ConfigError(f"The network preset {path.name} is not TOML: {error}.") from error
    read = from_plain(_PresetFile, value, path.name)
    return NetworkParams(
        rounds=read.rounds,
        scoring=read.scoring,
        court=CourtParams(**_whole(read.court)),
        registry=RegistryParams(
            threshold=read.registry.threshold,
            veto_threshold=read.registry.veto_threshold,
            min_bond=read.registry.min_bond_cwt * CWT,
            grant=read.registry.grant_cwt * CWT,
            grant_budget=read.registry.grant_budget_cwt * CWT,
            exit_delay=read.registry.exit_delay,
            veto_window=read.registry.veto_window,
            seat_term=read.registry.seat_term,
            admission_burst=read.registry.admission_burst,
            admissions_per_day=read.registry.admissions_per_day,
        ),
        emission=EmissionParams(
            initial=read.emission.initial_cwt * CWT,
            halving=read.emission.halving,
            weight_target=read.emission.weight_target,
        ),
        governance=GovernanceParams(**_whole(read.governance)),
    )


def _whole(read: _CourtPreset | _GovernancePreset) -> dict[str, int]:
    """The values by name, amounts in 10⁻¹⁸ CWT and without the ending that said otherwise."""
    return {
        name.removesuffix("_cwt"): value * CWT if name.endswith("_cwt") else value
        for name, value in asdict(read).items()
    }
