// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../../src/libraries/CommitHash.sol";
import {ScoreSlots} from "../../src/libraries/ScoreSlots.sol";
import {Liars} from "../utils/Liars.sol";

/// @notice What mutation testing found that no other test of the RoundManager notices.
contract MutantsRoundManagerTest is Liars {
    uint256 private constant N = 8;
    /// How far apart two neighbours of a panel lie; 0: all say the same.
    uint256 private _spread;

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    function _word(uint256 round, uint256 index) internal view override returns (uint256 word) {
        word = super._word(round, index);
        uint256 k = _verifiers(rounds.roundOf(round).reveals);
        for (uint256 j = 0; j < k; ++j) {
            word += (_spread * j) << (20 * j);
        }
    }

    // --- updates ------------------------------------------------------------------------------------------------------

    function test_commit_hasNoIndexYet() public {
        uint256 round = _open();
        _commit(round, members[0]);
        _commit(round, members[1]);
        (, uint16 sequence, uint16 index,) = rounds.trainerOf(round, members[1]);
        assertEq(sequence, 1, "second to commit");
        assertEq(index, 0, "nothing revealed");
    }

    /// Both 208-bit ends, as the contract keeps them.
    function test_reveal_saysWhatWasCommittedAndWhatWasOpened() public {
        uint256 round = _toReveal(N);
        Opening memory o = _opening(round, members[0]);
        bytes32 wrong = CommitHash.update(
            block.chainid, address(rounds), round, members[0], o.contentHash, o.cid, o.samples + 1, o.salt
        );
        bytes32 committed = _updateCommitment(round, members[0]);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.CommitmentMismatch.selector, (committed >> 48) << 48, (wrong >> 48) << 48
            )
        );
        vm.prank(members[0]);
        rounds.revealUpdate(round, o.contentHash, o.cid, o.samples + 1, o.salt);
    }

    // --- scores -------------------------------------------------------------------------------------------------------

    function test_revealScores_saysWhatWasCommittedAndWhatWasOpened() public {
        uint256 round = _toScoreReveal(N);
        bytes32 salt = _scoreSalt(round, 0);
        bytes32[2] memory both = [
            CommitHash.scores(block.chainid, address(rounds), round, members[0], _word(round, 0), salt),
            CommitHash.scores(block.chainid, address(rounds), round, members[0], 1, salt)
        ];
        bytes memory refused = abi.encodeWithSelector(
            IRoundManager.CommitmentMismatch.selector,
            ScoreSlots.uncut(ScoreSlots.cut(both[0])),
            ScoreSlots.uncut(ScoreSlots.cut(both[1]))
        );
        vm.expectRevert(refused);
        vm.prank(members[0]);
        rounds.revealScores(round, 0, 1, salt);
    }

    function test_I10_revealScores_RevertWhen_outOfItsPhase() public {
        uint256 round = _toScoreCommit(N);
        _commitScores(round, 0, 0);
        bytes32 salt = _scoreSalt(round, 0);
        _expectWrongPhase(IRoundManager.Phase.ScoreCommit, IRoundManager.Phase.ScoreReveal);
        vm.prank(members[0]);
        rounds.revealScores(round, 0, 0, salt);
        _expire(round);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.DeadlinePassed.selector, deadline, deadline + 1));
        vm.prank(members[0]);
        rounds.revealScores(round, 0, 0, salt);
        rounds.advance(round);
        _expectWrongPhase(IRoundManager.Phase.Settle, IRoundManager.Phase.ScoreReveal);
        vm.prank(members[0]);
        rounds.revealScores(round, 0, 0, salt);
        _expectWrongPhase(IRoundManager.Phase.Settle, IRoundManager.Phase.ScoreCommit);
        vm.prank(members[1]);
        rounds.commitScores(round, 1, keccak256("too late"));
    }

    function _expectWrongPhase(IRoundManager.Phase actual, IRoundManager.Phase expected) private {
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.WrongPhase.selector, actual, expected));
    }

    /// No two of seven verifiers say the same; all agree within tau.
    function test_settle_countsAgreementWithinTau() public {
        _spread = 40;
        uint256 round = _toSettle(N);
        vm.recordLogs();
        _settle(round, 3);
        assertEq(vm.getRecordedLogs().length, 1, "settled");
        _assertVerdict(round, 3, IRoundManager.UpdateStatus.Accepted, "240 ppm apart");
        assertEq(rounds.roundOf(round).accepted, 1, "counted");
        _settleAll(round, N);
        for (uint256 index = 0; index < N; ++index) {
            assertEq(rounds.earningsOf(round, index).correct, 7, "within tau of the median, so paid");
        }
    }

    /// Every update has as many verifiers as the ring has others, up to seven.
    function test_panels_ofSmallRings() public {
        _admitMany(1);
        for (uint256 n = 3; n <= 9; ++n) {
            uint256 round = _toSettle(n);
            _settleAll(round, n);
            assertEq(rounds.earningsOf(round, 0).verifiers, n < 8 ? n - 1 : 7, "verifiers");
            assertEq(rounds.earningsOf(round, 0).correct, n < 8 ? n - 1 : 7, "fields that agree");
            assertEq(rounds.earningsOf(round, 0).attesters, n, "attesters");
            rounds.advance(round);
            _toProposal(round);
            _expire(round);
        }
    }

    // --- retry --------------------------------------------------------------------------------------------------------

    /// With one verifier each, a single second word decides, and is paid.
    function test_retry_aSingleWordIsPaid() public {
        IRoundManager.Params memory p = _defaults();
        p.maxVerifiers = 1;
        _deploy(p);
        delete members;
        _admitMany(3);
        _lie(1, 0, 1);
        uint256 round = _toSettle(3);
        _settleAll(round, 3);
        rounds.advance(round);
        _assertPhase(round, IRoundManager.Phase.RetryCommit, "retried");
        address second = _verifier(round, 1, 0, true);
        (,, uint16 index,) = rounds.trainerOf(round, second);
        assertEq(rounds.earningsOf(round, index).correct, 1, "the first word");
        _commitRetry(round, index, _retryWord(round, index));
        _expire(round);
        _revealRetry(round, index, _retryWord(round, index));
        rounds.advance(round);
        _settle(round, 1);
        _assertVerdict(round, 1, IRoundManager.UpdateStatus.Accepted, "found");
        assertEq(rounds.earningsOf(round, index).correct, 2, "both words");
    }

    // --- aggregate ----------------------------------------------------------------------------------------------------

    function test_attest_isTold() public {
        uint256 round = _toAttest(N);
        (bytes32 modelHash, bytes32 cid) = _model(round);
        address attester = _attester(round, 2);
        vm.expectEmit(address(rounds));
        emit IRoundManager.Attested(round, 2, attester, CommitHash.attestation(round, attester, SECRET, modelHash, cid));
        _attest(round, 2);
    }

    // --- hooks --------------------------------------------------------------------------------------------------------

    /// To the deadline that stands already: nothing changes, nothing is told.
    function test_extend_toTheSameMomentIsSilent() public {
        uint256 round = _toChallenge(N);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.recordLogs();
        vm.startPrank(address(court));
        rounds.extend(round, deadline);
        rounds.extend(round, deadline - 1);
        assertEq(vm.getRecordedLogs().length, 0, "no event");
        rounds.extend(round, deadline + 1);
        assertEq(vm.getRecordedLogs().length, 1, "later, it is told");
        vm.stopPrank();
    }
}
