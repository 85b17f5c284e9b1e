// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {IReleaseRegistry} from "../src/interfaces/IReleaseRegistry.sol";
import {IRevenueSplitter} from "../src/interfaces/IRevenueSplitter.sol";
import {IRoundManager} from "../src/interfaces/IRoundManager.sol";
import {Ownership} from "./utils/Ownership.sol";
import {FalseToken, FeeToken, PlainToken, ReentrantToken, RevertingToken, ShrinkingToken} from "./utils/Tokens.sol";

/// @notice One test for each threat against releases and their revenue.
contract ThreatsOwnershipTest is Ownership {
    uint256 private constant N = 4;
    address private _payer = makeAddr("payer");

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
        _deployOwnership();
        _release(N, 500_000, 500_000);
    }

    function _ready(uint256 first, uint256 second) private returns (IReleaseRegistry.Candidate memory) {
        uint256 round = _rolledRound(N);
        IReleaseRegistry.Score[] memory scores = _scores(first, second);
        _attestScores(round, scores, N);
        return _candidate(round, scores);
    }

    function _refuse(IReleaseRegistry.Candidate memory candidate, bytes4 refusal) private {
        vm.expectPartialRevert(refusal);
        vm.prank(timelock);
        releases.publish(candidate);
        assertEq(releases.latest(), 1, "the good one stays");
    }

    // --- releases that must not be ------------------------------------------------------------------------------------

    /// regressing release: whatever the members voted for, and however good it is elsewhere.
    function test_threat_regressingRelease() public {
        _refuse(_ready(1_000_000, 494_999), IReleaseRegistry.Regressed.selector);
    }

    /// regressing in small steps from an old parent: the parent is always the latest.
    function test_threat_weakParent() public {
        _publish(_ready(600_000, 600_000));
        IReleaseRegistry.Candidate memory candidate = _ready(500_000, 500_000);
        candidate.parent = 1;
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NotLatest.selector, 1, 2));
        vm.prank(timelock);
        releases.publish(candidate);
        candidate.parent = 0;
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.NotLatest.selector, 0, 2));
        vm.prank(timelock);
        releases.publish(candidate);
    }

    /// forged model hash: another model under an honest round's name.
    function test_threat_forgedModelHash() public {
        IReleaseRegistry.Candidate memory candidate = _ready(500_000, 500_000);
        candidate.modelHash = keccak256("a model with a back door");
        _refuse(candidate, IReleaseRegistry.NotTheRoundsModel.selector);
        (candidate.modelHash,) = _model(candidate.round);
        candidate.cid = keccak256("a file with a back door");
        _refuse(candidate, IReleaseRegistry.NotTheRoundsModel.selector);
    }

    /// release of a voided round, whose attesters had agreed on nothing.
    function test_threat_voidedRound() public {
        uint256 round = _toAttest(N);
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Voided, "voided");
        releases.rollCredits(round);
        IReleaseRegistry.Candidate memory candidate = _candidate(round, _scores(500_000, 500_000));
        vm.expectRevert(
            abi.encodeWithSelector(IReleaseRegistry.NotFinalized.selector, round, IRoundManager.Phase.Voided)
        );
        vm.prank(timelock);
        releases.publish(candidate);
    }

    /// unattested scores: the proposal says better ones than the attesters measured.
    function test_threat_unattestedScores() public {
        IReleaseRegistry.Candidate memory candidate = _ready(500_000, 500_000);
        candidate.scores[0].ppm = 900_000;
        _refuse(candidate, IReleaseRegistry.ScoresNotAttested.selector);
    }

    /// scores by arrivals: a third of the attesters, all of those who turned up, is no quorum.
    function test_threat_scoresByArrivals() public {
        uint256 round = _rolledRound(N);
        IReleaseRegistry.Score[] memory scores = _scores(900_000, 900_000);
        _attestScores(round, scores, 2);
        _refuse(_candidate(round, scores), IReleaseRegistry.ScoresNotAttested.selector);
    }

    /// scores of another round: votes are bound to their round.
    function test_threat_scoresOfAnotherRound() public {
        IReleaseRegistry.Candidate memory honest = _ready(500_000, 500_000);
        uint256 round = _rolledRound(N);
        bytes32 replayed = releases.hashOf(honest.round, honest.scores);
        for (uint256 slot = 0; slot < N; ++slot) {
            _attestScores(round, slot, replayed);
        }
        _refuse(_candidate(round, honest.scores), IReleaseRegistry.ScoresNotAttested.selector);
    }

    /// a benchmark left out: the one that got worse has no score.
    function test_threat_hiddenBenchmark() public {
        uint256 round = _rolledRound(N);
        IReleaseRegistry.Score[] memory scores = new IReleaseRegistry.Score[](1);
        scores[0] = _score(FIRST_BENCHMARK, 900_000);
        _attestScores(round, scores, N);
        _refuse(_candidate(round, scores), IReleaseRegistry.MissingScore.selector);
    }

    /// yanked parent: nothing is built on what was taken back.
    function test_threat_yankedParent() public {
        IReleaseRegistry.Candidate memory candidate = _ready(500_000, 500_000);
        vm.startPrank(timelock);
        releases.yank(1, "back door");
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.Yanked.selector, 1));
        releases.publish(candidate);
        vm.stopPrank();
    }

    // --- shares -------------------------------------------------------------------------------------------------------

    /// claims out of order: a rival claims a later round for a member first; its share of the earlier release stays.
    function test_threat_claimsOutOfOrder() public {
        uint256 first = _toFinalized(N);
        uint256 second = _toFinalized(N);
        vm.startPrank(makeAddr("rival"));
        distributor.claim(second, 0);
        distributor.claim(first, 0);
        vm.stopPrank();
        _claimAll(first);
        releases.rollCredits(first);
        IReleaseRegistry.Score[] memory scores = _scores(500_000, 500_000);
        _attestScores(first, scores, N);
        uint32 release = _publish(_candidate(first, scores));
        (uint256 credit, uint256 total) = splitter.shareOf(release, members[0]);
        uint256 others = 0;
        for (uint256 i = 1; i < N; ++i) {
            (uint256 other,) = splitter.shareOf(release, members[i]);
            others += other;
        }
        assertGt(credit, 0, "it has its share");
        assertEq(credit + others, total, "and all shares are 1");
    }

    /// claims after the release: there are none to make, so nobody is diluted.
    function test_threat_dilutionByLateClaims() public {
        uint256 round = _toFinalized(N);
        for (uint16 index = 0; index + 1 < N; ++index) {
            distributor.claim(round, index);
        }
        vm.expectRevert(abi.encodeWithSelector(IReleaseRegistry.ClaimsMissing.selector, round));
        releases.rollCredits(round);
    }

    // --- malicious tokens ---------------------------------------------------------------------------------------------

    function _deposit(PlainToken currency, uint256 amount) private returns (uint256) {
        currency.mint(_payer, amount);
        vm.startPrank(_payer);
        currency.approve(address(splitter), type(uint256).max);
        uint256 arrived = splitter.deposit(1, currency, amount);
        vm.stopPrank();
        return arrived;
    }

    /// re-entrant: neither `deposit` nor `claim` lets a token back in, for itself or for an honest token.
    function test_threat_reentrantToken() public {
        PlainToken honest = new PlainToken();
        _deposit(honest, 1000);
        ReentrantToken evil = new ReentrantToken();
        _deposit(evil, 1000);
        bytes[4] memory attacks = [
            abi.encodeCall(splitter.claim, (1, evil, members[0])),
            abi.encodeCall(splitter.claim, (1, honest, members[0])),
            abi.encodeCall(splitter.deposit, (1, evil, 1)),
            abi.encodeCall(splitter.deposit, (1, honest, 0))
        ];
        for (uint256 i = 0; i < 4; ++i) {
            evil.mint(address(evil), 1); // what it deposits in turn
            evil.arm(splitter, attacks[i]);
            vm.prank(_payer);
            evil.approve(address(splitter), 100);
            uint256 state = vm.snapshotState();
            if (splitter.claimable(1, evil, members[1]) != 0) splitter.claim(1, evil, members[1]);
            _assertRefused(evil, 1);
            vm.revertToState(state);
            evil.arm(splitter, "");
            evil.mint(_payer, 10);
            evil.arm(splitter, attacks[i]);
            vm.prank(_payer);
            assertEq(splitter.deposit(1, evil, 10), 10, "counted once");
            _assertRefused(evil, i + 1);
            evil.arm(splitter, "");
        }
        assertEq(splitter.paidOf(1, honest, members[0]), 0, "the honest token was left alone");
        assertEq(splitter.depositedOf(1, evil), 1040, "each deposit once");
    }

    function _assertRefused(ReentrantToken evil, uint256 least) private view {
        assertGe(evil.attempts(), least, "it tried");
        assertEq(evil.successes(), 0, "in vain");
        assertEq(
            bytes4(evil.lastRefusal()),
            ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector,
            "because of the guard"
        );
    }

    /// fee-taking: what arrived counts, so the last to claim is paid like the first.
    function test_threat_feeTakingToken() public {
        FeeToken fee = new FeeToken();
        assertEq(_deposit(fee, 10_000), 9900, "less the fee");
        uint256 paid = 0;
        for (uint256 i = 0; i < N; ++i) {
            paid += splitter.claim(1, fee, members[i]);
        }
        assertLe(paid, 9900, "I16");
        assertEq(fee.balanceOf(address(splitter)), 9900 - paid, "covered");
    }

    /// a token that takes more than it brings: nothing is booked.
    function test_threat_shrinkingToken() public {
        ShrinkingToken shrinking = new ShrinkingToken();
        shrinking.mint(address(splitter), 100);
        shrinking.mint(_payer, 1000);
        vm.startPrank(_payer);
        shrinking.approve(address(splitter), 1000);
        vm.expectRevert(abi.encodeWithSelector(IRevenueSplitter.NothingArrived.selector, shrinking, 1000));
        splitter.deposit(1, shrinking, 1000);
        vm.stopPrank();
    }

    /// reverting: claims of that token fail and stay due; other tokens do not notice.
    function test_threat_revertingToken() public {
        RevertingToken evil = new RevertingToken();
        PlainToken honest = new PlainToken();
        _deposit(evil, 1000);
        _deposit(honest, 1000);
        evil.breakIt();
        uint256 due = splitter.claimable(1, evil, members[0]);
        vm.expectRevert(RevertingToken.Frozen.selector);
        splitter.claim(1, evil, members[0]);
        assertEq(splitter.claimable(1, evil, members[0]), due, "stays due");
        assertGt(splitter.claim(1, honest, members[0]), 0, "the other token works");
    }

    /// returning false: as good as a revert.
    function test_threat_falseToken() public {
        FalseToken evil = new FalseToken();
        _deposit(evil, 1000);
        evil.breakIt();
        uint256 due = splitter.claimable(1, evil, members[0]);
        bytes memory refusal = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, evil);
        vm.expectRevert(refusal);
        splitter.claim(1, evil, members[0]);
        assertEq(splitter.claimable(1, evil, members[0]), due, "stays due");
        vm.expectRevert(refusal);
        vm.prank(_payer);
        splitter.deposit(1, evil, 1);
        assertEq(splitter.depositedOf(1, evil), 1000, "nothing was booked");
    }

    /// no token at all at that address.
    function test_threat_noToken() public {
        vm.expectRevert();
        splitter.deposit(1, IERC20(makeAddr("nobody")), 1);
    }

    /// donation: raises nobody's payout and blocks nobody's.
    function test_threat_donation() public {
        PlainToken currency = new PlainToken();
        _deposit(currency, 1000);
        uint256 due = splitter.claimable(1, currency, members[0]);
        currency.mint(address(splitter), 1_000_000);
        assertEq(splitter.claim(1, currency, members[0]), due, "as before");
    }

    /// rounding: dust deposits and claims in any number never pay a unit too much.
    function test_threat_rounding() public {
        PlainToken currency = new PlainToken();
        uint256 paid = 0;
        for (uint256 i = 1; i <= 50; ++i) {
            _deposit(currency, 1);
            for (uint256 m = 0; m < N; ++m) {
                if (splitter.claimable(1, currency, members[m]) != 0) paid += splitter.claim(1, currency, members[m]);
            }
            assertLe(paid, i, "I16");
        }
        assertLt(50 - paid, N, "and almost all of it");
    }
}
