"""Writes the golden cases that Python and Solidity both replay. Run it after a deliberate change of the protocol.

    python tests/vectors/generate.py

Nothing is random: numbers come from a counter through Keccak-256, so the files depend on this file and the pure code alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address

from incentives.ownership import entitled_down, least_score, score_quorum
from incentives.rewards import (
    CWT,
    EmissionParams,
    attester_reward,
    emission,
    trainer_reward,
    treasury_reward,
    verifier_reward,
)
from incentives.scoring import MALFORMED, MAX_GAIN, MIN_GAIN, UNAVAILABLE, TallyParams, encode_gain, tally
from incentives.voting import CURVE_BOUND, voting_units
from node.protocol.commitments import (
    RoundScope,
    attestation,
    benchmark_commitment,
    ring_seed,
    score_commitment,
    update_commitment,
)
from node.protocol.hashing import keccak256
from node.protocol.sortition import forward
from node.protocol.types import Address
from node.sim.releases import scores_hash

Case = dict[str, Any]
HERE = Path(__file__).parent


class Counter:
    """Numbers by hashing a label and a counter."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._count = 0

    def bytes32(self) -> bytes:
        self._count += 1
        return keccak256(f"vectors/{self._label}/{self._count}".encode())

    def below(self, bound: int) -> int:
        return int.from_bytes(self.bytes32(), "big") % bound

    def between(self, least: int, most: int) -> int:
        return least + self.below(most - least + 1)

    def address(self) -> Address:
        return Address(to_checksum_address(self.bytes32()[-20:]))


# --- ring -------------------------------------------------------------------------------------------------------------


def ring_cases() -> Iterator[Case]:
    counter = Counter("ring")
    sizes = [*range(2, 41), 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64]
    seeds = [counter.bytes32() for _ in sizes]
    for seed, n in [
        *zip(seeds, sizes, strict=True),
        (bytes(32), 5),
        (bytes(32), 64),
        (b"\xff" * 32, 5),
        (b"\xff" * 32, 64),
    ]:
        yield {"seed": _hex(seed), "n": n, "forward": [forward(seed, n, index) for index in range(n)]}


# --- tally ------------------------------------------------------------------------------------------------------------

USUAL = TallyParams(tau=300, delta_min=100, harm_min=1_000, gain_cap=20_000)


def tally_cases() -> Iterator[Case]:
    for fields in _edge_fields():
        yield _tally_case(fields, USUAL)
    yield from _edge_bounds()
    counter = Counter("tally")
    for number in range(140):
        k = number % 7 + 1
        centre = counter.between(-4_000, 25_000)
        spread = (100, 400, 2_000)[counter.below(3)]
        params = TallyParams(
            tau=counter.between(0, 600),
            delta_min=counter.between(1, 500),
            harm_min=counter.between(1, 3_000),
            gain_cap=counter.between(500, 30_000),
        )
        yield _tally_case([_drawn_field(counter, centre, spread) for _ in range(k)], params)


def _edge_fields() -> Iterator[list[int]]:
    g = encode_gain
    for k in range(1, 8):
        need = k // 2 + 1
        for sentinel in (MALFORMED, UNAVAILABLE):
            yield [sentinel] * need + [g(5_000)] * (k - need)  # exactly need
            yield [sentinel] * (need - 1) + [g(5_000)] * (k - need + 1)  # one short
            yield [sentinel] * (need - 1) + [0] * (k - need + 1)  # one short, nobody else
        yield [g(5_000)] * need + [0] * (k - need)  # absentees, exactly enough votes
        yield [g(5_000)] * (need - 1) + [0] * (k - need + 1)  # absentees, one vote short
        yield [0] * k
        yield [3] * k  # invalid fields count as not scored
        yield [15] * k
        yield [16] * k  # the least numeric field
    yield [MALFORMED] * 2 + [UNAVAILABLE] * 2  # neither reaches need
    yield [MALFORMED] * 3 + [UNAVAILABLE] * 3 + [g(5_000)]
    yield [g(MAX_GAIN)] * 7
    yield [g(MAX_GAIN + 1)] * 7  # clamped on encoding
    yield [g(MIN_GAIN - 1)] * 7
    yield [g(1_000), g(1_300), g(700)]  # exactly tau away on both sides
    yield [g(1_000), g(1_301), g(699)]  # one beyond
    yield [g(1_000), g(1_301)]  # even number: the lower median
    yield [g(1_000), g(1_300)]
    yield [g(500), g(500), g(9_000), g(9_000)]  # tie: the lower median has 2 of 4 votes
    yield [g(9_000), g(500), g(9_000), g(500), g(9_000)]
    yield [g(-5_000), g(-5_000), g(5_000)]
    yield [g(-150), g(150)]  # tau reaches across zero


