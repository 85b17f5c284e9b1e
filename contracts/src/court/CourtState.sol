// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IContributionToken} from "../interfaces/IContributionToken.sol";
import {IMemberRegistry} from "../interfaces/IMemberRegistry.sol";
import {IRoundCourt} from "../interfaces/IRoundCourt.sol";
import {IRoundManager} from "../interfaces/IRoundManager.sol";
import {RingShuffle} from "../libraries/RingShuffle.sol";
import {ScoreSlot} from "../libraries/ScoreSlots.sol";

/// @title CourtState
/// @notice Constants and storage of the court, every view of it, and the one door that penalties leave through.
abstract contract CourtState is IRoundCourt {
    // --- constants ----------------------------------------------------------------------------------------------------

    /// @notice Fewer jurors than this are no jury where others could be had.
    uint256 public constant LEAST_JURORS = 3;
    /// @notice Largest jury, the excluded besides: with 31 attesters excluded a count ends at 62.
    uint256 public constant MOST_JURORS = 31;
    /// @notice Most disputes of scores per round.
    uint256 public constant MOST_DISPUTES = 16;
    /// @notice Longest part of a dispute: 30 days in seconds.
    uint256 public constant LONGEST_PART = 30 days;
    /// @notice A block's hash can be read for 256 blocks, so the delay must leave time to read it.
    uint256 public constant LONGEST_SEED_DELAY = 128;

    uint256 internal constant WHOLE_BPS = 10_000;
    /// @dev Bits of a place in a subject.
    uint256 private constant PLACE_BITS = 8;

    /// @inheritdoc IRoundCourt
    IRoundManager public immutable override roundManager;
    /// @inheritdoc IRoundCourt
    IMemberRegistry public immutable override registry;
    /// @inheritdoc IRoundCourt
    IContributionToken public immutable override token;

    uint96 internal immutable BOND;
    uint8 internal immutable JURY_SIZE;
    uint8 internal immutable MAX_DISPUTES;
    uint16 internal immutable SEED_DELAY_BLOCKS;
    uint32 internal immutable DRAW_DURATION;
    uint32 internal immutable COMMIT_DURATION;
    uint32 internal immutable REVEAL_DURATION;
    uint32 internal immutable RESOLVE_DURATION;
    /// @dev As in the RoundManager.
    uint256 internal immutable MAX_VERIFIERS;
    uint256 internal immutable MAX_ATTESTERS;

    // --- storage ------------------------------------------------------------------------------------------------------

    /// @dev One slot.
    struct RoundDisputes {
        uint40 challengeEnd; // the Challenge's own deadline, before any dispute prolonged it; 0 before the first
        uint8 scores;
        uint128 aggregateDispute;
    }

    /// @inheritdoc IRoundCourt
    uint256 public override disputeCount;
    /// @inheritdoc IRoundCourt
    uint256 public override totalBonds;

    mapping(uint256 id => Dispute) internal _disputes;
    mapping(uint256 id => mapping(uint256 place => ScoreSlot)) internal _ballots;
    mapping(uint256 round => RoundDisputes) internal _roundDisputes;
    mapping(uint256 round => mapping(uint256 index => uint256 id)) internal _scoreDisputes;
    mapping(uint256 round => mapping(uint256 fault => mapping(uint256 bucket => uint256 bits))) private _punished;

    // --- deployment ---------------------------------------------------------------------------------------------------

    constructor(IRoundManager roundManager_, IMemberRegistry registry_, Params memory p) {
        if (roundManager_.court() != address(this)) revert WiredElsewhere(roundManager_.court(), address(this));
        if (registry_.court() != address(this)) revert WiredElsewhere(registry_.court(), address(this));
        _check("bond", p.bond, 1, type(uint96).max);
        _check("jurySize", p.jurySize, LEAST_JURORS, MOST_JURORS);
        _check("maxDisputes", p.maxDisputes, 1, MOST_DISPUTES);
        _check("seedDelayBlocks", p.seedDelayBlocks, 1, LONGEST_SEED_DELAY);
        _check("drawDuration", p.drawDuration, 1, LONGEST_PART);
        _check("commitDuration", p.commitDuration, 1, LONGEST_PART);
        _check("revealDuration", p.revealDuration, 1, LONGEST_PART);
        _check("resolveDuration", p.resolveDuration, 1, LONGEST_PART);
        IRoundManager.Params memory rounds = roundManager_.params();
        // The round waits for a dispute no longer than its longest round says.
        uint256 whole = uint256(p.drawDuration) + p.commitDuration + p.revealDuration + p.resolveDuration;
        _check("disputeDuration", whole, 1, rounds.disputeDuration);
        roundManager = roundManager_;
        registry = registry_;
        token = registry_.token();
        BOND = p.bond;
        JURY_SIZE = p.jurySize;
        MAX_DISPUTES = p.maxDisputes;
        SEED_DELAY_BLOCKS = p.seedDelayBlocks;
        DRAW_DURATION = p.drawDuration;
        COMMIT_DURATION = p.commitDuration;
        REVEAL_DURATION = p.revealDuration;
        RESOLVE_DURATION = p.resolveDuration;
        MAX_VERIFIERS = rounds.maxVerifiers;
        MAX_ATTESTERS = rounds.maxAttesters;
    }

    function _check(bytes32 name, uint256 value, uint256 least, uint256 most) private pure {
        if (value < least || value > most) revert ParameterOutOfBounds(name, value, least, most);
    }

    // --- views --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IRoundCourt
    function params() external view override returns (Params memory p) {
        p.bond = BOND;
        p.jurySize = JURY_SIZE;
        p.maxDisputes = MAX_DISPUTES;
        p.seedDelayBlocks = SEED_DELAY_BLOCKS;
        p.drawDuration = DRAW_DURATION;
        p.commitDuration = COMMIT_DURATION;
        p.revealDuration = REVEAL_DURATION;
        p.resolveDuration = RESOLVE_DURATION;
    }

    /// @inheritdoc IRoundCourt
    function disputeOf(uint256 id) external view override returns (Dispute memory) {
        return _dispute(id);
    }

    /// @inheritdoc IRoundCourt
    function disputesOf(uint256 round)
        external
        view
        override
        returns (uint256 challengeEnd, uint256 scores, uint256 aggregateDispute)
    {
        RoundDisputes storage disputes = _roundDisputes[round];
        return (disputes.challengeEnd, disputes.scores, disputes.aggregateDispute);
    }

    /// @inheritdoc IRoundCourt
    function scoreDisputeOf(uint256 round, uint256 index) external view override returns (uint256 id) {
        return _scoreDisputes[round][index];
    }

    /// @inheritdoc IRoundCourt
    function jurorAt(uint256 id, uint256 place) external view override returns (address juror) {
        return _jurorAt(id, _dispute(id), place);
    }

    /// @inheritdoc IRoundCourt
    function ballotOf(uint256 id, uint256 place)
        external
        view
        override
        returns (IRoundManager.Entry entry, uint256 ballot)
    {
        return _ballots[id][place].revealed();
    }

    /// @inheritdoc IRoundCourt
    function isPunished(uint256 round, uint8 fault, uint256 subject) external view override returns (bool) {
        return _punished[round][fault][subject >> 8] & _bitOf(subject) != 0;
    }

    /// @inheritdoc IRoundCourt
    function hasRetryDuty(uint256 round, uint256 index) public view override returns (bool) {
        uint256 n = roundManager.roundOf(round).reveals;
        uint256 k = _verifiersOf(n);
        if (n <= 2 * k) return false;
        uint256 position = roundManager.positionOf(round, index) + k;
        for (uint256 j = 1; j <= k; ++j) {
            // Gain, weight and forfeiture do not matter here.
            // slither-disable-next-line unused-return
            (IRoundManager.UpdateStatus status,,, bool isRetried,) =
                roundManager.resultOf(round, roundManager.indexAt(round, (position + j) % n));
            if (isRetried || status == IRoundManager.UpdateStatus.Unscored) return true;
        }
        return false;
    }

    // --- disputes -----------------------------------------------------------------------------------------------------

    function _dispute(uint256 id) internal view returns (Dispute storage d) {
        d = _disputes[id];
        if (d.disputer == address(0)) revert NoSuchDispute(id, disputeCount);
    }

    /// @dev Who sits at `place` of a drawn jury: the owner at ring position inverse(key, n, place), unless it is excluded.
    function _jurorAt(uint256 id, Dispute storage d, uint256 place) internal view returns (address) {
        if (d.key == 0) revert JuryNotDrawn(id);
        if (place >= d.places) revert NoSuchPlace(place, d.places);
        uint256 n = d.participants;
        uint256 position = RingShuffle.inverse(d.key, n, place);
        uint256 distance = d.kind == Kind.Score ? (d.position + n - position) % n : position;
        if (distance < _excludedOf(d)) revert PlaceExcluded(id, place);
        return roundManager.ownerOf(d.round, roundManager.indexAt(d.round, position));
    }

    /// @dev How many ring positions are excluded from a jury: an update's own and those before it, or the first ones.
    function _excludedOf(Dispute storage d) internal view returns (uint256) {
        if (d.isIndependent) return _partiesOf(d.kind, d.participants, d.isRetried);
        return d.kind == Kind.Score ? 1 : 0;
    }

    /// @dev How many took part in what is disputed: the owner and each panel that scored it, or the attesters.
    function _partiesOf(Kind kind, uint256 n, bool isRetried) internal view returns (uint256) {
        if (kind == Kind.Aggregate) return n < MAX_ATTESTERS ? n : MAX_ATTESTERS;
        return 1 + _verifiersOf(n) * (isRetried ? 2 : 1);
    }

    /// @dev Verifiers of each update, k, on a ring of `n`; 0 where there is none.
    function _verifiersOf(uint256 n) internal view returns (uint256) {
        if (n == 0) return 0;
        return n - 1 < MAX_VERIFIERS ? n - 1 : MAX_VERIFIERS;
    }

    /// @dev Last moment at which ballots can be revealed.
    function _revealEndOf(Dispute storage d) internal view returns (uint256) {
        return uint256(d.commitEnd) + REVEAL_DURATION;
    }

    // --- penalties ----------------------------------------------------------------------------------------------------

    /// @dev Marks (round, fault, subject); refuses to do so twice.
    function _mark(uint256 round, uint8 fault, uint256 subject) internal {
        mapping(uint256 bucket => uint256 bits) storage punished = _punished[round][fault];
        uint256 bits = punished[subject >> 8];
        uint256 bit = _bitOf(subject);
        if (bits & bit != 0) revert AlreadyPunished(round, fault, subject);
        punished[subject >> 8] = bits | bit;
    }

    /// @dev Takes the penalty of a fault that was marked.
    function _slash(uint256 round, address account, uint256 bps, uint8 fault, uint256 subject, address prover)
        internal
    {
        // At most WHOLE_BPS.
        uint256 amount = registry.slash(account, uint16(bps), fault, round, prover);
        emit FaultPunished(round, account, fault, subject, prover, amount);
    }

    /// @dev Subject of a fault within a dispute.
    function _subject(uint256 id, uint256 place) internal pure returns (uint256) {
        return (id << PLACE_BITS) | place;
    }

    function _bitOf(uint256 subject) private pure returns (uint256) {
        return 1 << (subject & 0xff);
    }
}
