"""The bench on a small project with real forge: what is proven before mutants count, and that the source is never written to."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from node.protocol.errors import SetupError
from tools.contracts import bench as benches
from tools.contracts import mutate
from tools.contracts.bench import Bench, is_blinded
from tools.contracts.campaign import load_target, read_records
from tools.contracts.mutate import Benches, Campaign
from tools.contracts.solidity import CONTRACTS

pytestmark = pytest.mark.slow

HEAD = "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.34;\n"
ADDER = (
    HEAD
    + """contract Adder {
    function add(uint256 a, uint256 b) external pure returns (uint256) {
        uint256 sum = a + b;
        if (sum > 100) return 100;
        return sum;
    }
}
"""
)
TEST = (
    HEAD
    + """import {Adder} from "../src/Adder.sol";
contract AdderTest {
    Adder private _adder = new Adder();
    function test_adds() external view { require(_adder.add(2, 3) == 5); }
    function test_isCapped() external view { require(_adder.add(90, 30) == 100); }
}
"""
)
OTHER = (
    HEAD
    + 'import {Adder} from "../src/Adder.sol";\ncontract OtherTest { function test_makes() external { new Adder(); } }\n'
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "contracts"
    for name in ("src", "test", "tools"):
        (folder / name).mkdir(parents=True)
    for name in ("node_modules", ".bin"):
        (folder / name).symlink_to(CONTRACTS / name)
    (folder / "tools" / "solc").symlink_to(CONTRACTS / "tools" / "solc")
    (folder / "tools" / "mutation.toml").write_text("never = []\n")
    (folder / "tools" / "equivalent.toml").write_text("")
    shutil.copy(CONTRACTS / "foundry.toml", folder)
    (folder / "src" / "Adder.sol").write_text(ADDER)
    (folder / "test" / "Adder.t.sol").write_text(TEST)
    (folder / "test" / "Other.t.sol").write_text(OTHER)
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("[st][re][cs]*/**/*.sol")}


def campaign_of(project: Path, tmp_path: Path, *flags: str) -> Campaign:
    options = mutate.parse(["Adder", "--out", str(tmp_path / "mutation.json"), *flags])
    return Campaign(load_target("Adder", project), options, Console(quiet=True), project)


def test_a_campaign_kills_what_the_tests_see_and_lists_what_they_do_not(project, tmp_path):
    before = everything(project)
    record = campaign_of(project, tmp_path, "--jobs", "2").run()
    assert everything(project) == before
    survivors = {
        (one.mutant.original, one.mutant.mutated) for one in record.results.values() if one.outcome == "survived"
    }
    assert survivors == {(">", ">="), ("100", "99"), ("100", "101")}  # all at the boundary, which no test tries
    assert record.count("killed") == 6
    assert all(
        one.by.startswith("test/Adder.t.sol:AdderTest") for one in record.results.values() if one.outcome == "killed"
    )
    assert read_records(tmp_path / "mutation.json") == {"Adder": record}


def test_a_second_run_tries_only_what_is_open(project, tmp_path, monkeypatch):
    campaign_of(project, tmp_path, "--sample", "3").run()
    path = tmp_path / "mutation.json"
    document = json.loads(path.read_text())
    dropped = document["contracts"]["Adder"]["results"].pop()
    path.write_text(json.dumps(document))
    tried = []
    monkeypatch.setattr(Benches, "prove", lambda *_: None)
    judge = Benches.judge
    monkeypatch.setattr(Benches, "judge", lambda self, file, text: tried.append(text) or judge(self, file, text))
    record = campaign_of(project, tmp_path, "--sample", "3").run()
    assert len(tried) == 1
    assert dropped["id"] in record.results
    assert len(record.results) == 3


def test_tests_that_fail_already_stop_the_campaign(project, tmp_path):
    (project / "src" / "Adder.sol").write_text(ADDER.replace("a + b", "a * b"))
    with pytest.raises(SetupError, match=r"do not pass on the unchanged source, before any change.*test_adds"):
        campaign_of(project, tmp_path).run()


def test_every_stage_must_pass_before_it_judges(project, tmp_path):
    (project / "test" / "Other.t.sol").write_text(OTHER.replace("new Adder();", "revert();"))
    with pytest.raises(SetupError, match=r"do not pass on the unchanged source, before any change.*test_makes"):
        campaign_of(project, tmp_path).run()  # at the first survivor of the contract's own tests


def test_a_canary_that_nobody_notices_stops_the_campaign(project, tmp_path):
    (project / "test" / "Adder.t.sol").write_text(OTHER)  # never calls it
    with pytest.raises(SetupError, match=r"No test noticed that every function of src/Adder\.sol reverts"):
        campaign_of(project, tmp_path).run()


def test_a_mutant_that_hangs_is_stopped_and_the_copy_is_as_before(project, tmp_path):
    bench = Bench(tmp_path / "bench", ["test/Adder.t.sol"], 90.0, project)
    assert bench.run().outcome == "survived"
    before = bench.read("src/Adder.sol")
    bench.timeout = 0.05
    assert bench.try_with("src/Adder.sol", before + b"\n").outcome == "timeout"
    assert bench.read("src/Adder.sol") == before
    bench.timeout = 90.0
    assert bench.run().outcome == "survived"


def test_a_build_killed_in_its_middle_leaves_nothing_that_judges_the_next(project, tmp_path):
    """Whenever the kill comes: the mutant's code never stands under the unchanged source's name, nor the reverse."""
    bench = Bench(tmp_path / "bench", ["test/Adder.t.sol"], 90.0, project)
    whole = bench.run().seconds
    source = bench.read("src/Adder.sol")
    wrong = source.replace(b"a + b", b"a - b")
    for part in (0.3, 0.6, 0.9):
        bench.timeout = whole * part
        if bench.try_with("src/Adder.sol", wrong).outcome == "timeout":
            assert not [folder for folder in ("out", "cache") if (bench.path / folder).exists()]
        bench.timeout = 90.0
        assert bench.run().outcome == "survived"
        assert bench.try_with("src/Adder.sol", wrong).outcome == "killed"
        assert bench.run().outcome == "survived"


def test_what_a_killed_build_left_is_thrown_away(project, tmp_path):
    """The worst case, made by hand: code of the mutant, a cache that calls it the unchanged source's."""
    bench = Bench(tmp_path / "bench", ["test/Adder.t.sol"], 90.0, project)
    source = bench.read("src/Adder.sol")
    assert bench.run().outcome == "survived"
    cache = (bench.path / "cache" / "solidity-files-cache.json").read_bytes()
    bench.write("src/Adder.sol", source.replace(b"a + b", b"a - b"))
    assert bench.run().outcome == "killed"
    bench.write("src/Adder.sol", source)
    (bench.path / "cache" / "solidity-files-cache.json").write_bytes(cache)
    assert bench.run().outcome == "killed"  # forge believes the cache: nothing is wrong with this source
    bench.timeout = 0.05
    assert bench.run().outcome == "timeout"
    bench.timeout = 90.0
    assert bench.run().outcome == "survived"


