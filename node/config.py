"""Settings of one node: defaults < network file < own TOML file < environment < flags. Unknown keys are refused with a near one.

A network file (``network.file``) is what a community hands to its operators: `NETWORK_KEYS` with paths relative to itself. It may
not set anything that is the operator's own business (keys, data, roles, device), whoever wrote it.

Environment: ``COMMONWEIGHT_<SECTION>_<KEY>``, e.g. ``COMMONWEIGHT_CHAIN_RPC``; flags: ``--set section.key=value``. Both take TOML
values, and plain text where a text is expected. Relative paths are relative to the TOML file. docs/configuration.md lists every
key (a test sees to it).
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from node.driver import ROLES
from node.protocol.errors import ConfigError

ENVIRONMENT_PREFIX = "COMMONWEIGHT_"
NETWORK_KEYS = frozenset(
    {
        "chain.rpc",
        "network.manifest",
        "network.guideline",
        "network.public_benchmark",
        "ipfs.bootstrap",
        "ipfs.swarm_key_file",
        "p2p.bootstrap",
    }
)
"""What a network file may set."""


@dataclass(frozen=True, slots=True)
class NodeSection:
    """Who this node is on its machine."""

    data: Path = field(default=Path("data"), metadata={"help": "folder for facts, files and logs"})
    roles: tuple[str, ...] = field(
        default=("applicant", "trainer", "verifier", "attester", "keeper", "challenger", "juror"),
        metadata={"help": f"what it does: {', '.join(ROLES)}"},
    )
    name: str = field(default="node", metadata={"help": "shown to people only"})


@dataclass(frozen=True, slots=True)
class NetworkSection:
    """Which community."""

    file: str = field(
        default="", metadata={"help": "the community's network file, which gives this section, RPC and first contacts"}
    )
    manifest: Path = field(default=Path("manifest.json"), metadata={"help": "deployment manifest: chain, contracts"})
    guideline: Path = field(default=Path("guideline.json"), metadata={"help": "the developer guideline"})
    public_benchmark: Path = field(
        default=Path("public.jsonl"), metadata={"help": "benchmark of rounds without a sealed slice"}
    )


@dataclass(frozen=True, slots=True)
class ChainSection:
    """The EVM chain."""

    rpc: str = field(default="http://127.0.0.1:8545", metadata={"help": "JSON-RPC endpoint"})


@dataclass(frozen=True, slots=True)
class KeysSection:
    """Secrets at rest."""

    folder: Path = field(default=Path("keys"), metadata={"help": "folder of the keystore and the libp2p identity"})
    password_file: Path = field(default=Path("keys/password"), metadata={"help": "file that holds the password"})


@dataclass(frozen=True, slots=True)
class IpfsSection:
    """Content storage."""

    mode: str = field(default="embedded", metadata={"help": "embedded (Kubo in a child process) or rpc (external)"})
    rpc: str = field(default="http://127.0.0.1:5001", metadata={"help": "external Kubo's RPC, for mode rpc"})
    port: int = field(default=0, metadata={"help": "swarm port; 0 takes a free one"})
    bootstrap: tuple[str, ...] = field(default=(), metadata={"help": "multiaddrs of stores to dial first"})
    swarm_key_file: Path = field(
        default=Path("swarm.key"), metadata={"help": "the private network's key (64 hex digits)"}
    )


@dataclass(frozen=True, slots=True)
class P2PSection:
    """Gossip."""

    port: int = field(default=0, metadata={"help": "listening port; 0 takes a free one"})
    bootstrap: tuple[str, ...] = field(default=(), metadata={"help": "multiaddrs of peers to dial first"})


@dataclass(frozen=True, slots=True)
class LearningSection:
    """Local training."""

    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda:0 …"})
    threads: int = field(default=1, metadata={"help": "torch threads"})
    repositories: tuple[str, ...] = field(default=(), metadata={"help": "installed packages to train on"})
    seed: int = field(default=0, metadata={"help": "seed of local sampling"})
    cache: Path = field(default=Path("data/pairs"), metadata={"help": "folder of extracted pairs; nodes may share it"})
    base_model: str = field(default="", metadata={"help": "folder of the base model; empty is the embedded one"})


@dataclass(frozen=True, slots=True)
class PrivacySection:
    """What may leave this node."""

    audit: bool = field(default=True, metadata={"help": "look for leaks in the own update, publish none that fails"})
    max_auc: float = field(default=0.75, metadata={"help": "limit of membership inference's AUC; 0.5 is guessing"})
    max_tpr: float = field(
        default=0.4, metadata={"help": "limit of its true-positive rate at 1 % false positives; 0.01 is guessing"}
    )


@dataclass(frozen=True, slots=True)
class StewardSection:
    """What a benchmark steward opens."""

    rounds: int = field(default=0, metadata={"help": "rounds to open in all"})
    min_members: int = field(default=4, metadata={"help": "active members to wait for before a round"})
    rows: int = field(default=96, metadata={"help": "pairs in a slice"})


@dataclass(frozen=True, slots=True)
class ReviewSection:
    """How a committee seat reviews newcomers."""

    before_round: int = field(
        default=0, metadata={"help": "from this round on people review, not the node; 0: the node always does"}
    )


@dataclass(frozen=True, slots=True)
class PaceSection:
    """How eagerly the node works."""

    poll_seconds: float = field(default=0.5, metadata={"help": "pause between looks at the chain"})
    stagger: int = field(default=4, metadata={"help": "seconds between ranks for what only one needs to do"})
    fetch_seconds: float = field(default=30.0, metadata={"help": "longest wait for one file"})
    last_round: int = field(default=0, metadata={"help": "stop after this round; 0 is never"})


@dataclass(frozen=True, slots=True)
class OperationsSection:
    """What watches the node."""

    host: str = field(default="127.0.0.1", metadata={"help": "address that /healthz, /metrics and /status listen on"})
    port: int = field(default=0, metadata={"help": "their port; 0 serves none"})


@dataclass(frozen=True, slots=True)
class WebSection:
    """The dashboard that a running node serves, read-only."""

    port: int = field(default=0, metadata={"help": "port of the dashboard; 0 serves none"})
    host: str = field(
        default="127.0.0.1",
        metadata={"help": "address it listens on; another than this machine's own lets others look"},
    )


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a node, resolved."""

    node: NodeSection = field(default_factory=NodeSection)
    network: NetworkSection = field(default_factory=NetworkSection)
    chain: ChainSection = field(default_factory=ChainSection)
    keys: KeysSection = field(default_factory=KeysSection)
    ipfs: IpfsSection = field(default_factory=IpfsSection)
    p2p: P2PSection = field(default_factory=P2PSection)
    learning: LearningSection = field(default_factory=LearningSection)
    privacy: PrivacySection = field(default_factory=PrivacySection)
    steward: StewardSection = field(default_factory=StewardSection)
    review: ReviewSection = field(default_factory=ReviewSection)
    pace: PaceSection = field(default_factory=PaceSection)
    operations: OperationsSection = field(default_factory=OperationsSection)
    web: WebSection = field(default_factory=WebSection)


