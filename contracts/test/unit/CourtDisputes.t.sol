// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../../src/libraries/CommitHash.sol";
import {RingShuffle} from "../../src/libraries/RingShuffle.sol";
import {Disputes} from "../utils/Disputes.sol";

/// @notice A dispute up to its last ballot: who may, until when, and what silence costs.
contract CourtDisputesTest is Disputes {
    // --- opening ------------------------------------------------------------------------------------------------------

    function test_open_RevertWhen_notInChallenge() public {
        uint256 round = _toAttest(N);
        bytes memory refused = abi.encodeWithSelector(
            IRoundCourt.WrongPhase.selector, IRoundManager.Phase.Attest, IRoundManager.Phase.Challenge
        );
        vm.expectRevert(refused);
        court.disputeScore(round, 0);
        vm.expectRevert(refused);
        court.disputeAggregate(round);
        _toProposal(round);
        _expire(round);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongPhase.selector, IRoundManager.Phase.Finalized, IRoundManager.Phase.Challenge
            )
        );
        court.disputeScore(round, 0);
    }

    function test_open_RevertWhen_noBond() public {
        uint256 round = _toChallenge(N);
        vm.expectRevert();
        court.disputeScore(round, 0);
        _give(disputer, DISPUTE_BOND - 1);
        vm.startPrank(disputer);
        token.approve(address(court), DISPUTE_BOND);
        vm.expectRevert();
        court.disputeScore(round, 0);
        vm.stopPrank();
        assertEq(court.totalBonds(), 0, "none taken");
    }

    function test_open_RevertWhen_disputedAlreadyOrNotOnTheRing() public {
        uint256 round = _toChallenge(N);
        uint256 first = _disputeScore(disputer, round, 3);
        uint256 second = _disputeAggregate(disputer, round);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyDisputed.selector, round, first));
        court.disputeScore(round, 3);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyDisputed.selector, round, second));
        court.disputeAggregate(round);
        vm.expectRevert(abi.encodeWithSelector(RingShuffle.OutsideRing.selector, N, N));
        court.disputeScore(round, uint16(N));
    }

    function test_open_RevertWhen_thereIsNoVerdictToJudge() public {
        _fieldOf[1] = 1; // Unavailable
        _lie(2, 0, 4); // Unscored, and then nobody settles it again
        uint256 round = _toSettle(N);
        for (uint256 index = 0; index < N; ++index) {
            if (index != 3) _settle(round, index);
        }
        _expire(round);
        _expire(round);
        _expire(round);
        _expire(round);
        _toProposal(round);
        _nothing(round, 1, IRoundManager.UpdateStatus.Unavailable);
        _nothing(round, 2, IRoundManager.UpdateStatus.Unscored);
        _nothing(round, 3, IRoundManager.UpdateStatus.Pending);
    }

    function _nothing(uint256 round, uint16 index, IRoundManager.UpdateStatus status) private {
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NothingToDispute.selector, index, status));
        court.disputeScore(round, index);
    }

    /// Unscored for good, by the second panel: a jury may find what two panels could not.
    function test_open_ofAFinalUnscored() public {
        _lie(2, 0, 4);
        _lieAgain(2, 0, 4);
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, 2);
        assertTrue(court.disputeOf(id).isRetried, "the second panel's");
        _drawJury(id);
        assertEq(court.disputeOf(id).jurors, N - 15, "both panels and the owner are excluded");
        _vote(id);
        court.resolve(id);
        _assertOutcome(id, IRoundCourt.Outcome.Overturned);
        _assertVerdict(round, 2, IRoundManager.UpdateStatus.Accepted, "found");
        _assertPhase(round, IRoundManager.Phase.Voided, "its model lacks it");
    }

    function test_open_keepsWhatItIsAbout() public {
        uint256 round = _toChallenge(N);
        uint40 until = uint40(block.timestamp + 100 minutes);
        uint40 seedBlock = uint40(block.number + 4);
        _give(disputer, DISPUTE_BOND);
        vm.startPrank(disputer);
        token.approve(address(court), DISPUTE_BOND);
        vm.expectEmit(address(court));
        emit IRoundCourt.DisputeOpened(1, round, disputer, IRoundCourt.Kind.Score, 3, false, true, seedBlock, until);
        assertEq(court.disputeScore(round, 3), 1, "id");
        vm.stopPrank();
        IRoundCourt.Dispute memory d = court.disputeOf(1);
        assertEq(d.disputer, disputer, "disputer");
        assertEq(d.round, round, "round");
        assertEq(d.index, 3, "index");
        assertEq(d.participants, N, "participants");
        assertEq(d.position, rounds.positionOf(round, 3), "position");
        assertEq(d.until, until, "until");
        assertTrue(d.isIndependent, "nobody judges itself");
        assertEq(court.totalBonds(), DISPUTE_BOND, "bond");
        assertEq(token.balanceOf(address(court)), DISPUTE_BOND, "held");
        assertEq(court.scoreDisputeOf(round, 3), 1, "by update");
        (, uint40 deadline) = rounds.phaseOf(round);
        assertEq(deadline, until, "the round waits");
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoSuchDispute.selector, 2, 1));
        court.disputeOf(2);
    }

    // --- drawing ------------------------------------------------------------------------------------------------------

    function test_draw_RevertWhen_early() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        uint256 seedBlock = court.disputeOf(id).seedBlock;
        vm.roll(seedBlock);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.SeedNotReady.selector, seedBlock, seedBlock));
        court.drawJury(id);
    }

    function test_draw_RevertWhen_lateOrTwice() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        uint256 drawEnd = block.timestamp + 20 minutes;
        vm.roll(block.number + 10);
        vm.warp(drawEnd + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.DeadlinePassed.selector, drawEnd, drawEnd + 1));
        court.drawJury(id);
        vm.warp(drawEnd);
        _drawJury(id);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.JuryIsDrawn.selector, id));
        court.drawJury(id);
    }

    function test_draw_pinsAgainWhereTheHashIsGone() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        vm.roll(block.number + 4 + 257);
        vm.expectEmit(address(court));
        emit IRoundCourt.JurySeedPinned(id, uint40(block.number + 4));
        court.drawJury(id);
        assertEq(court.disputeOf(id).jurors, 0, "no jury yet");
        _drawJury(id);
        assertEq(court.disputeOf(id).jurors, JURORS, "drawn from the later block");
    }

    function test_draw_takesTheRingWithoutThePanel() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        uint256 seedBlock = court.disputeOf(id).seedBlock;
        vm.roll(seedBlock + 1);
        bytes32 blockHash = keccak256("jury block");
        vm.setBlockhash(seedBlock, blockHash);
        vm.expectEmit(address(court));
        emit IRoundCourt.JuryDrawn(
            id,
            keccak256(abi.encode(blockHash, id, address(court))),
            uint8(N),
            uint8(JURORS),
            uint40(block.timestamp + 30 minutes)
        );
        court.drawJury(id);
        uint256 seats_ = 0;
        for (uint256 place = 0; place < N; ++place) {
            address juror = _juror(id, place);
            if (juror == address(0)) {
                vm.expectRevert(abi.encodeWithSelector(IRoundCourt.PlaceExcluded.selector, id, place));
                court.jurorAt(id, place);
                continue;
            }
            ++seats_;
            assertTrue(juror != members[VICTIM], "not the owner");
            for (uint256 j = 0; j < 7; ++j) {
                assertTrue(juror != _verifier(round, VICTIM, j, false), "not its panel");
            }
            for (uint256 other = 0; other < place; ++other) {
                assertTrue(juror != _juror(id, other), "once");
            }
        }
        assertEq(seats_, JURORS, "counted absolutely");
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoSuchPlace.selector, N, N));
        court.jurorAt(id, N);
    }

    // --- ballots ------------------------------------------------------------------------------------------------------

    function test_ballot_RevertWhen_theJuryIsNotDrawn() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        bytes memory refused = abi.encodeWithSelector(IRoundCourt.JuryNotDrawn.selector, id);
        vm.expectRevert(refused);
        court.commitBallot(id, 0, keccak256("ballot"));
        vm.expectRevert(refused);
        court.revealBallot(id, 0, 1, 0);
        vm.expectRevert(refused);
        court.resolve(id);
        vm.expectRevert(refused);
        court.slashAbsentJuror(id, 0);
    }

    function test_threat_ballotsOfOthersThanJurors() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        uint8 place = uint8(_seat(id, 0));
        address juror = court.jurorAt(id, place);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NotJuror.selector, disputer, juror));
        vm.prank(disputer);
        court.commitBallot(id, place, keccak256("ballot"));
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NotJuror.selector, members[VICTIM], juror));
        vm.prank(members[VICTIM]);
        court.revealBallot(id, place, 1, 0);
    }

    function test_ballot_RevertWhen_twiceOrLate() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        _drawJury(id);
        uint8 place = uint8(_seat(id, 0));
        address juror = court.jurorAt(id, place);
        bytes32 commitment = CommitHash.ballot(block.chainid, address(court), id, juror, GOOD, _ballotSalt(id, place));
        vm.expectEmit(address(court));
        emit IRoundCourt.BallotCommitted(id, place, juror, commitment);
        _commitBallot(id, place, GOOD);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongEntry.selector, juror, IRoundManager.Entry.Committed, IRoundManager.Entry.None
            )
        );
        vm.prank(juror);
        court.commitBallot(id, place, keccak256("another"));
        uint8 next = uint8(_seat(id, place + 1));
        address late = court.jurorAt(id, next);
        uint256 commitEnd = court.disputeOf(id).commitEnd;
        vm.warp(commitEnd + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.DeadlinePassed.selector, commitEnd, commitEnd + 1));
        vm.prank(late);
        court.commitBallot(id, next, keccak256("late"));
    }

    function test_ballot_revealRevertsWhen_earlyLateOrWrong() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        _drawJury(id);
        uint8 place = uint8(_seat(id, 0));
        address juror = court.jurorAt(id, place);
        bytes32 salt = _ballotSalt(id, place);
        _commitBallot(id, place, GOOD);
        uint256 commitEnd = court.disputeOf(id).commitEnd;
        vm.startPrank(juror);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.TooEarly.selector, commitEnd, block.timestamp));
        court.revealBallot(id, place, GOOD, salt);
        vm.warp(commitEnd + 1);
        vm.expectPartialRevert(IRoundCourt.CommitmentMismatch.selector);
        court.revealBallot(id, place, GOOD + 1, salt);
        uint256 revealEnd = commitEnd + 30 minutes;
        vm.warp(revealEnd + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.DeadlinePassed.selector, revealEnd, revealEnd + 1));
        court.revealBallot(id, place, GOOD, salt);
        vm.warp(revealEnd);
        vm.expectEmit(address(court));
        emit IRoundCourt.BallotRevealed(id, place, juror, GOOD);
        court.revealBallot(id, place, GOOD, salt);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.WrongEntry.selector, juror, IRoundManager.Entry.Revealed, IRoundManager.Entry.Committed
            )
        );
        court.revealBallot(id, place, GOOD, salt);
        vm.stopPrank();
        (IRoundManager.Entry entry, uint256 ballot) = court.ballotOf(id, place);
        assertEq(uint256(entry), uint256(IRoundManager.Entry.Revealed), "entry");
        assertEq(ballot, GOOD, "ballot");
    }

    /// Once every juror has committed, nobody can copy: reveals need not wait.
    function test_ballot_revealsBeginOnceAllHaveCommitted() public {
        uint256 id = _disputeScore(disputer, _toChallenge(N), 3);
        _drawJury(id);
        _vote(id);
        assertEq(court.disputeOf(id).reveals, JURORS, "in one moment");
        court.resolve(id);
    }

    function test_ballot_RevertWhen_itSaysNothing() public {
        uint256 round = _toChallenge(N);
        uint256 score = _disputeScore(disputer, round, 3);
        uint256[5] memory empty = [uint256(0), 3, 15, 1 << 20, type(uint256).max];
        for (uint256 i = 0; i < empty.length; ++i) {
            uint256 state = vm.snapshotState();
            _invalid(score, empty[i]);
            vm.revertToState(state);
        }
        uint256 aggregate = _disputeAggregate(disputer, round);
        for (uint256 i = 0; i < empty.length; ++i) {
            uint256 state = vm.snapshotState();
            _invalid(aggregate, empty[i]);
            vm.revertToState(state);
        }
    }

    function _invalid(uint256 id, uint256 ballot) private {
        _drawJury(id);
        uint256 place = _seat(id, 0);
        address juror = court.jurorAt(id, place);
        _commitBallot(id, place, ballot);
        vm.warp(uint256(court.disputeOf(id).commitEnd) + 1);
        bytes32 salt = _ballotSalt(id, place);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.InvalidBallot.selector, ballot));
        vm.prank(juror);
        court.revealBallot(id, uint8(place), ballot, salt);
    }

    // --- jurors -------------------------------------------------------------------------------------------------------

    function test_jurors_silenceCosts() public {
        uint256 round = _toChallenge(N);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        uint256[] memory places = _firstSeats(id, 3);
        (address absent, address silent) = (court.jurorAt(id, places[0]), court.jurorAt(id, places[1]));
        _commitBallot(id, places[1], GOOD);
        _commitBallot(id, places[2], GOOD);
        uint256 commitEnd = court.disputeOf(id).commitEnd;
        vm.warp(commitEnd);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.TooEarly.selector, commitEnd, commitEnd));
        court.slashAbsentJuror(id, uint8(places[0]));
        vm.warp(commitEnd + 1);
        _revealBallot(id, places[2], GOOD);
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, absent, 13, 256 * id + places[0], address(this), 1e18);
        court.slashAbsentJuror(id, uint8(places[0]));
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyPunished.selector, round, 13, 256 * id + places[0]));
        court.slashAbsentJuror(id, uint8(places[0]));
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundCourt.NoFault.selector, silent, IRoundManager.Entry.Committed, IRoundManager.Entry.None
            )
        );
        court.slashAbsentJuror(id, uint8(places[1]));

        vm.warp(commitEnd + 30 minutes);
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.TooEarly.selector, commitEnd + 30 minutes, block.timestamp));
        court.slashUnrevealedBallot(id, uint8(places[1]));
        skip(1);
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, silent, 14, 256 * id + places[1], address(this), 5e18);
        court.slashUnrevealedBallot(id, uint8(places[1]));
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.AlreadyPunished.selector, round, 14, 256 * id + places[1]));
        court.slashUnrevealedBallot(id, uint8(places[1]));
        vm.expectPartialRevert(IRoundCourt.NoFault.selector);
        court.slashUnrevealedBallot(id, uint8(places[2]));
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.NoSuchPlace.selector, N, N));
        court.slashAbsentJuror(id, uint8(N));
    }
}
