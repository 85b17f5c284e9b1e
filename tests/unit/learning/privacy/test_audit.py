"""The audit: what it stops and what it lets pass, canaries, extraction, and secrets found without repeating them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from learning.errors import DataError
from learning.local_training import clipped_update, fit
from learning.models.encoder import Checkpoint, Encoder
from learning.prepared_pairs import prepare_pairs
from learning.privacy.audit import Finding, Limits, Report, Verdict, judged, membership_findings
from learning.privacy.canaries import exposures, make_canaries
from learning.privacy.encoder_audit import Effort, EncoderAudit
from learning.privacy.extraction import extracted, extraction_finding
from learning.privacy.secrets import secret_rows, secrets_in
from learning.privacy.statistics import Estimate
from learning.spec import LearningSpec
from learning.tasks.code_search import Pair

DRAW = np.random.default_rng(3)
LIMITS = Limits()


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high)


def test_a_finding_fails_only_where_its_whole_interval_is_beyond_the_limit() -> None:
    assert judged("t", "AUC", estimate(0.75, 0.71, 0.8), 0.7).verdict is Verdict.FAILS
    assert judged("t", "AUC", estimate(0.75, 0.69, 0.8), 0.7).verdict is Verdict.PASSES


def test_a_report_fails_if_anything_does_and_says_where_nothing_was_judged() -> None:
    passes, fails = judged("a", "m", estimate(0, 0, 0), 1), judged("b", "m", estimate(2, 2, 2), 1)
    blank = Finding("c", "m", None, 1.0, Verdict.NOT_JUDGED)
    assert Report((passes, fails, blank)).verdict is Verdict.FAILS
    assert Report((passes, fails)).failures == [fails]
    assert Report((passes, blank)).verdict is Verdict.PASSES
    assert Report((blank,)).verdict is Verdict.NOT_JUDGED
    open_ended = judged("d", "m", estimate(1, -math.inf, math.inf), 1)
    assert json.loads(json.dumps(Report((open_ended,)).to_json()))["findings"][0]["estimate"]["low"] is None


def test_few_rows_are_not_judged() -> None:
    found = membership_findings("x", DRAW.normal(9, 1, 29), DRAW.normal(0, 1, 500), LIMITS)
    assert [one.verdict for one in found] == [Verdict.NOT_JUDGED]
    assert "29 members" in found[0].note
    assert {f.verdict for f in membership_findings("x", DRAW.normal(9, 1, 30), DRAW.normal(0, 1, 30), LIMITS)} == {
        Verdict.FAILS
    }


# --- canaries -------------------------------------------------------------------------------------------------------


def test_exposure_is_the_log_of_the_space_over_the_rank() -> None:
    space = np.arange(1023.0)
    own = np.array([5000.0, 511.5, -1.0])
    assert exposures(own, np.tile(space, (3, 1))) == pytest.approx([10.0, math.log2(1024 / 512.0), 0.0], abs=1e-6)
    assert exposures(np.zeros(1), np.zeros((1, 1023)))[0] == pytest.approx(1.0, abs=0.01)  # all alike: the middle


def test_a_canary_that_left_no_trace_has_the_exposure_of_chance() -> None:
    bits = exposures(DRAW.normal(size=4000), DRAW.normal(size=(4000, 255)))
    assert bits.mean() == pytest.approx(1 / math.log(2), abs=0.08)


def test_canaries_are_distinct_repeatable_and_have_the_form_of_their_alternatives() -> None:
    made = make_canaries(16, 50, 4)
    assert made == make_canaries(16, 50, 4) != make_canaries(16, 50, 5)
    codes = [pair.code for pair in made.planted] + list(made.alternatives)
    assert len({pair.query for pair in made.planted}) == 16
    assert len(set(codes)) == 66
    assert len({len(code) for code in codes}) == 1


# --- an encoder ----------------------------------------------------------------------------------------------------


@pytest.fixture
def sharp(tiny_folder: Path, spec: LearningSpec) -> tuple[Encoder, LearningSpec]:
    """A spec under which the tiny model learns by heart within seconds."""
    made = replace(spec, optimiser="adamw", learning_rate=0.05, epochs=24, batch_size=32, max_norm=1e3, lora_rank=4)
    return Encoder(tiny_folder, made, torch.device("cpu")), made


def trained(model: Encoder, parent: Checkpoint, rows: list[Pair], spec: LearningSpec) -> dict[str, np.ndarray]:
    fit(model, parent, prepare_pairs(model, rows, spec.precision), spec, seed=0)
    return clipped_update(model, parent, spec.max_norm)[0]


def test_an_update_that_learned_by_heart_is_stopped_and_a_gentle_one_passes(
    sharp: tuple[Encoder, LearningSpec], checkpoint: Checkpoint, library_pairs: list[Pair]
) -> None:
    model, spec = sharp
    members, others = library_pairs[:64], library_pairs[64:128]
    audit = EncoderAudit(model, checkpoint, members, others, LIMITS)
    heart = trained(model, checkpoint, members, spec)
    gentle = trained(model, checkpoint, members, replace(spec, epochs=1, learning_rate=1e-3))
    stopped, passed = (audit.report(update, spec, Effort()) for update in (heart, gentle))
    assert stopped.verdict is Verdict.FAILS
    assert passed.verdict is Verdict.PASSES
    by_name = {(one.test, one.measure): one for one in stopped.findings}
    drop = by_name["membership: loss drop", "AUC"]
    assert drop.verdict is Verdict.FAILS
    assert drop.estimate is not None
    assert drop.estimate.value > 0.8
    assert by_name["verbatim extraction", "share"].verdict is Verdict.NOT_APPLICABLE
    # Members and others changed places: what was learned is the other side's.
    swapped = EncoderAudit(model, checkpoint, others, members, LIMITS).membership(heart)
    assert all(one.verdict is Verdict.PASSES for one in swapped)
    assert swapped[2].estimate is not None
    assert swapped[2].estimate.value == pytest.approx(1 - drop.estimate.value)


def test_shadows_and_canaries_find_what_was_learned_by_heart(
    sharp: tuple[Encoder, LearningSpec], checkpoint: Checkpoint, library_pairs: list[Pair]
) -> None:
    model, spec = sharp
    spec = replace(spec, epochs=16)
    members, others = library_pairs[:40], library_pairs[64:104]
    audit = EncoderAudit(model, checkpoint, members, others, LIMITS)
    heart = trained(model, checkpoint, members, spec)
    found = audit.likelihood_ratio(heart, spec, Effort(shadows=4))
    assert found[0].estimate is not None
    assert found[0].estimate.value > 0.75
    planted = audit.canaries(spec, Effort(canaries=6, repeats=2))
    clean = audit.canaries(replace(spec, epochs=1, learning_rate=1e-6), Effort(canaries=6, repeats=2))
    assert planted.estimate is not None
    assert clean.estimate is not None
    assert planted.estimate.value > 3 > clean.estimate.value
    with pytest.raises(DataError, match="shadows"):
        audit.likelihood_ratio(heart, spec, Effort(shadows=3))


# --- extraction -----------------------------------------------------------------------------------------------------


def test_a_decoder_that_learned_by_heart_is_found_and_common_code_is_not_held_against_it() -> None:
    members = [[int(t) for t in DRAW.integers(0, 99, 60)] for _ in range(40)]
    others = [[int(t) for t in DRAW.integers(0, 99, 60)] for _ in range(40)]
    known = {tuple(row[:24]): row[24:48] for row in members}

    def by_heart(prompts, count):
        return [known.get(tuple(prompt), [0] * count)[:count] for prompt in prompts]

    assert extracted(members, by_heart) == [True] * 40
    assert extracted([members[0][:47]], by_heart) == []  # too short to be asked
    failed = extraction_finding(members, others, by_heart, LIMITS)
    assert failed.verdict is Verdict.FAILS
    assert extraction_finding(others, members, by_heart, LIMITS).verdict is Verdict.PASSES
    everybody = known | {tuple(row[:24]): row[24:48] for row in others}
    common = extraction_finding(members, others, lambda ps, n: [everybody[tuple(p)][:n] for p in ps], LIMITS)
    assert common.verdict is Verdict.PASSES
    assert extraction_finding(members[:9], others, by_heart, LIMITS).verdict is Verdict.NOT_JUDGED


# --- secrets ---------------------------------------------------------------------------------------------------------

A36, A40 = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6", "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3gH6j9K2"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f'KEY = "{"AKIA" + "IOSFODNN7QWERTZU"}"', "AWS"),
        (f"token = 'ghp_{A36}'", "GitHub"),
        (f"x = 'github_pat_{A40}'", "GitHub"),
        (f"load('AIza{A40[:35]}')", "Google"),
        (f"hf = 'hf_{A36}'", "Hugging Face"),
        (f"-----BEGIN RSA PRIVATE KEY-----\n{A40}{A40}", "private key"),
        (f"key = '-----BEGIN PRIVATE KEY-----\\n' '{A40}'", "private key"),
        ('db_password = "correct9horse"', "password"),
        ('headers = {"api_key": "k3yk3yk3y"}', "password"),
        ("url = 'https://admin:hunter22@db.internal/x'", "Basic Auth"),
        (f"slack = '{'xox' + 'b-123456789012-123456789012'}-{A36[:24]}'", "Slack"),
    ],
)
def test_common_secrets_are_found_by_kind_and_line(text: str, kind: str) -> None:
    found = secrets_in(f"def Func():\n    {text}\n")
    assert any(kind in name for name, _line in found), found
    assert {line for _name, line in found} == {2}


@pytest.mark.parametrize(
    "text",
    [
        "password = get_password()",
        'password = "changeme-example-1"',
        "def set_token(self, token): self.token = token",
        'api_key = "<your key 1234>"',
        "digest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
        "assert secret_rows == 'not a secret at all'",
        "https://user:password@example.com",
        "if data.startswith(b'-----BEGIN OPENSSH PRIVATE KEY-----'): return load(data)",
    ],
)
def test_ordinary_code_is_no_secret(text: str) -> None:
    assert secrets_in(text) == []


def test_rows_are_named_but_their_secrets_are_not_repeated() -> None:
    secret = 'password = "correct9horse"'
    pairs = [Pair("Adds.", "def Func(): return 1", "r", "a.py", "add"), Pair("Logs in.", secret, "r", "b.py", "login")]
    found = secret_rows(pairs)
    assert list(found) == [1]
    assert "r/b.py login" in found[1]
    assert "correct9horse" not in found[1]