def load_config(path: Path, *, environment: Mapping[str, str] | None = None, flags: Iterable[str] = ()) -> Config:
    """Resolve a node's settings.

    Args:
        path: TOML file.
        environment: variables; only those with our prefix count.
        flags: ``section.key=value`` texts.

    Raises:
        ConfigError: the file is missing or not TOML, a key is unknown, or a value has the wrong kind.
    """
    layered = _read(path, "`commonweight node init` writes one.")
    for key, text in sorted((environment or {}).items()):
        if key.startswith(ENVIRONMENT_PREFIX):
            _set(layered, key.removeprefix(ENVIRONMENT_PREFIX).lower().split("_", 1), text, f"environment {key}")
    for flag in flags:
        name, separator, text = flag.partition("=")
        if not separator:
            raise ConfigError(f"--set {flag!r} is not of the form section.key=value.")
        _set(layered, name.split(".", 1), text, f"--set {name}")
    file = layered.get("network", {}).get("file")
    if isinstance(file, str) and file:
        for section, values in _read_network(path.parent / file).items():
            layered[section] = values | layered.get(section, {})
    return _build(layered, path)


def _read(path: Path, hint: str) -> dict[str, dict[str, Any]]:
    """Sections of a TOML file."""
    if "\0" in str(path):
        raise ConfigError(f"There can be no configuration at {str(path)!r}.", hint=hint)
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no configuration at {path}.", hint=hint) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.", hint=hint) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    for section, values in raw.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {section!r} is not a section.", hint=_nearest(section, _sections()))
    return {section: dict(values) for section, values in raw.items()}