def _edge_bounds() -> Iterator[Case]:
    for gain in (99, 100, 101, -999, -1_000, -1_001, 19_999, 20_000, 20_001, 0, 1, -1):
        yield _tally_case([encode_gain(gain)] * 5, USUAL)
    for tau in (0, 1):
        params = TallyParams(tau=tau, delta_min=1, harm_min=1, gain_cap=MAX_GAIN)
        yield _tally_case([encode_gain(gain) for gain in (10, 11, 12)], params)
        yield _tally_case([encode_gain(gain) for gain in (10, 10, 12)], params)


def _drawn_field(counter: Counter, centre: int, spread: int) -> int:
    kind = counter.below(20)
    if kind < 4:
        return (0, UNAVAILABLE, MALFORMED, counter.between(3, 15))[kind]
    if kind == 4:
        return encode_gain(counter.between(MIN_GAIN, MAX_GAIN))
    return encode_gain(centre + counter.between(-spread, spread))


def _tally_case(fields: Sequence[int], params: TallyParams) -> Case:
    result = tally(fields, params)
    return {
        "fields": list(fields),
        "k": len(fields),
        "tau": params.tau,
        "deltaMin": params.delta_min,
        "harmMin": params.harm_min,
        "gainCap": params.gain_cap,
        "status": int(result.verdict),
        "gain": result.gain,
        "votes": result.votes,
        "weight": result.weight,
    }


# --- commitments ------------------------------------------------------------------------------------------------------

KINDS = ("update", "benchmark", "scores", "attestation", "seed")


def commitment_cases() -> Iterator[Case]:
    counter = Counter("commitments")
    for number in range(40):
        kind = KINDS[number % len(KINDS)]
        is_extreme = number >= 35
        case: Case = {
            "kind": kind,
            "chainId": 2**53 - 1 if is_extreme else counter.between(1, 2**32),
            "roundManager": counter.address(),
            "round": 2**48 - 1 if is_extreme else counter.between(1, 10_000),
            "account": counter.address(),
            "contentHash": _hex(bytes(32)),
            "cid": _hex(bytes(32)),
            "samples": 0,
            "salt": _hex(bytes(32)),
            "word": _hex(bytes(32)),
            "secret": _hex(bytes(32)),
            "modelHash": _hex(bytes(32)),
            "blockHash": _hex(bytes(32)),
        }
        for name in _USED[kind]:
            case[name] = _drawn_argument(counter, name, is_extreme=is_extreme)
        yield {**case, "expected": _hex(expected_commitment(case))}


_USED = {
    "update": ("contentHash", "cid", "samples", "salt"),
    "benchmark": ("contentHash", "cid", "salt"),
    "scores": ("word", "salt"),
    "attestation": ("secret", "modelHash", "cid"),
    "seed": ("blockHash",),
}


def _drawn_argument(counter: Counter, name: str, *, is_extreme: bool) -> int | str:
    if name == "samples":
        return 2**32 - 1 if is_extreme else counter.below(100_000)
    if name == "word":
        return _hex(((1 << 140) - 1 if is_extreme else counter.below(1 << 140)).to_bytes(32, "big"))
    return _hex(counter.bytes32())


