"""The auditor's checks of what follows from rounds: guideline epochs, credits, the release gate, revenue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from incentives.ownership import BEST_SCORE, claimable, least_score, score_quorum
from node.audit.base import Check, Checks
from node.audit.guilt import is_counted
from node.protocol.governance import Entry
from node.protocol.guidelines import Kind
from node.protocol.hashing import abi_encode, keccak256
from node.protocol.sortition import attesters
from node.protocol.state import Round
from node.protocol.types import Address, Phase, Scoring

MOST_GAIN = 524_287
MAX_SCORES = 32
MAX_BENCHMARKS = 16


def scores_hash(chain_id: int, registry: Address, number: int, scores: Mapping[bytes, int]) -> bytes:
    """H(abi(chainid, registry, round, (bytes32 benchmark, uint32 ppm)[])): what attesters vote for."""
    body = b"".join(abi_encode(name, ppm) for name, ppm in scores.items())
    return keccak256(abi_encode(chain_id, registry, number, 4 * 32, len(scores)) + body)


class GuidelineChecks(Checks):
    """Epochs, and that every round opens under the one in force."""

    def handlers(self) -> Mapping[tuple[str, str], Check]:
        """The registry's events, and a round's opening."""
        return {
            ("GuidelineRegistry", "EpochBegun"): self._begun,
            ("GuidelineRegistry", "DocumentAmended"): self._amended,
            ("RoundManager", "RoundOpened"): self._opened,
        }

    def _amended(self, a: Mapping[str, Any]) -> None:
        before = self.state.documents.get(Kind(a["kind"]), ())
        is_new = not before or before[-1].content_hash != a["contentHash"]
        whole = bytes(32) not in {a["contentHash"], a["cid"]}
        self.expect(
            "guidelines", is_new and whole, f"Document {Kind(a['kind']).name} was amended by what it said already."
        )

    def _begun(self, a: Mapping[str, Any]) -> None:
        number, before = a["epoch"], self.state.guidelines.current
        revisions = tuple(len(self.state.documents.get(kind, ())) for kind in Kind)
        self.equal("guidelines", tuple(a["revisions"]), revisions, f"revisions of epoch {number}")
        scoring = Scoring(*(a["scoring"][name] for name in ("tau", "deltaMin", "harmMin", "gainCap")))
        within = all(
            least <= value <= MOST_GAIN
            for value, least in (
                (scoring.tau, 0),
                (scoring.delta_min, 1),
                (scoring.harm_min, 1),
                (scoring.gain_cap, scoring.delta_min),
            )
        )
        self.expect("guidelines", within, f"A scoring number of epoch {number} is out of its bounds.")
        if before is None:
            self.equal("guidelines", a["guidelineHash"], self.rules.guideline_hash, "the founding guideline")
            self.equal("guidelines", scoring, self.rules.scoring, "the founding scoring")
        else:
            is_new = (a["guidelineHash"], scoring) != (before.guideline_hash, before.scoring)
            self.expect("guidelines", is_new, f"Epoch {number} changes nothing.")

    def _opened(self, a: Mapping[str, Any]) -> None:
        epoch = self.state.guidelines.current
        current = None if epoch is None else (epoch.number, epoch.guideline_hash)
        self.equal("guidelines", (a["epoch"], a["guidelineHash"]), current, f"guideline of round {a['round']}")


class ReleaseChecks(Checks):
    """Votes for scores, rolled credits, benchmarks, and everything that a release must satisfy."""

    def handlers(self) -> Mapping[tuple[str, str], Check]:
        """The release registry's events."""
        releases = "ReleaseRegistry"
        return {
            (releases, "ScoresAttested"): self._attested,
            (releases, "CreditsRolled"): self._rolled,
            (releases, "ReleasePublished"): self._published,
            (releases, "BenchmarkAdded"): self._added,
        }

    def _slots(self, found: Round) -> Sequence[int]:
        """Owners of the attestation slots."""
        return attesters(found.seed, len(found.reveals), self.rules.params.max_attesters)

    def _attested(self, a: Mapping[str, Any]) -> None:
        found, where = self.state.rounds[a["round"]], f"slot {a['slot']} of round {a['round']}"
        self.expect("scores of releases", found.phase is Phase.FINALIZED, f"{where} voted for scores of an open round.")
        owner = found.attestations.get(a["slot"], (None, b""))[0]
        self.equal("scores of releases", a["attester"], owner, f"who voted for scores with {where}")
        self.expect(
            "scores of releases", is_counted(found, a["slot"]), f"{where} voted for scores, but its model was wrong."
        )
        votes = len(self.state.catalogue.score_votes.get((a["round"], a["scoresHash"]), ())) + 1
        self.equal("scores of releases", a["votes"], votes, f"votes for scores of round {a['round']}")

    def _rolled(self, a: Mapping[str, Any]) -> None:
        number = a["round"]
        found, before = self.state.rounds[number], self.state.credit_total_at(number - 1)
        self.expect("credits", found.is_over, f"The credits of round {number} were rolled before it was over.")
        is_final = found.phase is Phase.VOIDED or len(found.claimed) == len(found.reveals) > 0
        self.expect("credits", is_final, f"The credits of round {number} were rolled with claims missing.")
        total = None if before is None else before + self.state.credits.in_round.get(number, 0)
        self.equal("credits", a["creditTotal"], total, f"credits up to round {number}")

    def _added(self, a: Mapping[str, Any]) -> None:
        few = len(self.state.catalogue.active) < MAX_BENCHMARKS and bytes(32) not in {
            a["name"],
            a["contentHash"],
            a["cid"],
        }
        self.expect("releases", few, "A benchmark without content, or one too many, was added.")

    def _published(self, a: Mapping[str, Any]) -> None:
        candidate, where = a["candidate"], f"release {a['release']}"
        known = self.state.catalogue
        is_open = not self.state.governance.is_paused(Entry.PUBLISH, self.now)
        self.expect("pauses", is_open, f"The {where} was published while publishing was paused.")
        self.equal("releases", candidate["parent"], known.latest, f"parent of {where}")
        parent = known.releases.get(candidate["parent"])
        last = known.releases[len(known.releases)].version if known.releases else (0, 0, 0)
        version = tuple(candidate["version"][part] for part in ("major", "minor", "patch"))
        self.expect("releases", version > last, f"The {where} has version {version}, not above {last}.")
        is_later = candidate["round"] > (0 if parent is None else parent.round)
        self.expect("releases", is_later, f"The {where} is of a round that its parent covers already.")
        whole = bytes(32) not in {candidate["notesHash"], candidate["notesCid"]}
        self.expect("releases", whole, f"The {where} has no notes.")
        self._model(candidate, where)
        total = self.state.credit_total_at(candidate["round"])
        self.equal("credits", a["creditTotal"], total, f"credits of {where}")
        self.expect("credits", bool(total), f"The {where} has no owners.")
        self._gate(candidate, where)

    def _model(self, candidate: Mapping[str, Any], where: str) -> None:
        found = self.state.rounds.get(candidate["round"])
        is_final = found is not None and found.phase is Phase.FINALIZED and found.proposal is not None
        self.expect("releases", is_final, f"The {where} is of round {candidate['round']}, which is not final.")
        if found is None or found.proposal is None:
            return
        model = (found.proposal.model_hash, found.proposal.cid)
        self.equal("releases", (candidate["modelHash"], candidate["cid"]), model, f"model of {where}")
        scores = {score["benchmark"]: score["ppm"] for score in candidate["scores"]}
        value = scores_hash(self.rules.chain_id, self.rules.contracts["ReleaseRegistry"], found.number, scores)
        votes = len(self.state.catalogue.score_votes.get((found.number, value), ()))
        needed = score_quorum(sum(is_counted(found, slot) for slot in range(len(self._slots(found)))))
        self.expect(
            "release gates", votes >= needed, f"The scores of {where} have {votes} of {needed} attesters' votes."
        )

    def _gate(self, candidate: Mapping[str, Any], where: str) -> None:
        known, given = self.state.catalogue, candidate["scores"]
        names = [score["benchmark"] for score in given]
        in_order = names == sorted(set(names)) and len(names) <= MAX_SCORES
        in_range = all(0 <= score["ppm"] <= BEST_SCORE for score in given)
        self.expect("release gates", in_order and in_range, f"The scores of {where} are not in order, or not scores.")
        self.expect("release gates", bool(known.active), f"The {where} was measured by no active benchmark.")
        scores = {score["benchmark"]: score["ppm"] for score in given}
        parent = known.releases.get(candidate["parent"])
        for name in known.active:
            title = name.rstrip(b"\0").decode("utf-8", "replace")
            self.expect("release gates", name in scores, f"The {where} has no score for {title}.")
            if parent is not None and name in parent.scores and name in scores:
                least = least_score(parent.scores[name], self.rules.governance.max_regression)
                what = f"The {where} scores {scores[name]} ppm in {title}, below the {least} that its parent allows."
                self.expect("release gates", scores[name] >= least, what)