def _read_network(path: Path) -> dict[str, dict[str, Any]]:
    """Sections of a network file, its paths made absolute."""
    sections = _read(path, "network.file names the community's network file.")
    for section, values in sections.items():
        for key, value in values.items():
            name = f"{section}.{key}"
            if name not in NETWORK_KEYS:
                raise ConfigError(
                    f"{path}: a network file cannot set {name}.",
                    why="Only what the whole community shares belongs there; the rest is each operator's own.",
                    hint=_nearest(name, sorted(NETWORK_KEYS)),
                )
            if isinstance(value, str) and "\0" not in value and get_type_hints(_sections()[section])[key] is Path:
                values[key] = str((path.parent / value).resolve())
    return sections


def _sections() -> dict[str, type]:
    return get_type_hints(Config)


def _set(layered: dict[str, dict[str, Any]], name: list[str], text: str, where: str) -> None:
    if len(name) != 2:
        raise ConfigError(f"{where}: expected a section and a key.", hint=f"Sections are {', '.join(_sections())}.")
    section, key = name
    kind = get_type_hints(_sections()[section]).get(key) if section in _sections() else None
    layered.setdefault(section, {})[key] = text if kind in (str, Path) else _toml_value(text, where)


def _toml_value(text: str, where: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{where}: {text!r} is not a TOML value.", hint='A list is written ["a", "b"].') from error


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    match = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {match[0]!r}?" if match else f"Known are {', '.join(known)}."


def _build(layered: Mapping[str, Mapping[str, Any]], path: Path) -> Config:
    sections = _sections()
    for section in layered:
        if section not in sections:
            raise ConfigError(f"{path}: unknown section [{section}].", hint=_nearest(section, sections))
    built = {name: _build_section(kind, name, layered.get(name, {}), path) for name, kind in sections.items()}
    config = Config(**built)
    if config.ipfs.mode not in ("embedded", "rpc"):
        raise ConfigError(f"{path}: ipfs.mode is {config.ipfs.mode!r}.", hint="It is embedded or rpc.")
    return config


def _build_section(kind: type, section: str, values: Mapping[str, Any], path: Path) -> Any:
    hints = get_type_hints(kind)
    for key in values:
        if key not in hints:
            raise ConfigError(f"{path}: unknown key {section}.{key}.", hint=_nearest(key, hints))
    arguments = {}
    for item in fields(kind):
        default = item.default if item.default is not MISSING else None
        value = values.get(item.name, default)
        arguments[item.name] = _convert(value, hints[item.name], f"{section}.{item.name}", path)
    return kind(**arguments)


def _convert(value: Any, kind: Any, name: str, path: Path) -> Any:
    if kind is Path and isinstance(value, str | Path) and "\0" not in str(value):
        return path.parent / value
    if kind is float and type(value) in (int, float):
        with suppress(OverflowError):  # a whole number beyond every float
            return float(value)
    if kind == tuple[str, ...] and isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value):
        return tuple(value)
    if kind in (str, int, bool) and type(value) is kind:
        return value
    shown = getattr(kind, "__name__", str(kind))
    raise ConfigError(f"{path}: {name} is {value!r}, expected {'a list of texts' if shown == 'tuple' else shown}.")


def describe() -> list[tuple[str, str, Any, str]]:
    """Every setting: dotted name, kind, default, help; for docs and `commonweight node config`."""
    rows = []
    for section, kind in _sections().items():
        hints = get_type_hints(kind)
        for item in fields(kind):
            shown = {Path: "path", str: "text", int: "integer", float: "number", bool: "true or false"}.get(
                hints[item.name], "list of texts"
            )
            rows.append((f"{section}.{item.name}", shown, item.default, str(item.metadata["help"])))
    return rows


def template(given: Mapping[str, Any] | None = None) -> str:
    """A settings file with every key and its meaning: those in ``given`` (by dotted name) set, the others commented out."""
    given = given or {}
    lines = ["# Settings of a Commonweight node. Uncomment what you change; see docs/configuration.md."]
    section = ""
    for name, _kind, default, text in describe():
        head, key = name.split(".")
        if head != section:
            lines += ["", f"[{head}]"]
            section = head
        value = given.get(name, default)
        value = list(value) if isinstance(value, tuple | list) else str(value) if isinstance(value, Path) else value
        lines.append(f"{'' if name in given else '# '}{key} = {json.dumps(value)}  # {text}")
    return "\n".join(lines) + "\n"