def test_stopping_ends_the_forge_that_runs(project, tmp_path):
    bench = Bench(tmp_path / "bench", ["test/Adder.t.sol"], 90.0, project)
    ended: list[str] = []

    def run() -> None:
        try:
            ended.append(bench.run().outcome)
        except SetupError as error:
            ended.append(error.what)

    worker = threading.Thread(target=run)
    worker.start()
    while not benches._running and worker.is_alive():
        time.sleep(0.01)
    benches.stop_all()
    worker.join(30)
    assert ended == ["forge test ended with status -9 and without a result."]
    assert not benches._running


LIMITS = (
    HEAD
    + """contract Limits {
    error Bad(uint256 low, uint256 high);
    constructor(uint256 low, uint256 high) {
        if (low == 0) revert Bad(low, high);
        if (high == 0) revert Bad(low, high);
    }
}
"""
)
LIMITS_TEST = (
    HEAD
    + """import {Limits} from "../src/Limits.sol";
interface Cheats { function expectRevert(bytes calldata reason) external; }
contract LimitsTest {
    Cheats private constant vm = Cheats(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);
    function test_refuses() external {
        vm.expectRevert(abi.encodeWithSelector(Limits.Bad.selector, 0, 1));
        new Limits(0, 1);
        vm.expectRevert(abi.encodeWithSelector(Limits.Bad.selector, 1, 0));
        new Limits(1, 0);
    }
}
"""
)


def test_deployments_that_must_revert_are_judged_by_linked_tests(project, tmp_path):
    """Linked at run time the test ends at its first expected revert (foundry#4589) and lets the second guard's mutants live."""
    (project / "src" / "Limits.sol").write_text(LIMITS)
    (project / "test" / "Limits.t.sol").write_text(LIMITS_TEST)
    second = LIMITS.replace("if (high == 0) revert Bad(low, high);", "{}").encode()
    made = Benches.make(tmp_path / "made", load_target("Limits", project), 90.0, project)
    outcomes = [stage.try_with("src/Limits.sol", second).outcome for stage in made.stages]
    assert outcomes == ["survived", "killed", "survived"]
    assert made.judge("src/Limits.sol", second).outcome == "killed"


@pytest.mark.parametrize(
    ("text", "blinded"),
    [
        ("vm.expectRevert(reason);\nnew Limits(0, 1);", True),
        ("vm.expectPartialRevert(reason);\nnew Limits{value: 1}(0, 1);", True),
        ("vm.expectRevert(reason);\nlimits.set(new uint256[](2));", False),
        ("limits = new Limits(0, 1);", False),
    ],
)
def test_files_that_expect_reverts_and_deploy_are_blinded(text, blinded):
    assert is_blinded(text) is blinded


def test_a_bench_holds_its_tests_and_helpers_and_links_what_tests_read(project, tmp_path):
    (project / "test" / "utils").mkdir()
    (project / "test" / "utils" / "Base.sol").write_text(HEAD)
    bench = Bench(tmp_path / "bench", ["test/Other.t.sol"], 9.0, project)
    assert sorted(path.name for path in (bench.path / "test").rglob("*.sol")) == ["Base.sol", "Other.t.sol"]
    assert (bench.path / ".." / "tests" / "vectors").is_symlink()
