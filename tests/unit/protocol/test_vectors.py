"""The golden cases that forge replays too: the committed files are what the generator gives, and Python agrees with them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from incentives.rewards import (
    EmissionParams,
    attester_reward,
    emission,
    trainer_reward,
    treasury_reward,
    verifier_reward,
)
from incentives.scoring import TallyParams, Verdict, tally
from node.protocol.sortition import forward, inverse

VECTORS = Path(__file__).parents[2] / "vectors"


def cases(name: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / name).read_text(encoding="ascii"))["cases"]


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vectors_generate", VECTORS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "least"), [("ring.json", 50), ("tally.json", 150), ("commitments.json", 30), ("rewards.json", 30)]
)
def test_committed_files_are_what_the_generator_gives(generator: ModuleType, name: str, least: int):
    assert (VECTORS / name).read_text(encoding="ascii") == generator.files()[name]
    assert len(cases(name)) >= least


def test_ring():
    for case in cases("ring.json"):
        seed, n = bytes.fromhex(case["seed"][2:]), case["n"]
        assert [forward(seed, n, index) for index in range(n)] == case["forward"]
        assert [inverse(seed, n, position) for position in case["forward"]] == list(range(n))


def test_tally():
    seen = set()
    for case in cases("tally.json"):
        params = TallyParams(case["tau"], case["deltaMin"], case["harmMin"], case["gainCap"])
        result = tally(case["fields"], params)
        assert (int(result.verdict), result.gain, result.votes, result.weight) == (
            case["status"],
            case["gain"],
            case["votes"],
            case["weight"],
        )
        assert len(case["fields"]) == case["k"]
        seen.add(result.verdict)
    assert seen == set(Verdict)


def test_commitments(generator: ModuleType):
    found = cases("commitments.json")
    assert {case["kind"] for case in found} == {"update", "benchmark", "scores", "attestation", "seed"}
    assert len({frozenset(case) for case in found}) == 1  # every case has all keys, for vm.parseJson
    for case in found:
        assert "0x" + generator.expected_commitment(case).hex() == case["expected"]


def test_rewards():
    for case in cases("rewards.json"):
        emitted = emission(case["round"], EmissionParams(int(case["e0"]), case["halving"], int(case["wTarget"])))
        total = sum(case["weights"])
        trainers = [
            trainer_reward(
                emitted,
                weight=weight,
                sum_weight=total,
                weight_target=int(case["wTarget"]),
                is_sealed=case["sealed"],
            )
            for weight in case["weights"]
        ]
        verifiers = [
            verifier_reward(emitted, correct=correct, participants=case["n"], verifiers=case["k"])
            for correct in case["correct"]
        ]
        assert [str(amount) for amount in trainers] == case["trainerRewards"]
        assert [str(amount) for amount in verifiers] == case["verifierRewards"]
        assert str(attester_reward(emitted, attesters=case["attesters"])) == case["attesterReward"]
        assert str(treasury_reward(emitted)) == case["treasury"]
