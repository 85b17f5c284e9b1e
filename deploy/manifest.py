"""Constants of the networks we know (`deploy/networks/*.toml`), and the manifest's names for those who deploy."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from incentives.rewards import CWT, EmissionParams
from node.manifest import VERSION, Content, Manifest, NetworkParams, content, load_manifest, topic_of
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
class _PresetFile:
    rounds: RoundParams
    scoring: Scoring
    court: _CourtPreset
    registry: _RegistryPreset
    emission: _EmissionPreset


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
        court=_court(read.court),
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
    )


def _court(read: _CourtPreset) -> CourtParams:
    rest = {name: getattr(read, name) for name in read.__slots__ if name != "bond_cwt"}
    return CourtParams(bond=read.bond_cwt * CWT, **rest)
