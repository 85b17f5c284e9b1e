"""Whose work is in a model: credits up to a round, and a release with its gate and its shares."""

from __future__ import annotations

from incentives.ownership import least_score, score_quorum, shares_ppm
from node.explain.core import Explanation, Past, Step, cwt, ppm, sources
from node.protocol.cid import cid_from_digest
from node.protocol.commitments import attestation
from node.protocol.errors import ConfigError
from node.protocol.hashing import abi_encode, keccak256
from node.protocol.releases import Release
from node.protocol.state import Round
from node.protocol.types import Address, ChainEvent

CREDIT_FORMULA = (
    "credit(member, R) = Σ of all rewards claimed for it, of rounds up to R; bound to the account, never transferable",
    "share = credit / credits of all; of a release: up to the release's round, once every claim is made",
)
RELEASE_FORMULA = (
    "a score may not fall below max(0, parent's − maxRegression)",
    "more than 2/3 of the round's correct attesters voted for exactly these scores: ⌊2·correct/3⌋ + 1",
    "share of a member = ⌊10⁶ · credit up to the release's round / credits of all⌋ ppm",
)


def explain_credit(past: Past, account: Address, number: int | None = None) -> Explanation:
    """An account's credits from rounds up to ``number`` (None: all), and the share of all credits they are."""
    last = max(past.state.rounds, default=0) if number is None else number
    if number is not None and number != 0:
        past.round(number)
    mine, all_of_them, steps = [], 0, []
    own = 0
    for _, event in past.find("RewardDistributor", "Claimed"):
        a = event.arguments
        if a["round"] > last:
            continue
        amount = a["trainerReward"] + a["verifierReward"] + a["attesterReward"]
        all_of_them += amount
        if a["member"] == account:
            own += amount
            mine.append(event)
            parts = " + ".join(
                cwt(a[key]).removesuffix(" CWT") for key in ("trainerReward", "verifierReward", "attesterReward")
            )
            steps.append(Step(f"round {a['round']}, index {a['index']}", parts, cwt(amount)))
    share = 1_000_000 * own // all_of_them if all_of_them else 0
    steps += [
        Step("credit", "Σ of these", cwt(own)),
        Step("credits of all", f"Σ of every claim of rounds 1 to {last}", cwt(all_of_them)),
        Step("share", f"⌊10⁶ · {cwt(own)} / {cwt(all_of_them)}⌋" if all_of_them else "nobody has a credit", ppm(share)),
    ]
    rolled = past.last("ReleaseRegistry", "CreditsRolled", round=last)
    final = past.state.credit_total_at(last)
    notes = (
        []
        if rolled is not None
        else [f"The credits of round {last} are not rolled up yet: claims may still add to them."]
    )
    return Explanation(
        what="credit",
        id=f"{account}.{last}",
        title=f"Credits of {account} from rounds up to {last}",
        formula=CREDIT_FORMULA,
        steps=tuple(steps),
        computed=_credit_text(own, all_of_them),
        recorded=_credit_text(past.state.credits_at(account, last), final)
        if rolled is not None and final is not None
        else None,
        sources=sources(*mine, rolled),
        notes=tuple(notes),
    )


def _credit_text(own: int, total: int) -> str:
    return f"{cwt(own)} of {cwt(total)}"


def benchmark_name(name: bytes) -> str:
    """A benchmark's name for people; what is no text as hex."""
    text = name.rstrip(b"\0")
    return text.decode("ascii") if text and text.isascii() and text.decode("ascii").isprintable() else "0x" + name.hex()


def scores_hash(chain_id: int, registry: Address, release: Release) -> bytes:
    """H(abi(chainid, registry, round, (bytes32 benchmark, uint32 ppm)[])): what the attesters voted for."""
    body = b"".join(abi_encode(name, value) for name, value in release.scores.items())
    return keccak256(abi_encode(chain_id, registry, release.round, 4 * 32, len(release.scores)) + body)


