"""Why an update got its verdict: the fields of its panel or jury, the median, who agrees."""

from __future__ import annotations

from dataclasses import dataclass

from incentives.scoring import (
    FIRST_NUMERIC,
    MALFORMED,
    UNAVAILABLE,
    Tally,
    TallyParams,
    Verdict,
    decode_gain,
    tally,
    word_field,
)
from node.explain.core import Explanation, Past, Source, Step, ppm, require_index, sources
from node.protocol.sortition import verifiers_of
from node.protocol.state import Dispute, Round
from node.protocol.types import ChainEvent, DisputeKind, Outcome, Scoring, UpdateStatus

FORMULA = (
    "fields: what the k verifiers wrote about the update; nothing counts as 0",
    "need = ⌊k/2⌋ + 1, of all k, whoever stayed away",
    "need fields say Malformed, or Unavailable: that is the verdict",
    "else gain = lower median of the numbers; votes = numbers within tau of it; fewer than need: Unscored",
    "gain ≥ deltaMin: Accepted, weight = min(gain, gainCap); gain ≤ −harmMin: Harmful; else Rejected",
)


@dataclass(frozen=True, slots=True)
class _Voice:
    """One field: who wrote it, and the event that says so (None: it stayed silent)."""

    who: str
    field: int
    event: ChainEvent | None


def tally_params(scoring: Scoring) -> TallyParams:
    """The same numbers, for `incentives.scoring`."""
    return TallyParams(scoring.tau, scoring.delta_min, scoring.harm_min, scoring.gain_cap)


def explain_score(past: Past, number: int, index: int) -> Explanation:
    """The verdict on update ``index`` of round ``number``."""
    found = past.round(number)
    trainer = require_index(found, index)
    verdict = found.settled.get(index)
    overturned = _overturning(past, found, index)
    is_retried = verdict.is_retried if verdict else False
    voices = _jury(past, found, overturned) if overturned else _panel(past, found, index, retry=is_retried)
    params = tally_params(past.scoring_of(found))
    result = tally([voice.field for voice in voices], params)
    settled_by = past.last("RoundManager", "UpdateSettled", round=number, index=index)
    last_word = past.last("RoundManager", "UpdateRescored", round=number, index=index) or settled_by
    recorded = None
    if verdict is not None:
        recorded = _text(
            Tally(Verdict(verdict.status), verdict.gain, result.votes if overturned else verdict.votes, verdict.weight)
        )
    return Explanation(
        what="score",
        id=f"{number}.{index}",
        title=f"Verdict on update {index} of round {number}, by {trainer}"
        + (f", as the jury of dispute {overturned.number} found" if overturned else ", on its second try" * is_retried),
        formula=FORMULA,
        steps=tuple(_steps(voices, result, params)),
        computed=_text(result),
        recorded=recorded,
        sources=_sources(voices, settled_by, last_word),
        notes=_notes(found, voices, verdict is None),
    )


def _sources(voices: list[_Voice], *verdicts: ChainEvent | None) -> tuple[Source, ...]:
    return sources(*(voice.event for voice in voices), *verdicts)


def _panel(past: Past, found: Round, index: int, *, retry: bool) -> list[_Voice]:
    if not found.seed:
        return []
    k = found.verifiers(past.terms.rounds.max_verifiers)
    revealed: dict[int, list[ChainEvent]] = {}
    for _, event in past.find("RoundManager", "ScoresRevealed", round=found.number):
        revealed.setdefault(event.arguments["index"], []).append(event)
    words = found.words(retry=retry)
    voices = []
    for verifier, place in verifiers_of(found.seed, len(found.reveals), index, k, retry=retry):
        said = revealed[verifier][-1 if retry else 0] if verifier in words else None
        who = found.reveals[verifier].trainer
        voices.append(_Voice(who, word_field(words.get(verifier, 0), place), said))
    return voices


def _overturning(past: Past, found: Round, index: int) -> Dispute | None:
    """The dispute whose jury replaced the verdict."""
    for number in sorted(found.disputes):
        dispute = past.state.disputes[number]
        if dispute.kind is DisputeKind.SCORE and dispute.index == index and dispute.outcome is Outcome.OVERTURNED:
            return dispute
    return None


def _jury(past: Past, found: Round, dispute: Dispute) -> list[_Voice]:
    said = {
        event.arguments["place"]: event for _, event in past.find("RoundCourt", "BallotRevealed", id=dispute.number)
    }
    jurors = dispute.jury(found, past.terms.rounds)
    return [
        _Voice(found.reveals[index].trainer, dispute.ballots.get(place, 0), said.get(place))
        for place, index in sorted(jurors.items())
    ]


def _steps(voices: list[_Voice], result: Tally, params: TallyParams) -> list[Step]:
    steps = [Step(voice.who, "its field", field_text(voice.field)) for voice in voices]
    gains = sorted(decode_gain(voice.field) for voice in voices if voice.field >= FIRST_NUMERIC)
    need = len(voices) // 2 + 1
    steps.append(Step("need", f"⌊{len(voices)}/2⌋ + 1", str(need)))
    if result.verdict in (Verdict.MALFORMED, Verdict.UNAVAILABLE):
        steps.append(Step("votes", f"fields that say {status_text(result.verdict)}", str(result.votes)))
    elif gains:
        shown = ", ".join(f"{gain:,}" for gain in gains).replace("-", "−")
        steps.append(Step("gain", f"lower median of {shown}", ppm(result.gain)))
        steps.append(Step("votes", f"gains within {ppm(params.tau)} of it", str(result.votes)))
    steps.append(Step("verdict", _why(result, params, need), status_text(result.verdict)))
    if result.verdict is Verdict.ACCEPTED:
        expression = f"min({result.gain:,}, {params.gain_cap:,})"
        steps.append(Step("weight", expression, ppm(result.weight)))
    return steps


def _why(result: Tally, params: TallyParams, need: int) -> str:
    if result.verdict is Verdict.UNSCORED:
        return f"{result.votes} votes < {need}"
    if result.verdict in (Verdict.MALFORMED, Verdict.UNAVAILABLE):
        return f"{result.votes} votes ≥ {need}"
    if result.verdict is Verdict.ACCEPTED:
        return f"{ppm(result.gain)} ≥ deltaMin {ppm(params.delta_min)}"
    if result.verdict is Verdict.HARMFUL:
        return f"{ppm(result.gain)} ≤ −{ppm(params.harm_min)}"
    return f"−{ppm(params.harm_min)} < {ppm(result.gain)} < deltaMin {ppm(params.delta_min)}"


def _text(result: Tally) -> str:
    return f"{status_text(result.verdict)}, gain {ppm(result.gain)}, {result.votes} votes, weight {ppm(result.weight)}"


def _notes(found: Round, voices: list[_Voice], is_pending: bool) -> tuple[str, ...]:  # noqa: FBT001 - a fact, no switch
    notes = []
    if is_pending:
        notes.append(f"No verdict is recorded: round {found.number} is {found.phase.name}.")
    if any(voice.event is None for voice in voices):
        notes.append("Who stayed silent counts as 0, so absence cannot lower the bar.")
    return tuple(notes)


def status_text(status: Verdict | UpdateStatus) -> str:
    """A verdict as the protocol writes it."""
    return status.name.capitalize()


def field_text(field: int) -> str:
    """A field of a score word for people."""
    if field == MALFORMED:
        return "Malformed"
    if field == UNAVAILABLE:
        return "Unavailable"
    return ppm(decode_gain(field)) if field >= FIRST_NUMERIC else "nothing"
