// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IContributionToken} from "../interfaces/IContributionToken.sol";
import {IRoundCourt} from "../interfaces/IRoundCourt.sol";
import {IRoundManager} from "../interfaces/IRoundManager.sol";
import {CommitHash} from "../libraries/CommitHash.sol";
import {RingShuffle} from "../libraries/RingShuffle.sol";
import {ScoreSlot, ScoreSlots} from "../libraries/ScoreSlots.sol";
import {ScoreWord} from "../libraries/ScoreWord.sol";
import {Tally} from "../libraries/Tally.sol";
import {CourtFaults} from "./CourtFaults.sol";

/// @title CourtDisputes
/// @notice A dispute from its bond to its end, and what a jury's verdict proves against those it overturned.
abstract contract CourtDisputes is CourtFaults {
    using SafeERC20 for IContributionToken;

    uint8 internal constant FIELD_WRONG = 11;
    uint8 internal constant LIE = 12;
    uint8 internal constant BALLOT_ABSENT = 13;
    uint8 internal constant BALLOT_NOT_REVEALED = 14;

    uint256 internal constant FIELD_WRONG_BPS = 1000;
    uint256 internal constant BALLOT_ABSENT_BPS = 100;
    uint256 internal constant BALLOT_NOT_REVEALED_BPS = 500;

    /// @dev Ballots on an aggregate.
    uint256 private constant RIGHT = 1;
    uint256 private constant WRONG = 2;

    // --- opening ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundCourt
    function disputeScore(uint256 round, uint16 index) external override returns (uint256 id) {
        RoundDisputes storage disputes = _inChallenge(round);
        if (_scoreDisputes[round][index] != 0) revert AlreadyDisputed(round, _scoreDisputes[round][index]);
        if (disputes.scores == MAX_DISPUTES) revert TooManyDisputes(round, MAX_DISPUTES);
        uint256 n = roundManager.roundOf(round).reveals;
        // Gain, weight and forfeiture do not matter here.
        // slither-disable-next-line unused-return
        (IRoundManager.UpdateStatus status,,, bool isRetried,) = roundManager.resultOf(round, index);
        bool isUnsettled = status == IRoundManager.UpdateStatus.Pending
            || (status == IRoundManager.UpdateStatus.Unscored && !isRetried && n > 2 * _verifiersOf(n));
        if (isUnsettled || status == IRoundManager.UpdateStatus.Unavailable) revert NothingToDispute(index, status);

        ++disputes.scores;
        id = ++disputeCount;
        _scoreDisputes[round][index] = id;
        _openDispute(id, round, Kind.Score, n, index, isRetried);
    }

    /// @inheritdoc IRoundCourt
    function disputeAggregate(uint256 round) external override returns (uint256 id) {
        RoundDisputes storage disputes = _inChallenge(round);
        if (disputes.aggregateDispute != 0) revert AlreadyDisputed(round, disputes.aggregateDispute);

        id = ++disputeCount;
        disputes.aggregateDispute = uint128(id);
        _openDispute(id, round, Kind.Aggregate, roundManager.roundOf(round).reveals, 0, false);
    }

    /// @dev The round's disputes while new ones can be opened. The first one keeps the Challenge's own end.
    function _inChallenge(uint256 round) private returns (RoundDisputes storage disputes) {
        disputes = _roundDisputes[round];
        (IRoundManager.Phase phase, uint40 deadline) = roundManager.phaseOf(round);
        if (phase != IRoundManager.Phase.Challenge) revert WrongPhase(phase, IRoundManager.Phase.Challenge);
        if (disputes.challengeEnd == 0) disputes.challengeEnd = deadline;
        if (block.timestamp > disputes.challengeEnd) revert DisputeTooLate(disputes.challengeEnd, block.timestamp);
    }

    function _openDispute(uint256 id, uint256 round, Kind kind, uint256 n, uint16 index, bool isRetried) private {
        Dispute storage d = _disputes[id];
        d.disputer = msg.sender;
        d.until = uint40(block.timestamp) + DRAW_DURATION + COMMIT_DURATION + REVEAL_DURATION + RESOLVE_DURATION;
        d.seedBlock = uint40(block.number) + SEED_DELAY_BLOCKS;
        d.index = index;
        // Rounds last seconds at least, so 48 bits number them all; a ring has at most 2^16 − 1 members.
        d.round = uint48(round);
        d.participants = uint16(n);
        if (kind == Kind.Score) d.position = uint16(roundManager.positionOf(round, index));
        d.kind = kind;
        d.isRetried = isRetried;
        d.isIndependent = n >= _partiesOf(kind, n, isRetried) + LEAST_JURORS;
        totalBonds += BOND;
        emit DisputeOpened(id, round, msg.sender, kind, index, isRetried, d.isIndependent, d.seedBlock, d.until);
        roundManager.extend(round, d.until);
        token.safeTransferFrom(msg.sender, address(this), BOND);
    }

    // --- jury ---------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundCourt
    function drawJury(uint256 id) external override {
        Dispute storage d = _dispute(id);
        if (d.key != 0) revert JuryIsDrawn(id);
        if (block.timestamp > _drawEndOf(d)) revert DeadlinePassed(_drawEndOf(d), block.timestamp);
        uint256 seedBlock = d.seedBlock;
        if (block.number <= seedBlock) revert SeedNotReady(seedBlock, block.number);
        bytes32 blockHash = blockhash(seedBlock);
        if (blockHash == 0) {
            d.seedBlock = uint40(block.number) + SEED_DELAY_BLOCKS;
            emit JurySeedPinned(id, d.seedBlock);
            return;
        }
        bytes32 key = CommitHash.jury(blockHash, id, address(this));
        uint256 n = d.participants;
        uint256 excluded = _excludedOf(d);
        uint256 places = n < JURY_SIZE + excluded ? n : JURY_SIZE + excluded;
        uint256 jurors = places;
        for (uint256 i = 0; i < excluded; ++i) {
            // As in `_jurorAt`: from an update's own position back, or from the first one on.
            uint256 party = d.kind == Kind.Score ? (d.position + n - i) % n : i;
            if (RingShuffle.forward(key, n, party) < places) --jurors;
        }
        d.key = key;
        // At most 31 + 31.
        d.places = uint8(places);
        d.jurors = uint8(jurors);
        d.commitEnd = uint40(block.timestamp) + COMMIT_DURATION;
        emit JuryDrawn(id, key, d.places, d.jurors, d.commitEnd);
    }

    /// @inheritdoc IRoundCourt
    function commitBallot(uint256 id, uint8 place, bytes32 commitment) external override {
        Dispute storage d = _dispute(id);
        _requireJuror(id, d, place);
        if (block.timestamp > d.commitEnd) revert DeadlinePassed(d.commitEnd, block.timestamp);
        IRoundManager.Entry entry = _ballots[id][place].entryOf();
        if (entry != IRoundManager.Entry.None) revert WrongEntry(msg.sender, entry, IRoundManager.Entry.None);

        ++d.commits;
        _ballots[id][place] = ScoreSlots.pack(IRoundManager.Entry.Committed, ScoreSlots.cut(commitment));
        emit BallotCommitted(id, place, msg.sender, commitment);
    }

    /// @inheritdoc IRoundCourt
    function revealBallot(uint256 id, uint8 place, uint256 ballot, bytes32 salt) external override {
        Dispute storage d = _dispute(id);
        _requireJuror(id, d, place);
        if (block.timestamp <= d.commitEnd && d.commits < d.jurors) revert TooEarly(d.commitEnd, block.timestamp);
        if (block.timestamp > _revealEndOf(d)) revert DeadlinePassed(_revealEndOf(d), block.timestamp);
        ScoreSlot slot = _ballots[id][place];
        if (slot.entryOf() != IRoundManager.Entry.Committed) {
            revert WrongEntry(msg.sender, slot.entryOf(), IRoundManager.Entry.Committed);
        }
        uint256 opened = ScoreSlots.cut(CommitHash.ballot(block.chainid, address(this), id, msg.sender, ballot, salt));
        if (opened != slot.contentOf()) {
            revert CommitmentMismatch(ScoreSlots.uncut(slot.contentOf()), ScoreSlots.uncut(opened));
        }
        bool isValid = d.kind == Kind.Score ? ScoreWord.isSaying(ballot) : ballot == RIGHT || ballot == WRONG;
        if (!isValid) revert InvalidBallot(ballot);

        ++d.reveals;
        _ballots[id][place] = ScoreSlots.pack(IRoundManager.Entry.Revealed, ballot);
        emit BallotRevealed(id, place, msg.sender, ballot);
    }

    function _requireJuror(uint256 id, Dispute storage d, uint256 place) private view {
        address juror = _jurorAt(id, d, place);
        if (msg.sender != juror) revert NotJuror(msg.sender, juror);
    }

    // --- verdict ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundCourt
    function resolve(uint256 id) external override {
        Dispute storage d = _dispute(id);
        if (d.outcome != Outcome.None) revert WrongOutcome(id, d.outcome, Outcome.None);
        if (block.timestamp > (d.key == 0 ? _drawEndOf(d) : d.until)) {
            _end(id, d, Outcome.Lapsed, 0);
            return;
        }
        if (d.key == 0) revert JuryNotDrawn(id);
        if (d.reveals < d.jurors && block.timestamp <= _revealEndOf(d)) {
            revert TooEarly(_revealEndOf(d), block.timestamp);
        }
        if (d.kind == Kind.Score) _resolveScore(id, d);
        else _resolveAggregate(id, d);
    }

    function _resolveScore(uint256 id, Dispute storage d) private {
        IRoundManager.Round memory r = roundManager.roundOf(d.round);
        Tally.Verdict memory verdict = Tally.settle(_ballotsOf(id, d), d.jurors, _boundsOf(r));
        uint256 votes = verdict.votes;
        if (verdict.status == IRoundManager.UpdateStatus.Unscored) {
            _end(id, d, Outcome.NoMajority, votes);
            return;
        }
        // Weight and flags do not matter here.
        // slither-disable-next-line unused-return
        (IRoundManager.UpdateStatus status, int32 gain,,,) = roundManager.resultOf(d.round, d.index);
        if (_agrees(verdict, status, gain, r.tau)) {
            _end(id, d, Outcome.Upheld, votes);
            return;
        }
        d.status = verdict.status;
        // A gain has 20 bits.
        d.gain = int24(verdict.gain);
        _end(id, d, Outcome.Overturned, votes);
        roundManager.rescore(d.round, d.index, verdict.status, verdict.gain);
    }

    /// @dev Whether a jury's verdict shows nothing against the settled one: gains that no two honest verifiers would argue
    /// about, whatever side of a bound they lie on; or bytes that the jury did not have.
    function _agrees(Tally.Verdict memory verdict, IRoundManager.UpdateStatus status, int256 gain, uint256 tau)
        private
        pure
        returns (bool)
    {
        if (verdict.status == IRoundManager.UpdateStatus.Unavailable) return true;
        if (Tally.isGain(verdict.status)) return Tally.isCorrect(ScoreWord.fieldOf(verdict.gain), status, gain, tau);
        return verdict.status == status;
    }

    function _resolveAggregate(uint256 id, Dispute storage d) private {
        uint256[] memory ballots = _ballotsOf(id, d);
        uint256 wrong = 0;
        for (uint256 i = 0; i < ballots.length; ++i) {
            if (ballots[i] == WRONG) ++wrong;
        }
        uint256 right = ballots.length - wrong;
        uint256 need = Tally.needOf(d.jurors);
        if (wrong >= need) {
            _end(id, d, Outcome.Overturned, wrong);
            roundManager.voidRound(d.round);
        } else if (right >= need) {
            _end(id, d, Outcome.Upheld, right);
        } else {
            _end(id, d, Outcome.NoMajority, right > wrong ? right : wrong);
        }
    }

    /// @dev What the jurors revealed, in order of their places.
    function _ballotsOf(uint256 id, Dispute storage d) private view returns (uint256[] memory ballots) {
        ballots = new uint256[](d.reveals);
        uint256 found = 0;
        uint256 places = d.places;
        for (uint256 place = 0; place < places; ++place) {
            ScoreSlot slot = _ballots[id][place];
            if (slot.entryOf() == IRoundManager.Entry.Revealed) ballots[found++] = slot.contentOf();
        }
    }

    /// @dev Ends a dispute and settles its bond: returned to the disputer, or burned.
    function _end(uint256 id, Dispute storage d, Outcome outcome, uint256 votes) private {
        d.outcome = outcome;
        totalBonds -= BOND;
        // Votes are at most 62.
        emit DisputeResolved(id, outcome, d.status, d.gain, uint8(votes));
        if (outcome == Outcome.Upheld || outcome == Outcome.Lapsed) token.burn(BOND);
        else token.safeTransfer(d.disputer, BOND);
    }

    // --- what a verdict proves ----------------------------------------------------------------------------------------

    /// @inheritdoc IRoundCourt
    function slashField(uint256 id, uint8 j) external override {
        Dispute storage d = _overturned(id, Kind.Score);
        (address verifier, uint256 field) = _panelField(d, j);
        (bool isWrong, bool isLie) = _contradicts(field, d);
        if (!isWrong) revert NoWrongField(verifier, field);
        uint256 subject = _subject(id, j);
        _mark(d.round, FIELD_WRONG, subject);
        if (isLie) {
            _slash(d.round, verifier, WHOLE_BPS, LIE, subject, d.disputer);
            registry.ban(verifier);
        } else {
            _slash(d.round, verifier, FIELD_WRONG_BPS, FIELD_WRONG, subject, d.disputer);
        }
    }

    /// @dev Verifier `j` of the panel whose verdict is disputed, and what it said: 0 where it did not reveal.
    function _panelField(Dispute storage d, uint256 j) private view returns (address verifier, uint256 field) {
        (uint256 round, uint256 n, bool isRetried) = (d.round, d.participants, d.isRetried);
        uint256 k = _verifiersOf(n);
        if (j >= k) revert NoSuchVerifier(j, k);
        uint256 back = 1 + j + (isRetried ? k : 0);
        uint256 index = roundManager.indexAt(round, (d.position + n - back) % n);
        // Without a word, it is zero.
        // slither-disable-next-line unused-return
        (, uint256 word) = isRetried ? roundManager.retryScoresOf(round, index) : roundManager.scoresOf(round, index);
        return (roundManager.ownerOf(round, index), ScoreWord.field(word, j));
    }

    /// @dev How a field stands to the jury's verdict. A lie: one of them accepts what the other finds Harmful or Malformed, and
    /// the jury has no part in it.
    function _contradicts(uint256 field, Dispute storage d) private view returns (bool isWrong, bool isLie) {
        IRoundManager.Round memory r = roundManager.roundOf(d.round);
        IRoundManager.UpdateStatus status = d.status;
        bool isMalformed = field == ScoreWord.MALFORMED;
        bool isGain = ScoreWord.isGain(field);
        isWrong = (isMalformed || isGain) && !Tally.isCorrect(field, status, d.gain, r.tau);
        if (!isWrong || !d.isIndependent) return (isWrong, false);
        int256 gain = ScoreWord.gainOf(field);
        if (status == IRoundManager.UpdateStatus.Accepted) {
            isLie = isMalformed || gain <= -int256(uint256(r.harmMin));
        } else if (status != IRoundManager.UpdateStatus.Rejected) {
            isLie = isGain && gain >= int256(uint256(r.deltaMin));
        }
    }

    /// @inheritdoc IRoundCourt
    function slashAttester(uint256 id, uint8 slot) external override {
        Dispute storage d = _overturned(id, Kind.Aggregate);
        // What it attested does not matter, only that it was counted.
        // slither-disable-next-line unused-return
        (address attester,, bool isCounted) = roundManager.attestationOf(d.round, slot);
        if (!isCounted) revert NotCounted(slot);
        _mark(d.round, WRONG_ATTESTATION, slot);
        _slash(d.round, attester, WRONG_ATTESTATION_BPS, WRONG_ATTESTATION, slot, d.disputer);
    }

    /// @inheritdoc IRoundCourt
    function slashAbsentJuror(uint256 id, uint8 place) external override {
        Dispute storage d = _dispute(id);
        address juror = _jurorAt(id, d, place);
        if (block.timestamp <= d.commitEnd) revert TooEarly(d.commitEnd, block.timestamp);
        _slashJuror(id, d.round, place, juror, IRoundManager.Entry.None);
    }

    /// @inheritdoc IRoundCourt
    function slashUnrevealedBallot(uint256 id, uint8 place) external override {
        Dispute storage d = _dispute(id);
        address juror = _jurorAt(id, d, place);
        if (block.timestamp <= _revealEndOf(d)) revert TooEarly(_revealEndOf(d), block.timestamp);
        _slashJuror(id, d.round, place, juror, IRoundManager.Entry.Committed);
    }

    function _slashJuror(uint256 id, uint256 round, uint256 place, address juror, IRoundManager.Entry fault) private {
        _requireEntry(juror, _ballots[id][place].entryOf(), fault);
        bool isAbsent = fault == IRoundManager.Entry.None;
        uint8 code = isAbsent ? BALLOT_ABSENT : BALLOT_NOT_REVEALED;
        uint256 subject = _subject(id, place);
        _mark(round, code, subject);
        uint256 bps = isAbsent ? BALLOT_ABSENT_BPS : BALLOT_NOT_REVEALED_BPS;
        _slash(round, juror, bps, code, subject, msg.sender);
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    function _overturned(uint256 id, Kind kind) private view returns (Dispute storage d) {
        d = _dispute(id);
        if (d.kind != kind) revert WrongKind(id, d.kind, kind);
        if (d.outcome != Outcome.Overturned) revert WrongOutcome(id, d.outcome, Outcome.Overturned);
    }

    function _boundsOf(IRoundManager.Round memory r) private pure returns (Tally.Bounds memory) {
        return Tally.Bounds({
            tau: r.tau,
            deltaMin: int256(uint256(r.deltaMin)),
            harmMin: int256(uint256(r.harmMin)),
            gainCap: int256(uint256(r.gainCap))
        });
    }

    /// @dev Last moment at which the jury can be drawn.
    function _drawEndOf(Dispute storage d) private view returns (uint256) {
        return uint256(d.until) - COMMIT_DURATION - REVEAL_DURATION - RESOLVE_DURATION;
    }
}