def correct_attesters(found: Round) -> int:
    """Attestations of a finalised round that open to its model."""
    proposal = found.proposal
    if proposal is None:
        return 0
    return sum(
        keyed
        == attestation(found.number, who, secret=proposal.secret, model_hash=proposal.model_hash, cid=proposal.cid)
        for who, keyed in found.attestations.values()
    )


def explain_release(past: Past, number: int) -> Explanation:
    """Why a release could be published, and whose it is."""
    if number not in past.state.releases:
        raise ConfigError(f"There is no release {number}.", hint=f"Releases so far: {len(past.state.releases)}.")
    release = past.state.releases[number]
    published = past.last("ReleaseRegistry", "ReleasePublished", release=number)
    voted = scores_hash(past.terms.chain_id, past.terms.contracts["ReleaseRegistry"], release)
    votes = [
        event for _, event in past.find("ReleaseRegistry", "ScoresAttested", round=release.round, scoresHash=voted)
    ]
    steps, total = _gate(past, release, len(votes))
    claims: list[ChainEvent | None] = [past.last("ReleaseRegistry", "CreditsRolled", round=release.round)]
    notes = [f"It was taken back; reason 0x{release.yank_reason.hex()}."] if release.is_yanked else []
    if release.proposal:
        notes.append(f"Decided by proposal {release.proposal}.")
    return Explanation(
        what="release",
        id=str(number),
        title=f"Release {number}, version {'.'.join(map(str, release.version))}, the model of round {release.round}",
        formula=RELEASE_FORMULA,
        steps=tuple(steps),
        computed=f"gate {'passed' if _passes(past, release, len(votes)) else 'NOT passed'}, credits of all {cwt(total)}",
        recorded=f"gate passed, credits of all {cwt(release.credit_total)}",
        sources=sources(past.last("RoundManager", "RoundFinalized", round=release.round), *votes, *claims, published),
        notes=tuple(notes),
    )


def _gate(past: Past, release: Release, votes: int) -> tuple[list[Step], int]:
    found = past.round(release.round)
    model = f"0x{release.model_hash.hex()[:16]}…, {cid_from_digest(release.cid)}"
    steps = [Step("model", f"of round {found.number}, {found.phase.name}", model)]
    parent = past.state.releases.get(release.parent)
    for name, value in release.scores.items():
        if parent is None or name not in parent.scores:
            steps.append(Step(benchmark_name(name), "the parent was not measured by it", ppm(value)))
            continue
        floor = least_score(parent.scores[name], past.terms.max_regression)
        verdict = "≥" if value >= floor else "<"
        expression = f"{ppm(value)} {verdict} max(0, {ppm(parent.scores[name])} − {ppm(past.terms.max_regression)}) = {ppm(floor)}"
        steps.append(Step(benchmark_name(name), expression, ppm(value)))
    correct = correct_attesters(found)
    steps.append(
        Step("votes for these scores", f"{votes}, needed ⌊2·{correct}/3⌋ + 1 = {score_quorum(correct)}", str(votes))
    )
    credits_of = _credits(past, release.round)
    for member, share in sorted(shares_ppm(credits_of).items(), key=lambda pair: (-pair[1], pair[0])):
        steps.append(
            Step(
                f"share of {member}", f"⌊10⁶ · {cwt(credits_of[member])} / {cwt(sum(credits_of.values()))}⌋", ppm(share)
            )
        )
    return steps, sum(credits_of.values())


def _credits(past: Past, last: int) -> dict[Address, int]:
    found: dict[Address, int] = {}
    for _, event in past.find("RewardDistributor", "Claimed"):
        a = event.arguments
        amount = a["trainerReward"] + a["verifierReward"] + a["attesterReward"]
        if a["round"] <= last and amount:
            found[Address(a["member"])] = found.get(Address(a["member"]), 0) + amount
    return found


def _passes(past: Past, release: Release, votes: int) -> bool:
    parent = past.state.releases.get(release.parent)
    kept = parent is None or all(
        value >= least_score(parent.scores[name], past.terms.max_regression)
        for name, value in release.scores.items()
        if name in parent.scores
    )
    return kept and votes >= score_quorum(correct_attesters(past.round(release.round)))