def expected_commitment(case: Case) -> bytes:
    """What one case's arguments hash to."""
    scope = RoundScope(case["chainId"], Address(case["roundManager"]), case["round"])
    account = Address(case["account"])
    content_hash, cid, salt, secret, model_hash, block_hash = (
        bytes.fromhex(case[name][2:]) for name in ("contentHash", "cid", "salt", "secret", "modelHash", "blockHash")
    )
    match case["kind"]:
        case "update":
            return update_commitment(
                scope, account, content_hash=content_hash, cid=cid, samples=case["samples"], salt=salt
            )
        case "benchmark":
            return benchmark_commitment(scope, account, content_hash=content_hash, cid=cid, salt=salt)
        case "scores":
            return score_commitment(scope, account, word=int(case["word"], 16), salt=salt)
        case "attestation":
            return attestation(scope.round, account, secret=secret, model_hash=model_hash, cid=cid)
        case _:
            return ring_seed(block_hash, scope.round, scope.round_manager)


# --- rewards ----------------------------------------------------------------------------------------------------------


def reward_cases() -> Iterator[Case]:
    yield reward_case(1, 10_000 * CWT, 500, True, [5_000] * 5, 20_000, [4] * 5)
    yield reward_case(1, 10_000 * CWT, 500, False, [5_000] * 5, 20_000, [4] * 5)
    yield reward_case(500, 10_000 * CWT, 500, True, [20_000, 0], 1, [1, 1])
    yield reward_case(501, 10_000 * CWT, 500, True, [20_000, 0], 1, [1, 0])
    yield reward_case(1_001, 10_000 * CWT, 500, True, [1, 0, 0], 20_000, [2, 2, 2])
    yield reward_case(500 * 64 + 1, 10_000 * CWT, 500, True, [100] * 3, 100, [2, 2, 2])
    yield reward_case(500 * 80 + 1, 10_000 * CWT, 500, True, [100] * 3, 100, [2, 2, 2])  # all is shifted out
    yield reward_case(1, 1, 1, True, [1] * 2, 1, [1, 1])  # everything rounds to nothing
    counter = Counter("rewards")
    for number in range(32):
        n = counter.between(2, 40)
        k = min(n - 1, 7)
        yield reward_case(
            counter.between(1, 3_000),
            counter.between(1, 10_000 * CWT),
            counter.between(1, 700),
            number % 3 > 0,
            [counter.below(3) and counter.between(100, 20_000) for _ in range(n)],
            counter.between(1, 300_000),
            [counter.between(0, k) for _ in range(n)],
        )


def reward_case(  # noqa: PLR0917 - a table of numbers
    round_number: int,
    e0: int,
    halving: int,
    is_sealed: bool,  # noqa: FBT001 - a table of numbers
    weights: list[int],
    target: int,
    correct: list[int],
) -> Case:
    n = len(weights)
    k, slots = min(n - 1, 7), min(n, 31)
    emitted = emission(round_number, EmissionParams(e0, halving, target))
    total = sum(weights)
    trainers = [
        trainer_reward(emitted, weight=weight, sum_weight=total, weight_target=target, is_sealed=is_sealed)
        for weight in weights
    ]
    verifiers = [verifier_reward(emitted, correct=count, participants=n, verifiers=k) for count in correct]
    return {
        "round": round_number,
        "e0": str(e0),
        "halving": halving,
        "sealed": is_sealed,
        "weights": weights,
        "wTarget": str(target),
        "n": n,
        "k": k,
        "correct": correct,
        "attesters": slots,
        "trainerRewards": [str(amount) for amount in trainers],
        "verifierRewards": [str(amount) for amount in verifiers],
        "attesterReward": str(attester_reward(emitted, attesters=slots)),
        "treasury": str(treasury_reward(emitted)),
    }


