"""What an applicant finds out about itself: hardware, licences, and a scan that counts and tells nothing else."""

from __future__ import annotations

import fcntl

import pytest

from learning.tasks.code_search import Pair
from node.config import Config, NodeSection
from node.membership.shelf import is_running
from node.membership.survey import hardware, licence_of, statement

AWS = "AKIA" + "IOSFODNN7EXAMPLE"


def pair(text="adds two numbers", code="def Func(a):\n    return a", repository="mine"):
    return Pair(text, code, repository, "a.py", "f")


def measure(*pairs, public=(), names=("./mine",)):
    return statement(names, pairs, public)


def test_hardware_is_found():
    found = hardware("cpu", ["H100"], "at night only")
    assert found.processors > 0
    assert found.memory_bytes > 1 << 28
    assert found.system.startswith("Linux")
    assert (found.device, found.accelerators, found.note) == ("cpu", ("H100",), "at night only")


def test_licences_of_packages():
    assert licence_of("typer")[0] == "MIT"
    assert licence_of("numba")[0] == "BSD-3-Clause"
    assert licence_of("transformers")[0] == "Apache-2.0"
    assert licence_of("cpython-stdlib")[0] == "PSF-2.0"
    assert licence_of("no-such-package") == ("unknown", "")


def test_every_package_that_the_demo_deals_out_has_a_licence_that_its_guideline_takes():
    from deploy.demo import GUIDELINE
    from learning.sources import installed
    from node.membership.terms import Terms, is_licence_allowed
    from node.protocol.guideline import Guideline

    terms = Terms.of(Guideline.parse(GUIDELINE.read_bytes()))
    names = [repository.name for hand in installed.assign(8, 0) for repository in hand]
    assert [name for name in names if not is_licence_allowed(licence_of(name)[0], terms.licences)] == []


def test_rows_are_counted_by_source_and_a_folder_is_ones_own():
    found = measure(pair(), pair("opens a window there", "def Func(b):\n    b.open()\n    return b.window"))
    assert [(one.name, one.licence, one.rows) for one in found.sources] == [("mine", "own", 2)]
    assert found.rows == 2
    assert found.length > 50
    assert (found.near_duplicates, found.secrets, found.personal) == (0, 0, 0)


def test_near_duplicates_of_itself_and_of_the_benchmark_are_counted():
    assert measure(pair(), pair()).near_duplicates == 1
    assert measure(pair(), public=[pair()]).near_duplicates == 1


@pytest.mark.parametrize(
    "text",
    [
        f"key = '{AWS}'", "-----BEGIN RSA PRIVATE KEY-----", "token = 'ghp_" + "a" * 36 + "'", "password = 'hunter2hunter2'",
        "API_KEY='0123456789abcdef'", "xoxb-1234567890-abc", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl",
    ],
)  # fmt: skip
def test_secrets_are_found(text):
    assert measure(pair(code=text)).secrets == 1


@pytest.mark.parametrize("text", ["ask jane.doe@acme.com", "call +49 30 1234567", "pay DE89 3704 0044 0532 0130 00"])
def test_personal_data_are_found(text):
    assert measure(pair(code=text)).personal == 1


@pytest.mark.parametrize(
    "text",
    ["password = None", "token = get()", "x = 'AKIA'", "a @ b.T", "user@example.com", "DE88370400440532013000", "1 + 49 - 30",
     "@decorator.com"],
)  # fmt: skip
def test_what_looks_like_it_but_is_none(text):
    found = measure(pair(code=text))
    assert (found.secrets, found.personal) == (0, 0)


def test_a_folder_is_busy_while_somebody_holds_its_lock(tmp_path):
    config = Config(node=NodeSection(data=tmp_path))
    assert not is_running(config)
    (tmp_path / "ipfs").mkdir()
    with (tmp_path / "ipfs" / "host.lock").open("wb") as lock:
        assert not is_running(config)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_running(config)
        assert not is_running(config, "p2p")
    assert not is_running(config)
