"""What every view of every contract must answer, given the state folded from the events (I22: replay equals storage).

Not told by any event, so not here: the nonces of signatures (`permit`, `delegateBySig`, votes by signature), and what strangers' contracts
took out of an allowance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from incentives.ownership import claimable, score_quorum
from incentives.rewards import emission
from incentives.voting import voting_units
from node.audit.base import AuditRules
from node.audit.guilt import is_counted
from node.audit.releases import scores_hash
from node.audit.rounds import round_views
from node.audit.view import View
from node.protocol.calls import OWN_SETTINGS, PROPOSABLE, selector_of
from node.protocol.governance import Entry, OperationState, Pause
from node.protocol.guidelines import Kind
from node.protocol.state import Round, State
from node.protocol.types import Address, Call, MemberStatus, Phase, Scoring

Allowance = Callable[[Address, Address], int | None]


def expected_views(
    state: State, rules: AuditRules, allowance: Allowance, *, now: int, detailed_rounds: int | None = None
) -> Iterator[View]:
    """Every view that does not depend on the time of asking.

    Args:
        state: folded from all events.
        rules: constants of the deployment.
        now: the chain's time; only earlier moments can be asked about.
        allowance: what a contract of ours may still take of an owner's tokens.
        detailed_rounds: ask about the participants of that many of the newest rounds; None: of all.
    """
    yield from _token(state, allowance)
    yield from _registry(state)
    yield from _guidelines(state)
    newest = len(state.rounds)
    for number, found in sorted(state.rounds.items()):
        is_detailed = detailed_rounds is None or number > newest - detailed_rounds
        yield from round_views(state, rules, found, is_detailed=is_detailed)
    yield from _latest(state, rules)
    yield from _rewards(state, rules)
    yield from _vault(state, rules, now)
    yield from _proposals(state, rules, now)
    yield from _timelock(state)
    yield from _guardian(state)
    yield from _releases(state, rules)
    yield from _revenue(state)


def _ask(subject: str, contract: str, function: str, *arguments: Any, says: Any) -> View:
    return View(subject, Call(contract, function, arguments), says)


def _token(state: State, allowance: Allowance) -> Iterator[View]:
    for address, amount in sorted(state.balances.items()):
        yield _ask("balances", "ContributionToken", "balanceOf", address, says=amount)
    for owner, spender in sorted(state.approvals):
        left = allowance(owner, spender)
        if left is not None:
            yield _ask("allowances", "ContributionToken", "allowance", owner, spender, says=left)
    yield _ask("supply", "ContributionToken", "totalSupply", says=state.supply)


def _registry(state: State) -> Iterator[View]:
    registry = "MemberRegistry"
    for address, member in sorted(state.members.items()):
        yield _ask("stakes", registry, "stakeOf", address, says=member.stake)
        yield _ask("unvested grants", registry, "unvestedOf", address, says=member.unvested)
        yield _ask("standings", registry, "statusOf", address, says=member.status)
        yield _ask("rounds of admission", registry, "admittedIn", address, says=member.admitted_in)
        if member.status is MemberStatus.EXITING:
            yield _ask("exits", registry, "exitAtOf", address, says=member.exit_at)
    for number, application in sorted(state.applications.items()):
        verdicts = state.reviews.get(number, {})
        approvals = sum(verdicts.values())
        told = (application.applicant, application.standing, approvals, len(verdicts) - approvals)
        yield _ask("applications", registry, "applicationOf", number, says=told)
        probation = (application.admit_at, len(application.vetoes))
        yield _ask("applications", registry, "probationOf", number, says=probation)
    for number, seat in sorted(state.seats.items()):
        yield _ask("seats", registry, "seatOf", number, says=(seat.holder, seat.expires_at))
    total = sum(member.stake for member in state.members.values())
    yield _ask("stakes", registry, "totalStake", says=total)
    yield _ask("grants", registry, "grantsMinted", says=state.granted)
    yield _ask("applications", registry, "applicationCount", says=len(state.applications))


def _guidelines(state: State) -> Iterator[View]:
    registry = "GuidelineRegistry"
    told: tuple[Any, ...]
    for number, epoch in sorted(state.epochs.items()):
        told = (epoch.guideline_hash, epoch.guideline_cid, _numbers(epoch.scoring), epoch.revisions, epoch.since)
        yield _ask("guidelines", registry, "epochOf", number, says=told)
    for kind, revisions in sorted(state.documents.items()):
        for document in revisions:
            told = (document.content_hash, document.cid)
            yield _ask("guidelines", registry, "revisionOf", int(kind), document.revision, says=told)
    current = state.guidelines.current
    if current is not None:
        told = (current.number, current.guideline_hash, _numbers(current.scoring))
        yield _ask("guidelines", registry, "current", says=told)
        for kind in Kind:
            document = state.guidelines.document_of(current.number, kind)
            told = (document.content_hash, document.cid)
            yield _ask("guidelines", registry, "documentOf", current.number, int(kind), says=told)


def _numbers(scoring: Scoring) -> tuple[int, ...]:
    return scoring.tau, scoring.delta_min, scoring.harm_min, scoring.gain_cap


def _latest(state: State, rules: AuditRules) -> Iterator[View]:
    yield _ask("rounds", "RoundManager", "currentRound", says=len(state.rounds))
    final = [found for found in state.rounds.values() if found.phase is Phase.FINALIZED and found.proposal is not None]
    if final:
        newest = max(final, key=lambda found: found.number)
        assert newest.proposal is not None
        told = (newest.proposal.model_hash, newest.proposal.cid, newest.number)
        yield _ask("models", "RoundManager", "latestModel", says=told)
    bonds = sum(rules.court_params.bond for dispute in state.disputes.values() if not dispute.is_over)
    yield _ask("disputes", "RoundCourt", "totalBonds", says=bonds)
    yield _ask("disputes", "RoundCourt", "disputeCount", says=len(state.disputes))


def _rewards(state: State, rules: AuditRules) -> Iterator[View]:
    distributor = "RewardDistributor"
    for number, found in sorted(state.rounds.items()):
        credited = state.credits.in_round.get(number, 0)
        is_whole = len(found.reveals) > 0 and len(found.claimed) == len(found.reveals)
        yield _ask("credits", distributor, "creditsIn", number, says=(credited, is_whole))
        yield _ask("mints", distributor, "mintedIn", number, says=state.credits.minted_in(number))
        yield _ask("mints", distributor, "emission", number, says=emission(number, rules.emission))
        claimed = number in state.credits.treasury
        yield _ask("mints", distributor, "isTreasuryClaimed", number, says=claimed)
    for member, trace in sorted(state.credits.earned.items()):
        for number in {*trace.keys[-1:], *(release.round for release in state.releases.values())}:
            yield _ask("credits", distributor, "creditAt", member, number, says=state.credits_at(member, number))


def _vault(state: State, rules: AuditRules, now: int) -> Iterator[View]:
    vault = "VotingVault"
    for account, lock in sorted(state.locks.items()):
        yield _ask("locks", vault, "accountOf", account, says=(lock.amount, lock.leaving, lock.free_at))
        units = voting_units(lock.amount, rules.governance.linear_up_to)
        yield _ask("voting units", vault, "unitsOf", account, says=units)
    for account, delegate in sorted(state.delegates.items()):
        yield _ask("delegates", vault, "delegates", account, says=delegate)
    moments = sorted({proposal.snapshot for proposal in state.proposals.values()})
    moments = [moment for moment in moments if moment < now]
    for account, trace in sorted(state.vault.delegated.items()):
        yield _ask("votes", vault, "delegatedTo", account, says=trace.latest)
        yield _ask("votes", vault, "getVotes", account, says=state.votes_at(account, 2**48))
        for moment in moments:
            yield _ask("votes", vault, "getPastVotes", account, moment, says=state.votes_at(account, moment))
    for moment in moments:
        yield _ask("votes", vault, "getPastTotalSupply", moment, says=state.total_at(moment))


def _proposals(state: State, rules: AuditRules, now: int) -> Iterator[View]:
    governor, settings = "CommunityGovernor", state.governance.settings
    for number, proposal in sorted(state.proposals.items()):
        votes = (proposal.against, proposal.in_favour, proposal.abstain)
        yield _ask("proposals", governor, "proposalVotes", number, says=votes)
        yield _ask("proposals", governor, "proposalSnapshot", number, says=proposal.snapshot)
        yield _ask("proposals", governor, "proposalDeadline", number, says=proposal.vote_end)
        yield _ask("proposals", governor, "proposalProposer", number, says=proposal.proposer)
        yield _ask("proposals", governor, "proposalEta", number, says=proposal.eta)
        for voter, vote in sorted(proposal.voters.items()):
            yield _ask("proposals", governor, "usedVotes", number, voter, says=vote.weight)
        if proposal.snapshot < now:
            quorum = state.quorum_at(proposal.snapshot, rules.governance.quorum_floor)
            yield _ask("proposal quorums", governor, "quorum", proposal.snapshot, says=quorum)
    yield _ask("settings", governor, "votingDelay", says=settings.voting_delay)
    yield _ask("settings", governor, "votingPeriod", says=settings.voting_period)
    yield _ask("settings", governor, "lateQuorumVoteExtension", says=settings.late_extension)
    yield _ask("settings", governor, "quorumNumerator", says=settings.quorum_percent.latest)
    yield _ask("settings", governor, "proposalGuardian", says=settings.proposal_guardian)
    yield _ask("settings", governor, "timelock", says=settings.timelock)
    own = {(rules.contracts[governor], selector_of(signature)) for signature in OWN_SETTINGS}
    listed = {(rules.contracts[contract], selector_of(signature)) for contract, signature in PROPOSABLE}
    for target, selector in sorted(settings.allowed | own | listed):
        told = (target, selector) in settings.allowed | own
        yield _ask("settings", governor, "isAllowed", target, selector, says=told)


def _timelock(state: State) -> Iterator[View]:
    timelock, law = "TimelockController", state.governance
    for identity, operation in sorted(law.operations.items()):
        standing = operation.state(operation.ready_at)
        says = {OperationState.UNSET: 0, OperationState.DONE: 1}.get(standing, operation.ready_at)
        yield _ask("operations", timelock, "getTimestamp", identity, says=says)
    for role, accounts in sorted(law.roles.items()):
        for account in sorted(accounts):
            yield _ask("roles", timelock, "hasRole", role, account, says=True)
    yield _ask("settings", timelock, "getMinDelay", says=law.min_delay)


def _guardian(state: State) -> Iterator[View]:
    yield _ask("guardian", "Guardian", "account", says=state.governance.guardian)
    for entry in Entry:
        pause = state.governance.pauses.get(entry, Pause(0, 0))
        yield _ask("guardian", "Guardian", "pausesOf", int(entry), says=(pause.until, pause.paused))


def _releases(state: State, rules: AuditRules) -> Iterator[View]:
    registry, known = "ReleaseRegistry", state.catalogue
    at = rules.contracts[registry]
    told: tuple[Any, ...]
    for number, release in sorted(known.releases.items()):
        told = (
            release.parent, release.before, release.following, release.round, release.version, release.published_at,
            release.is_yanked, release.model_hash, release.cid, scores_hash(rules.chain_id, at, release.round, release.scores),
            release.notes_hash, release.notes_cid, release.credit_total,
        )  # fmt: skip
        yield _ask("releases", registry, "releaseOf", number, says=told)
        for name in known.benchmarks:
            told = (name in release.scores, release.scores.get(name, 0))
            yield _ask("releases", registry, "scoreOf", number, name, says=told)
    for (number, value), slots in sorted(known.score_votes.items()):
        bits = sum(1 << slot for slot in slots)
        yield _ask("releases", registry, "votersOf", number, value, says=bits)
        needed = score_quorum(_correct(state.rounds[number]))
        yield _ask("releases", registry, "votesOf", number, value, says=(len(slots), needed))
    for name, benchmark in sorted(known.benchmarks.items()):
        told = (1 if benchmark.is_active else 2, benchmark.content_hash, benchmark.cid)
        yield _ask("benchmarks", registry, "benchmarkOf", name, says=told)
    yield _ask("benchmarks", registry, "activeBenchmarks", says=known.active)
    for number, total in sorted(known.credit_totals.items()):
        yield _ask("credits", registry, "creditTotalAt", number, says=total)
    yield _ask("credits", registry, "rolledTo", says=known.rolled_to)
    yield _ask("releases", registry, "count", says=len(known.releases))
    yield _ask("releases", registry, "latest", says=known.latest)


def _correct(found: Round) -> int:
    return sum(is_counted(found, slot) for slot in found.attestations)


def _revenue(state: State) -> Iterator[View]:
    splitter, revenue = "RevenueSplitter", state.revenue
    for (release, token), amount in sorted(revenue.deposited.items()):
        yield _ask("revenue", splitter, "depositedOf", release, token, says=amount)
        found = state.releases[release]
        for account in sorted(state.credits.earned):
            credit = state.credits_at(account, found.round)
            yield _ask("shares", splitter, "shareOf", release, account, says=(credit, found.credit_total))
            paid = revenue.paid.get((release, token, account), 0)
            due = claimable(amount, credit, found.credit_total, paid=paid)
            yield _ask("revenue", splitter, "claimable", release, token, account, says=due)
    for (release, token, account), amount in sorted(revenue.paid.items()):
        yield _ask("revenue", splitter, "paidOf", release, token, account, says=amount)
