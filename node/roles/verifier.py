"""The verifier: fetch and check every revealed update, score the k assigned ones, commit the word, reveal it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from incentives.scoring import MALFORMED, UNAVAILABLE, effective_gain, encode_gain, pack_word
from node.protocol.commitments import score_commitment
from node.protocol.sortition import assigned_updates, verifiers_per_update
from node.protocol.state import Round
from node.protocol.types import Call, Phase
from node.roles.actions import Action, FetchUpdate, ScoreUpdates, Submit
from node.roles.view import Fetched, View


def decide(view: View) -> list[Action]:
    """Actions of a verifier that are due now."""
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
    if found.phase is Phase.SCORE_COMMIT and mine.index not in found.score_commits:
        if facts.word is None:
            return actions or [ScoreUpdates(found.number)]
        word, salt = facts.word
        commitment = score_commitment(view.scope(found.number), view.me, word=word, salt=salt)
        call = Call("RoundManager", "commitScores", (found.number, mine.index, commitment))
        return [*actions, Submit(f"{found.number}:commit-scores", call)]
    is_due = found.phase is Phase.SCORE_REVEAL and mine.index in found.score_commits
    if is_due and mine.index not in found.score_words and facts.word is not None:
        word, salt = facts.word
        call = Call("RoundManager", "revealScores", (found.number, mine.index, word, salt))
        return [*actions, Submit(f"{found.number}:reveal-scores", call)]
    return actions


def assigned_to(found: Round, verifier_index: int, max_verifiers: int) -> list[int]:
    """Indices of the updates this verifier scores, in the order of its word's fields."""
    n = len(found.reveals)
    return assigned_updates(found.seed, n, verifier_index, verifiers_per_update(n, max_verifiers))


def build_word(
    assigned: Sequence[int],
    fetched: Mapping[int, tuple[Fetched, str]],
    raw_gains: Mapping[int, int],
    novelty: Mapping[int, int],
) -> int:
    """Score word of the assigned updates: a sentinel where there is nothing valid, else the effective gain."""
    fields = []
    for index in assigned:
        outcome = fetched[index][0]
        if outcome is Fetched.MALFORMED:
            fields.append(MALFORMED)
        elif outcome is Fetched.UNAVAILABLE:
            fields.append(UNAVAILABLE)
        else:
            fields.append(encode_gain(effective_gain(raw_gains[index], novelty[index])))
    return pack_word(fields)
