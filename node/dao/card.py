"""The model card of a release: what it is, where it comes from, who made it, how it scores. Pure, and equal on every machine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learning.privacy.accountant import Spending, epsilon
from learning.spec import LearningSpec
from node.dao.calls import moment
from node.dao.releases import scores_of, version_of
from node.membership.request import parse
from node.protocol.cid import cid_from_digest
from node.protocol.errors import RemoteProtocolError
from node.protocol.guideline import Guideline
from node.protocol.releases import Catalogue, Release
from node.protocol.types import Address


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card is made of; all of it follows from the chain and from files that the chain names by hash.

    Attributes:
        chain_id: of the community's chain.
        registry: its ReleaseRegistry.
        release: the release.
        catalogue: all releases.
        epoch: guideline epoch of its round.
        guideline: in force in that epoch.
        credits: of every contributor, up to the release's round.
        statements: each contributor's request to join, canonical JSON; absent where it could not be had.
        notes: release notes.
    """

    chain_id: int
    registry: Address
    release: Release
    catalogue: Catalogue
    epoch: int
    guideline: Guideline
    credits: Mapping[Address, int]
    statements: Mapping[Address, bytes]
    notes: bytes


def card(facts: Facts) -> str:
    """README.md of a release's folder."""
    parts = [_head(facts), _usage(facts), _scores(facts), _lineage(facts), _contributors(facts)]
    parts += [_privacy(facts), _guideline(facts)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _head(facts: Facts) -> str:
    release = facts.release
    model = facts.guideline.documents["architecture"].get("learning", {}).get("model", "")
    front = [
        "---",
        "library_name: transformers",
        f"base_model: {json.dumps(str(model))}",
        "tags: [commonweight, code]",
        "---",
    ]
    yanked = (
        ["", "> **This release was taken back by a vote.** Nothing is built on it any more."]
        if release.is_yanked
        else []
    )
    told = (
        f"Trained together by {len(facts.credits)} members who kept their code to themselves, and published by their vote at "
        f"{moment(release.published_at)}. Release {release.number} of ReleaseRegistry {facts.registry} on chain {facts.chain_id}; "
        f"model of round {release.round}."
    )
    return "\n".join(
        [
            *front,
            "",
            f"# Release {version_of(release)}",
            *yanked,
            "",
            told,
            "",
            _quote(facts.notes.decode("utf-8", "replace")),
        ]
    )


def _quote(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def _usage(facts: Facts) -> str:
    task = facts.guideline.documents["data"].get("task", "")
    lines = [
        "## Use",
        "```python",
        "from transformers import AutoModel, AutoTokenizer",
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
        'model = AutoModel.from_pretrained("FOLDER")',
        "```",
        "or, on top of a base model that you have already:",
        "```python",
        "from peft import PeftModel",
        'model = PeftModel.from_pretrained(AutoModel.from_pretrained("BASE"), "FOLDER/adapter")',
        "```",
    ]
    if task == "code_search":
        lines += [
            "An embedding is the mean of `last_hidden_state` over a text's tokens, scaled to length 1; compare them by cosine."
        ]
    return "\n".join(lines)


def _scores(facts: Facts) -> str:
    scores, parent = scores_of(facts.release), facts.catalogue.releases.get(facts.release.parent)
    before = scores_of(parent) if parent else {}
    metric = facts.guideline.documents["versioning"].get("metric", "score")
    rows = [
        f"| {name} | {_share(before.get(name))} | {_share(ppm)} | {_share(ppm - before[name], '+') if name in before else '–'} |"
        for name, ppm in sorted(scores.items())
    ]
    head = ["## Scores", f"| benchmark ({metric}) | parent | this release | change |", "|---|---:|---:|---:|"]
    return "\n".join(
        [*head, *rows, "", "More than two thirds of the round's attesters measured these numbers themselves."]
    )


def _share(ppm: int | None, sign: str = "") -> str:
    return "–" if ppm is None else f"{ppm / 1e6:{sign}.4f}"


def _lineage(facts: Facts) -> str:
    rows = []
    for number in facts.catalogue.lineage(facts.release.number):
        one = facts.catalogue.releases[number]
        rows.append(f"| {version_of(one)} | {one.round} | {cid_from_digest(one.cid)} | `{one.model_hash.hex()}` |")
    head = ["## Lineage", "| version | round | checkpoint's CID | SHA-256 |", "|---|---:|---|---|"]
    return "\n".join([*head, *rows])


def _contributors(facts: Facts) -> str:
    total = facts.release.credit_total
    rows = []
    for account, credit in sorted(facts.credits.items(), key=lambda entry: (-entry[1], entry[0])):
        rows.append(f"| {account} | {100 * credit / total:.2f} % | {_statement(facts.statements.get(account))} |")
    head = [
        "## Contributors",
        "Shares follow the work accepted up to this release's round. They are frozen: no transfer of tokens moves them.",
        "",
        "| account | share | data it stated to train on |",
        "|---|---:|---|",
    ]
    return "\n".join([*head, *rows])


def _statement(data: bytes | None) -> str:
    if data is None:
        return "(statement not available)"
    names = repositories(data)
    return ", ".join(_plain(name) for name in names) if names else "(none stated)"


def repositories(statement: bytes) -> Sequence[str]:
    """Repositories that a request to join names."""
    try:
        request = parse(statement)
    except RemoteProtocolError:
        return ()
    return [source.name for source in request.body.data.sources]


def _plain(text: str) -> str:
    """Text of a stranger in a table: no markup, no line breaks, not for ever."""
    return "".join(c for c in text if c.isprintable() and c not in "|<>[]`*_\\")[:60]


def _privacy(facts: Facts) -> str:
    return f"## Privacy\n{privacy_of(facts.guideline, facts.release.round)}"


def privacy_of(guideline: Guideline, rounds: int) -> str:
    """What the guideline promises contributors after so many rounds under it; digits beyond the second are rounded up.

    Nobody can see whether a client drew the noise: it is each one's own protection, and the bound holds for those who did.
    """
    settings, bound = guideline.learning, guideline.documents["update"].get("max_norm")
    own = "Each node audits its own update for leaks before publishing it, unless its operator switched that off."
    if settings.get("privacy", "none") == "none":
        return (
            f"Code stayed with its owners; their updates, of L2 norm {bound} at most, did not. The guideline asks for no noise, so no "
            f"(ε, δ) bounds what the model tells of its contributors' code. {own}"
        )
    spec = LearningSpec.from_mapping(settings)
    steps = spec.epochs * math.ceil(spec.samples_per_round / spec.batch_size)
    rate = min(1.0, spec.batch_size / spec.samples_per_round)
    once = (
        Spending(1, "client", spec.noise_multiplier, 1.0, 1)
        if spec.privacy == "client"
        else Spending(1, "example", spec.noise_multiplier, rate, steps)
    )
    one, all_ = (math.ceil(100 * epsilon([once] * count, spec.privacy_delta)) / 100 for count in (1, rounds))
    whom = {
        "client": "replacing all of a contributor's data",
        "example": f"adding or removing one example of a contributor with at least {spec.samples_per_round}",
    }[spec.privacy]
    return (
        f"The guideline asks for Gaussian noise of multiplier {spec.noise_multiplier:g}. Against {whom}: ε = {one:.2f} a round, "
        f"ε = {all_:.2f} for {rounds} rounds under it, the number up to this release, both with δ = {spec.privacy_delta:g}. {own}"
    )


def _guideline(facts: Facts) -> str:
    return "\n".join(
        [
            "## Guideline",
            f"Epoch {facts.epoch}, Keccak-256 `{facts.guideline.hash.hex()}`; it lies beside this card as guideline.json.",
        ]
    )