# --- voting -----------------------------------------------------------------------------------------------------------


def voting_cases() -> Iterator[Case]:
    cap, usual = 10_000_000 * CWT, 10_000 * CWT
    for t in (1, 2, 100, usual, cap):
        for x in (0, 1, t - 1, t, t + 1, t + 2, 4 * t - 1, 4 * t, 4 * t + 1, cap):
            yield _voting_case(x, t)
    yield _voting_case(CURVE_BOUND - 1, CURVE_BOUND - 1)
    yield _voting_case(CURVE_BOUND - 1, CURVE_BOUND - 2)
    yield _voting_case(CURVE_BOUND - 1, 1)
    counter = Counter("voting")
    for _ in range(40):
        t = counter.between(1, 10 ** counter.between(1, 24))
        yield _voting_case(counter.between(0, t * 10 ** counter.between(0, 6)), t)
    for _ in range(20):  # around perfect squares: 4·T·x = r² ± little
        t = counter.between(1, usual)
        x = t * counter.between(2, 1_000) ** 2
        yield from (_voting_case(x + offset, t) for offset in (-1, 0, 1))


def _voting_case(locked: int, linear_up_to: int) -> Case:
    units = voting_units(locked, linear_up_to)
    return {"linearUpTo": str(linear_up_to), "locked": str(locked), "units": str(units)}


# --- ownership --------------------------------------------------------------------------------------------------------


def ownership_cases() -> Iterator[Case]:
    yield ownership_case([1], [1, 1, 1], 0, 0, 0)
    yield ownership_case([1, 1, 1], [1] * 10, 500_000, 5_000, 3)  # dust
    yield ownership_case([0, 5, 0], [7], 5_000, 5_000, 1)  # exactly as much as may be lost
    yield ownership_case([3, 5], [2**256 - 1], 4_999, 5_000, 2)  # the largest deposit
    yield ownership_case([2**208 - 1], [2**160, 2**160], 1_000_000, 100_000, 31)
    counter = Counter("ownership")
    for number in range(31):
        yield ownership_case(
            [counter.below(5) and counter.between(1, 10_000_000 * CWT) for _ in range(counter.between(1, 12))] + [1],
            [counter.between(1, 10 ** (1 + number)) for _ in range(counter.between(1, 6))],
            counter.below(1_000_001),
            counter.below(100_001),
            number + 1,
        )


def ownership_case(
    credits_of: list[int], deposits: list[int], parent_score: int, max_regression: int, correct: int
) -> Case:
    total = sum(credits_of)
    cumulative = [sum(deposits[: place + 1]) for place in range(len(deposits))]
    name = keccak256(f"benchmark/{total}".encode())
    scores = ((name, parent_score), (b"\xff" * 32, max_regression))
    registry = Counter(f"registry/{total}").address()
    return {
        "credits": [str(credit) for credit in credits_of],
        "deposits": [str(amount) for amount in deposits],
        "entitled": [str(entitled_down(so_far, credit, total)) for so_far in cumulative for credit in credits_of],
        "parentScore": parent_score,
        "maxRegression": max_regression,
        "leastScore": least_score(parent_score, max_regression),
        "correct": correct,
        "quorum": score_quorum(correct),
        "benchmark": _hex(name),
        "registry": registry,
        "scoresHash": _hex(scores_hash(31_337, registry, correct, scores)),
    }


# --- files ------------------------------------------------------------------------------------------------------------


def files() -> dict[str, str]:
    """Name and exact text of every vector file."""
    return {
        "ring.json": _text(ring_cases()),
        "tally.json": _text(tally_cases()),
        "commitments.json": _text(commitment_cases()),
        "rewards.json": _text(reward_cases()),
        "voting.json": _text(voting_cases()),
        "ownership.json": _text(ownership_cases()),
    }


def _text(cases: Iterator[Case]) -> str:
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    return f'{{"cases":[\n{lines}\n]}}\n'


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text, encoding="ascii")