class RevenueChecks(Checks):
    """Deposits and payouts of releases."""

    def handlers(self) -> Mapping[tuple[str, str], Check]:
        """The splitter's events."""
        return {("RevenueSplitter", "Deposited"): self._deposited, ("RevenueSplitter", "Claimed"): self._claimed}

    def _deposited(self, a: Mapping[str, Any]) -> None:
        exists = a["release"] in self.state.releases and a["amount"] > 0
        self.expect("revenue", exists, f"Nothing, or for a release {a['release']} that does not exist, was deposited.")

    def _claimed(self, a: Mapping[str, Any]) -> None:
        release, token, account = self.state.releases.get(a["release"]), Address(a["token"]), Address(a["account"])
        where = f"revenue of release {a['release']} to {account}"
        if release is None:
            self.expect("revenue", False, f"The {where} was paid, but there is no such release.")
            return
        revenue = self.state.revenue
        paid = revenue.paid.get((release.number, token, account), 0)
        deposited = revenue.deposited.get((release.number, token), 0)
        credit = self.state.credits_at(account, release.round)
        try:
            due = claimable(deposited, credit, release.credit_total, paid=paid)
        except ValueError:
            due = 0
        self.equal("revenue", (a["amount"], a["total"]), (due, paid + due), where)
        self.expect("revenue", a["amount"] > 0, f"The {where} is nothing.")
