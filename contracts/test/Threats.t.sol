// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../src/interfaces/IRoundManager.sol";
import {CommitHash} from "../src/libraries/CommitHash.sol";
import {Community} from "./utils/Community.sol";

/// @notice One test for each threat of the design that the contracts answer. Others stand elsewhere: colluding panel and
/// quorum of the assigned in `properties/Tally.t.sol`, unbounded loop in `Gas.t.sol`, rounding and donation in
/// `invariant/`, signature replay in `unit/ContributionToken.t.sol`. There is no reentrancy to try: the contracts call
/// one another and an ERC-20 without callbacks, nobody else.
contract ThreatsTest is Community {
    uint256 private constant N = 8;
    mapping(uint256 index => uint256 field) private _fieldOf;

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    function _truth(uint256 index) internal view override returns (uint256) {
        uint256 field = _fieldOf[index];
        return field == 0 ? super._truth(index) : field;
    }

    // --- commitments --------------------------------------------------------------------------------------------------

    /// copied commit: B commits what A committed and, once A has revealed, replays A's opening.
    function testFuzz_threat_copiedCommit(uint256 a, uint256 b) public {
        a = bound(a, 0, N - 1);
        b = bound(b, 0, N - 1);
        if (a == b) b = (a + 1) % N;
        uint256 round = _open();
        bytes32 commitment = _updateCommitment(round, members[a]);
        _commit(round, members[a]);
        vm.prank(members[b]);
        rounds.commitUpdate(round, commitment);
        _expire2(round);
        _reveal(round, members[a]);
        Opening memory o = _opening(round, members[a]);
        vm.expectPartialRevert(IRoundManager.CommitmentMismatch.selector);
        vm.prank(members[b]);
        rounds.revealUpdate(round, o.contentHash, o.cid, o.samples, o.salt);
    }

    /// Three commits are the minimum: one honest member more, then time.
    function _expire2(uint256 round) private {
        for (uint256 i = 0; i < N; ++i) {
            (IRoundManager.Entry entry,,,) = rounds.trainerOf(round, members[i]);
            if (entry == IRoundManager.Entry.None) {
                _commit(round, members[i]);
                break;
            }
        }
        _expire(round);
    }

    /// copied scores: the same for score words.
    function test_threat_copiedScores() public {
        uint256 round = _toScoreCommit(N);
        uint256 word = _word(round, 0);
        bytes32 salt = _scoreSalt(round, 0);
        bytes32 commitment = CommitHash.scores(block.chainid, address(rounds), round, members[0], word, salt);
        _commitScores(round, 0, word);
        vm.prank(members[1]);
        rounds.commitScores(round, 1, commitment);
        _expire(round);
        _revealScores(round, 0, word);
        vm.expectPartialRevert(IRoundManager.CommitmentMismatch.selector);
        vm.prank(members[1]);
        rounds.revealScores(round, 1, word, salt);
    }

    /// A commitment of one round, contract or chain opens in no other.
    function test_threat_replayAcrossRoundsContractsAndChains() public view {
        Opening memory o = _opening(1, members[0]);
        bytes32 here = _updateCommitment(1, members[0]);
        address other = address(registry);
        bytes32[3] memory elsewhere = [
            CommitHash.update(block.chainid, address(rounds), 2, members[0], o.contentHash, o.cid, o.samples, o.salt),
            CommitHash.update(block.chainid, other, 1, members[0], o.contentHash, o.cid, o.samples, o.salt),
            CommitHash.update(1, address(rounds), 1, members[0], o.contentHash, o.cid, o.samples, o.salt)
        ];
        for (uint256 i = 0; i < 3; ++i) {
            assertTrue(here != elsewhere[i], "bound");
        }
    }

    /// many commits, reveal the best: one per member and round.
    function test_threat_manyCommits() public {
        uint256 round = _open();
        _commit(round, members[0]);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WrongEntry.selector, members[0], IRoundManager.Entry.Committed, IRoundManager.Entry.None
            )
        );
        vm.prank(members[0]);
        rounds.commitUpdate(round, keccak256("a better one"));
    }

    // --- the ring -----------------------------------------------------------------------------------------------------

    /// last revealer picks the seed: whoever draws, whenever within 256 blocks, the ring is the same, and its block did
    /// not exist when the last update was revealed.
    function testFuzz_threat_nobodyPicksTheSeed(address caller, uint256 wait) public {
        wait = bound(wait, 1, 256);
        uint256 lastReveal = block.number;
        uint256 round = _toSeed(N);
        uint256 seedBlock = rounds.roundOf(round).seedBlock;
        assertGt(seedBlock, lastReveal, "not yet mined at the last reveal");
        bytes32 blockHash = keccak256("unknown to all until then");
        vm.roll(seedBlock + wait);
        vm.setBlockhash(seedBlock, blockHash);
        vm.prank(caller);
        rounds.advance(round);
        assertEq(
            rounds.roundOf(round).seed,
            keccak256(abi.encode(blockHash, round, address(rounds))),
            "the pinned block alone decides"
        );
    }

    /// early advance: nobody can cut a phase short to shut others out.
    function test_threat_earlyAdvance() public {
        uint256 round = _open();
        for (uint256 i = 0; i < N - 1; ++i) {
            _commit(round, members[i]);
        }
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.TooEarly.selector, deadline, block.timestamp));
        rounds.advance(round);
        _commit(round, members[N - 1]); // the last one still may
    }

    /// starving a rival: verifiers that stay away leave it Unscored, and pay for it.
    function test_threat_starvingARival() public {
        uint256 round = _toScoreCommit(N);
        for (uint256 index = 0; index < 3; ++index) {
            _commitScores(round, index, _word(round, index));
        }
        _expire(round);
        for (uint256 index = 0; index < 3; ++index) {
            _revealScores(round, index, _word(round, index));
        }
        rounds.advance(round);
        _settleAll(round, N);
        assertEq(rounds.roundOf(round).accepted, 0, "3 of 7 are no quorum");
        for (uint16 index = 3; index < N; ++index) {
            court.slashAbsentVerifier(round, index, false);
            assertEq(registry.stakeOf(members[index]), 99e18, "absentees pay");
        }
    }

    /// unavailable update: a majority of sentinels rejects it, so no weight can be had for bytes that nobody can read.
    function test_threat_unavailableUpdate() public {
        _fieldOf[0] = 1;
        uint256 round = _toFinalized(N);
        (IRoundManager.UpdateStatus status,, uint32 weight,,) = rounds.resultOf(round, 0);
        assertEq(uint256(status), uint256(IRoundManager.UpdateStatus.Unavailable), "status");
        assertEq(weight, 0, "weight");
    }

    // --- the aggregate ------------------------------------------------------------------------------------------------

    /// quorum by arrivals: all three that turn up agree, and that is not enough.
    function test_threat_quorumByArrivals() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 3; ++slot) {
            _attest(round, slot);
        }
        (bytes32 modelHash, bytes32 cid) = _model(round);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.NoQuorum.selector, 3, 6));
        rounds.proposeAggregate(round, SECRET, modelHash, cid);
    }

    /// attestation copying: the copy does not count, is not paid, and is slashed.
    function test_threat_attestationCopying() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 6; ++slot) {
            _attest(round, slot);
        }
        (, bytes32 original,) = rounds.attestationOf(round, 0);
        address copier = _attester(round, 7);
        vm.prank(copier);
        rounds.attest(round, 7, original);
        _propose(round);
        (,, bool isCorrect) = rounds.attestationOf(round, 7);
        assertFalse(isCorrect, "does not count");
        court.slashWrongAttestation(round, 7);
        assertEq(registry.stakeOf(copier), 75e18, "slashed");
        _expire(round);
        assertFalse(rounds.earningsOf(round, rounds.indexAt(round, 7)).isCorrectAttester, "not paid");
    }

    // --- money --------------------------------------------------------------------------------------------------------

    /// A self-dealer alone in an empty round: its own three identities, one update at the cap, all scores its own.
    function test_threat_selfDealerInAnEmptyRound() public {
        _fieldOf[0] = GAIN_OFFSET + 524_287; // the largest gain that can be said
        _fieldOf[1] = GAIN_OFFSET;
        _fieldOf[2] = GAIN_OFFSET;
        uint256 round = _toFinalized(3);
        distributor.claim(round, 0);
        uint256 pool = INITIAL_EMISSION * 70 / 100;
        uint256 others = INITIAL_EMISSION * 20 / 100 / (3 * 2) * 2 + INITIAL_EMISSION * 5 / 100 / 3;
        assertLe((token.balanceOf(members[0]) - others) * 100, pool * 2, "at most 2 % of the trainers' pool");
    }

    /// forfeiture: a trainer of a malformed update loses its pay as verifier and attester as well.
    function test_threat_forfeiture() public {
        _fieldOf[2] = 2;
        uint256 round = _toFinalized(N);
        assertEq(rounds.earningsOf(round, 2).correct, 7, "did its other work");
        assertEq(distributor.claim(round, 2), 0, "and is not paid for it");
    }

    /// Late acts: nothing of a phase works after its deadline, even if nobody advanced.
    function test_threat_lateActs() public {
        uint256 round = _toAttest(N);
        (bytes32 modelHash, bytes32 cid) = _model(round);
        for (uint256 slot = 0; slot < N; ++slot) {
            _attest(round, slot);
        }
        (, uint40 deadline) = rounds.phaseOf(round);
        vm.warp(uint256(deadline) + 1);
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.DeadlinePassed.selector, deadline, block.timestamp));
        rounds.proposeAggregate(round, SECRET, modelHash, cid);
    }
}
