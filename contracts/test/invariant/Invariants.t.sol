// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ContributionToken} from "../../src/ContributionToken.sol";
import {MemberRegistry} from "../../src/MemberRegistry.sol";
import {RewardDistributor} from "../../src/RewardDistributor.sol";
import {RoundCourt} from "../../src/RoundCourt.sol";
import {RoundManager} from "../../src/RoundManager.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {TestBase} from "../utils/TestBase.sol";
import {Handler} from "./Handler.sol";

/// @notice What holds after any sequence of acts. The numbers are those of the design's list of invariants; I3, I10, I11,
/// I14 and I23 are asserted within each act, by the handler.
contract InvariantsTest is TestBase {
    Handler private _handler;
    ContributionToken private _token;
    MemberRegistry private _registry;
    RoundManager private _rounds;
    RoundCourt private _court;
    RewardDistributor private _distributor;

    function setUp() public {
        _handler = new Handler();
        (address t, address m, address r, address c, address d) = _handler.contracts();
        _token = ContributionToken(t);
        _registry = MemberRegistry(m);
        _rounds = RoundManager(r);
        _court = RoundCourt(c);
        _distributor = RewardDistributor(d);

        bytes4[] memory acts = new bytes4[](12);
        acts[0] = _handler.step.selector;
        acts[1] = _handler.diligentStep.selector;
        acts[2] = Handler.claim.selector;
        acts[3] = Handler.claimTreasury.selector;
        acts[4] = Handler.prove.selector;
        acts[5] = Handler.bond.selector;
        acts[6] = Handler.leaveOrJoin.selector;
        acts[7] = Handler.donate.selector;
        acts[8] = Handler.misbehave.selector;
        acts[9] = Handler.dispute.selector;
        acts[10] = Handler.judge.selector;
        acts[11] = Handler.proveByJury.selector;
        targetContract(address(_handler));
        targetSelector(FuzzSelector({addr: address(_handler), selectors: acts}));
    }

    // --- one campaign: every invariant after every act ------------------------------------------------------------------

    function invariant_I1_I2_I3_I4_I7_I8_I9_I10_I11_I12_I13_I20() public {
        _I1_supplyIsRewardsAndGrantsLessBurned();
        _I2_roundsMintAtMostTheirEmission();
        _I4_registryIsSolvent();
        _I13_burnedAndBountiesAreWhatWasSlashed();
        _theCourtHoldsItsBonds();
        _creditsAreWhatWasPaid();
        _I8_countersEqualCounts();
        _I9_ring();
        _I12_everyRoundEnds();
    }

    function _I12_everyRoundEnds() private {
        uint256 state = vm.snapshotState();
        assertLe(_handler.runOut(), 12, "I12");
        vm.revertToState(state);
    }

    // --- money --------------------------------------------------------------------------------------------------------

    function _I1_supplyIsRewardsAndGrantsLessBurned() private view {
        uint256 burned = _handler.slashed() - _handler.bounties() + _handler.burnedOnExit() + _handler.burnedBonds();
        uint256 minted = _handler.rewarded() + _handler.granted() + _handler.lent();
        assertEq(_token.totalSupply(), minted - burned, "I1");
        assertLe(_token.totalSupply(), _token.cap(), "I20");
    }

    function _I2_roundsMintAtMostTheirEmission() private view {
        uint256 total = 0;
        for (uint256 round = 1; round <= _rounds.currentRound(); ++round) {
            uint256 minted = _distributor.mintedIn(round);
            (IRoundManager.Phase phase,) = _rounds.phaseOf(round);
            assertLe(minted, _distributor.emission(round), "I2 emission");
            if (phase != IRoundManager.Phase.Finalized) assertEq(minted, 0, "I2 only when Finalized");
            total += minted;
        }
        assertEq(total, _handler.rewarded(), "I7 every claim once");
    }

    function _I4_registryIsSolvent() private view {
        uint256 stakes = 0;
        uint256 eligible = 0;
        for (uint256 i = 0; i < _handler.accountCount(); ++i) {
            address member = _handler.accountAt(i);
            stakes += _registry.stakeOf(member);
            assertLe(_registry.unvestedOf(member), _registry.stakeOf(member), "the grant is part of the stake");
            bool isActive = _registry.statusOf(member) == IMemberRegistry.Status.Active;
            if (isActive && _registry.stakeOf(member) >= _registry.minBond()) ++eligible;
        }
        assertEq(_registry.totalStake(), stakes, "sum of stakes");
        assertGe(_token.balanceOf(address(_registry)), stakes, "I4");
        assertEq(_registry.eligibleCount(), eligible, "eligible members are counted");
    }

    function _I13_burnedAndBountiesAreWhatWasSlashed() private view {
        assertLe(_handler.bounties() * 2, _handler.slashed(), "I13");
    }

    /// I13 of the court: it holds every bond of a dispute that has not ended.
    function _theCourtHoldsItsBonds() private view {
        uint256 open = 0;
        for (uint256 id = 1; id <= _court.disputeCount(); ++id) {
            if (_court.disputeOf(id).outcome == IRoundCourt.Outcome.None) ++open;
        }
        assertEq(_court.totalBonds(), open * _court.params().bond, "bonds of open disputes");
        assertGe(_token.balanceOf(address(_court)), _court.totalBonds(), "I13 held");
    }

    function _creditsAreWhatWasPaid() private view {
        uint256 credits = 0;
        for (uint256 i = 0; i < _handler.accountCount(); ++i) {
            credits += _distributor.creditAt(_handler.accountAt(i), type(uint256).max);
        }
        uint256 treasury = 0;
        for (uint256 round = 1; round <= _rounds.currentRound(); ++round) {
            if (_distributor.isTreasuryClaimed(round)) treasury += _distributor.emission(round) / 20;
        }
        assertEq(credits + treasury, _handler.rewarded(), "no reward without its credit");
    }

    // --- the ring -----------------------------------------------------------------------------------------------------

    function _I8_countersEqualCounts() private view {
        uint256 round = _rounds.currentRound();
        IRoundManager.Round memory r = _rounds.roundOf(round);
        if (r.seed == 0) return;
        uint256 settled = 0;
        uint256 accepted = 0;
        uint256 waiting = 0;
        uint256 sumWeight = 0;
        for (uint256 index = 0; index < r.reveals; ++index) {
            (IRoundManager.UpdateStatus status,, uint32 weight, bool isRetried,) = _rounds.resultOf(round, index);
            if (status != IRoundManager.UpdateStatus.Pending) ++settled;
            if (status == IRoundManager.UpdateStatus.Accepted) ++accepted;
            if (status == IRoundManager.UpdateStatus.Unscored && !isRetried) ++waiting;
            sumWeight += weight;
        }
        assertEq(r.settled, settled, "I8 settled");
        assertEq(r.accepted, accepted, "I8 accepted");
        assertEq(r.sumWeight, sumWeight, "I8 weight");
        // A jury may find what no panel did, after this count has served.
        if (r.phase < IRoundManager.Phase.Challenge) assertEq(r.unscored, waiting, "I8 unscored");
        _I8_entries(round, r);
    }

    function _I8_entries(uint256 round, IRoundManager.Round memory r) private view {
        uint256[4] memory counts;
        for (uint256 index = 0; index < r.reveals; ++index) {
            (IRoundManager.Entry first,) = _rounds.scoresOf(round, index);
            (IRoundManager.Entry second,) = _rounds.retryScoresOf(round, index);
            if (first != IRoundManager.Entry.None) ++counts[0];
            if (first == IRoundManager.Entry.Revealed) ++counts[1];
            if (second != IRoundManager.Entry.None) ++counts[2];
            if (second == IRoundManager.Entry.Revealed) ++counts[3];
        }
        assertEq(r.scoreCommits, counts[0], "I8 commits");
        assertEq(r.scoreReveals, counts[1], "I8 reveals");
        assertEq(r.retryCommits, counts[2], "I8 retry commits");
        assertEq(r.retryReveals, counts[3], "I8 retry reveals");
    }

    function _I9_ring() private view {
        uint256 round = _rounds.currentRound();
        IRoundManager.Round memory r = _rounds.roundOf(round);
        if (r.seed == 0) return;
        uint256 n = r.reveals;
        uint256 most = _handler.PANEL();
        uint256 k = n - 1 < most ? n - 1 : most;
        uint256[] memory verifiers = new uint256[](n);
        for (uint256 index = 0; index < n; ++index) {
            for (uint256 other = 0; other < index; ++other) {
                assertTrue(_rounds.ownerOf(round, index) != _rounds.ownerOf(round, other), "I9 unique");
            }
            uint256 position = _rounds.positionOf(round, index);
            for (uint256 j = 0; j < k; ++j) {
                uint256 scored = _rounds.indexAt(round, (position + 1 + j) % n);
                assertTrue(scored != index, "I9 nobody scores itself");
                ++verifiers[scored];
            }
        }
        for (uint256 index = 0; index < n; ++index) {
            assertEq(verifiers[index], k, "I9 exactly k verifiers");
        }
        _I9_fieldsPaid(round, n, k);
    }

    /// I2, I9: whichever panel is paid for an update, never more than n·k fields.
    function _I9_fieldsPaid(uint256 round, uint256 n, uint256 k) private view {
        uint256 correct = 0;
        for (uint256 index = 0; index < n; ++index) {
            correct += _rounds.earningsOf(round, index).correct;
        }
        assertLe(correct, n * k, "I9 at most k fields an update");
    }

    // --- the handler is worth its name --------------------------------------------------------------------------------

    /// Random acts reach every kind of outcome: none of the above holds for want of trying.
    function test_handlerReachesEveryOutcome() public {
        for (uint256 i = 0; i < 150; ++i) {
            uint256 a = uint256(keccak256(abi.encode(i, 1)));
            uint256 b = uint256(keccak256(abi.encode(i, 2)));
            uint256 c = uint256(keccak256(abi.encode(i, 3)));
            _handler.step(a, b, c);
            _handler.step(b, c, a);
            _handler.step(c, a, b);
            _handler.claim(b, c);
            _handler.claimTreasury(c);
            _handler.prove(a, b, c);
            _handler.bond(b, a);
            _handler.leaveOrJoin(c, a);
            _handler.donate(c, b);
            _handler.misbehave(b, c);
            _handler.dispute(a, c);
            _handler.judge(b, c, a);
            _handler.proveByJury(a, b, c);
            _handler.proveByJury(b, a, c >> 8);
        }
        _handler.report();
        assertGt(_handler.finalized(), 0, "finalized");
        assertGt(_handler.voided(), 0, "voided");
        assertGt(_handler.claims(), 0, "claimed");
        assertGt(_handler.proofs(), 0, "proven");
        assertGt(_handler.slashed(), 0, "slashed");
        assertGt(_handler.retried(), 0, "retried");
        assertGt(_handler.disputes(), 0, "disputed");
        assertGt(_handler.overturned(), 0, "overturned");
        assertGt(_handler.upheld(), 0, "upheld");
        assertGt(_handler.undecided(), 0, "no majority");
        assertGt(_handler.lapsed(), 0, "lapsed");
        assertGt(_handler.bans(), 0, "banned");
        assertGt(_handler.refusals(), 0, "refused");
        assertGt(_handler.exits(), 0, "exits");
        assertGt(_handler.repins(), 0, "seeds pinned again");
    }
}
