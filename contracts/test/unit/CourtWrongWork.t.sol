// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../../src/libraries/CommitHash.sol";
import {Faults} from "../utils/Faults.sol";

/// @notice Faults of the work itself: verdicts that nobody overturned, and copies.
contract CourtWrongWorkTest is Faults {
    // --- verdicts -----------------------------------------------------------------------------------------------------

    function _withBadUpdates() private {
        _fieldOf[0] = 1; // Unavailable
        _fieldOf[1] = 2; // Malformed
        _fieldOf[2] = GAIN_OFFSET - 1000; // Harmful
        _fieldOf[3] = GAIN_OFFSET; // Rejected
    }

    function test_verdict_RevertWhen_theTimeToAppealIsNotOver() public {
        _withBadUpdates();
        uint256 round = _toAttest(N);
        vm.expectRevert(_notProvable(round));
        court.slashVerdict(round, 1);
        for (uint256 slot = 0; slot < N; ++slot) {
            _attest(round, slot);
        }
        _propose(round);
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        vm.expectRevert(_notProvable(round));
        court.slashVerdict(round, 1);
    }

    /// Voided before a Challenge: nobody could appeal.
    function test_verdict_RevertWhen_thereWasNoAppeal() public {
        _withBadUpdates();
        uint256 round = _toAttest(N);
        _expire(round);
        vm.expectRevert(_notProvable(round));
        court.slashVerdict(round, 1);
    }

    function test_verdict_costsOnceAndBurns() public {
        _withBadUpdates();
        uint256 round = _toFinalized(N);
        uint256 supply = token.totalSupply();
        uint256[3] memory amounts = [uint256(2e18), 20e18, 10e18];
        for (uint16 index = 0; index < 3; ++index) {
            uint8 fault = uint8(4 + index);
            vm.expectEmit(address(court));
            emit IRoundCourt.FaultPunished(round, members[index], fault, index, address(0), amounts[index]);
            vm.prank(prover);
            court.slashVerdict(round, index);
            assertTrue(court.isPunished(round, fault, index), "marked");
            vm.expectRevert(_punished(round, fault, index));
            court.slashVerdict(round, index);
        }
        assertEq(token.totalSupply(), supply - 32e18, "all of it burns");
        assertEq(token.balanceOf(prover), 0, "nobody gains");
    }

    function test_verdict_RevertWhen_itCostsNothing() public {
        _withBadUpdates();
        uint256 round = _toFinalized(N);
        vm.expectRevert(
            abi.encodeWithSelector(IRoundCourt.NoFaultyVerdict.selector, 3, IRoundManager.UpdateStatus.Rejected)
        );
        court.slashVerdict(round, 3);
        vm.expectRevert(
            abi.encodeWithSelector(IRoundCourt.NoFaultyVerdict.selector, 4, IRoundManager.UpdateStatus.Accepted)
        );
        court.slashVerdict(round, 4);
    }

    // --- copies -------------------------------------------------------------------------------------------------------

    function _salt(address trainer) private pure returns (bytes32) {
        return keccak256(abi.encode("salt of", trainer));
    }

    function _proof(address trainer) private pure returns (IRoundCourt.Opening memory) {
        return IRoundCourt.Opening({cid: keccak256(abi.encode(trainer)), samples: 7, salt: _salt(trainer)});
    }

    /// Members 5 and 2 commit to the same bytes, 5 first; each with its own CID and salt.
    function _toRevealWithACopy() private returns (uint256 round) {
        round = _open();
        uint8[8] memory order = [5, 0, 1, 2, 3, 4, 6, 7];
        for (uint256 i = 0; i < N; ++i) {
            address trainer = members[order[i]];
            IRoundCourt.Opening memory o = _proof(trainer);
            bytes32 content = _content(order[i]);
            vm.prank(trainer);
            rounds.commitUpdate(
                round,
                CommitHash.update(block.chainid, address(rounds), round, trainer, content, o.cid, o.samples, o.salt)
            );
        }
        rounds.advance(round);
        for (uint256 i = 0; i < N; ++i) {
            IRoundCourt.Opening memory o = _proof(members[i]);
            vm.prank(members[i]);
            rounds.revealUpdate(round, _content(i), o.cid, o.samples, o.salt);
        }
        _revealBenchmark(round);
        rounds.advance(round);
        _drawSeed(round);
    }

    function _content(uint256 i) private pure returns (bytes32) {
        return keccak256(abi.encode("content", i == 5 ? 2 : i));
    }

    function _scoreToChallenge(uint256 round) private {
        for (uint256 index = 0; index < N; ++index) {
            _commitScores(round, index, _word(round, index));
        }
        rounds.advance(round);
        for (uint256 index = 0; index < N; ++index) {
            _revealScores(round, index, _word(round, index));
        }
        rounds.advance(round);
        _settleAll(round, N);
        rounds.advance(round);
        for (uint256 slot = 0; slot < N; ++slot) {
            _attest(round, slot);
        }
        _propose(round);
    }

    function _prove(uint256 round, uint256 original, uint256 copy) private {
        court.proveCopy(
            round, members[original], members[copy], _content(2), _proof(members[original]), _proof(members[copy])
        );
    }

    function proveCopy(uint256 round, uint256 original, uint256 copy) external {
        vm.startPrank(prover);
        _prove(round, original, copy);
        vm.stopPrank();
    }

    function test_copy_RevertWhen_nothingCanBeForfeitedYet() public {
        uint256 round = _toRevealWithACopy();
        vm.expectRevert(_notProvable(round));
        this.proveCopy(round, 5, 2);
    }

    function test_copy_RevertWhen_theOpeningsAreNotTheirs() public {
        uint256 round = _toRevealWithACopy();
        _scoreToChallenge(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NotTheCopy.selector, 3, 0));
        this.proveCopy(round, 2, 5); // the original is no copy
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NotTheCopy.selector, 3, 3));
        this.proveCopy(round, 2, 2); // nor is anybody of itself
        vm.expectPartialRevert(IRoundCourt.CommitmentMismatch.selector);
        this.proveCopy(round, 5, 1); // other bytes
        vm.expectPartialRevert(IRoundCourt.CommitmentMismatch.selector);
        this.proveCopy(round, 1, 2);
        members.push(makeAddr("stranger"));
        vm.expectRevert(_noFault(members[N], IRoundManager.Entry.None, IRoundManager.Entry.Revealed));
        this.proveCopy(round, 5, N);
    }

    function test_copy_costs20PercentAndTheReward() public {
        uint256 round = _toRevealWithACopy();
        _scoreToChallenge(round);
        vm.expectEmit(address(rounds));
        emit IRoundManager.UpdateForfeited(round, 2, members[2]);
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, members[2], 10, 2, prover, 20e18);
        this.proveCopy(round, 5, 2);
        _assertPunished(round, 10, 2);
        vm.expectRevert(_punished(round, 10, 2));
        this.proveCopy(round, 5, 2);
        (IRoundManager.UpdateStatus status,, uint32 weight,, bool isForfeited) = rounds.resultOf(round, 2);
        assertEq(uint256(status), uint256(IRoundManager.UpdateStatus.Accepted), "it stays in the aggregate");
        assertTrue(isForfeited, "forfeited");
        assertGt(weight, 0, "and in the sum");
        _expire(round);
        assertTrue(rounds.earningsOf(round, 2).isForfeited, "no pay");
        assertEq(distributor.claim(round, 2), 0, "as trainer, verifier and attester");
        assertGt(distributor.claim(round, 5), 0, "the original is paid");
    }

    /// Between the deadline and `advance` a copy is still forfeited; once Finalized it costs stake only.
    function test_copy_isForfeitedUntilTheRoundEnds() public {
        uint256 round = _toRevealWithACopy();
        _scoreToChallenge(round);
        uint256 state = vm.snapshotState();
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        this.proveCopy(round, 5, 2);
        rounds.advance(round);
        assertEq(distributor.claim(round, 2), 0, "forfeited");
        vm.revertToState(state);
        _expire(round);
        this.proveCopy(round, 5, 2);
        assertEq(registry.stakeOf(members[2]), 80e18, "slashed");
        assertGt(distributor.claim(round, 2), 0, "but paid: the record of a Finalized round never changes");
    }

    function test_copy_isProvableInAVoidedRound() public {
        uint256 round = _toRevealWithACopy();
        _expire(round);
        _expire(round);
        _expire(round); // nothing settled
        this.proveCopy(round, 5, 2);
        assertEq(registry.stakeOf(members[2]), 80e18, "slashed");
    }
}
