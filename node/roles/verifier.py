"""The verifier: fetch and check every revealed update, score the k assigned ones, commit the word, reveal it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from incentives.scoring import MALFORMED, NOT_SCORED, UNAVAILABLE, effective_gain, encode_gain, pack_word
from node.protocol.commitments import score_commitment
from node.protocol.sortition import assigned_updates, verifiers_per_update
from node.protocol.state import Round
from node.protocol.types import Call, Phase
from node.roles.actions import Action, FetchUpdate, PublishKeys, ScoreUpdates, Submit
from node.roles.view import Fetched, View

ROUNDS_BACK = 2
"""Rounds whose content keys are still published: the newest and the one before, in case we were away at its end."""


def decide(view: View) -> list[Action]:
    """Actions of a verifier that are due now."""
    return _publish(view) + _verify(view)


def _publish(view: View) -> list[Action]:
    """Whoever opened a round's encrypted updates publishes their keys, so that no trainer can withhold its own."""
    newest = 0 if view.round is None else view.round.number
    numbers = range(max(1, newest - ROUNDS_BACK + 1), newest + 1)
    final = [number for number in numbers if view.state.rounds[number].phase is Phase.FINALIZED]
    return [PublishKeys(n) for n in final if view.facts_of(n).keys and not view.facts_of(n).keys_published]


def _verify(view: View) -> list[Action]:
    found = view.round
    if found is None or found.is_over or found.phase < Phase.REVEAL:
        return []
    facts = view.facts_of(found.number)
    actions: list[Action] = [
        FetchUpdate(found.number, reveal.index) for reveal in found.reveals if reveal.index not in facts.fetched
    ]
    mine = found.reveal_of(view.me)
    if mine is None or view.now > found.deadline:
        return actions
    return actions + (_score(view, found, mine.index, ready=not actions))


def _score(view: View, found: Round, index: int, *, ready: bool) -> list[Action]:
    """Commit or reveal what is due now: our word, or in the retry phases our word for the second panel."""
    retry = found.phase in (Phase.RETRY_COMMIT, Phase.RETRY_REVEAL)
    facts, commits = view.facts_of(found.number), found.retry_commits if retry else found.score_commits
    known = facts.retry_word if retry else facts.word
    prefix = "retry" if retry else "scores"
    if found.phase in (Phase.SCORE_COMMIT, Phase.RETRY_COMMIT) and index not in commits:
        if retry and not has_duty(found, index, view.params.max_verifiers):
            return []
        if known is None:
            return [ScoreUpdates(found.number, retry)] if ready else []
        word, salt = known
        commitment = score_commitment(view.scope(found.number), view.me, word=word, salt=salt)
        call = Call("RoundManager", "commitScores", (found.number, index, commitment))
        return [Submit(f"{found.number}:commit-{prefix}", call)]
    is_open = found.phase in (Phase.SCORE_REVEAL, Phase.RETRY_REVEAL)
    if is_open and index in commits and index not in found.words(retry=retry) and known is not None:
        word, salt = known
        call = Call("RoundManager", "revealScores", (found.number, index, word, salt))
        return [Submit(f"{found.number}:reveal-{prefix}", call)]
    return []


def assigned_to(found: Round, verifier_index: int, max_verifiers: int, *, retry: bool = False) -> list[int]:
    """Indices of the updates this verifier scores, in the order of its word's fields."""
    n = len(found.reveals)
    return assigned_updates(found.seed, n, verifier_index, verifiers_per_update(n, max_verifiers), retry=retry)


def has_duty(found: Round, verifier_index: int, max_verifiers: int) -> bool:
    """Whether the first panel left an update of our second window Unscored: then its score is our duty.

    What was Unscored once counts, also after it was tried again: the fault is proven later.
    """
    return found.has_retry(max_verifiers) and any(
        index in found.left_unscored for index in assigned_to(found, verifier_index, max_verifiers, retry=True)
    )


def field_of(index: int, fetched: Mapping[int, tuple[Fetched, str]], raw_gain: int, novelty: int) -> int:
    """Field of one update: a sentinel where there is nothing valid, else its effective gain (ppm)."""
    outcome = fetched[index][0]
    if outcome is Fetched.MALFORMED:
        return MALFORMED
    if outcome is Fetched.UNAVAILABLE:
        return UNAVAILABLE
    return encode_gain(effective_gain(raw_gain, novelty))


def build_word(assigned: Sequence[int], fields: Mapping[int, int]) -> int:
    """Score word of the assigned updates; those without a field are not scored."""
    return pack_word([fields.get(index, NOT_SCORED) for index in assigned])
