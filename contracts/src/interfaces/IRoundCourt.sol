// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IContributionToken} from "./IContributionToken.sol";
import {IMemberRegistry} from "./IMemberRegistry.sol";
import {IRoundManager} from "./IRoundManager.sol";

/// @title IRoundCourt
/// @notice Every penalty, and the appeal: bonded disputes of one verdict or one aggregate before a jury drawn from the ring.
/// @dev Amounts are in units of 10⁻¹⁸ CWT, times in seconds since 1970, gains in ppm. Nobody owns it.
///
/// Faults (code, basis points of the stake, subject under which it is punished once per round):
///  1 UpdateNotRevealed    200  sequence             8 AttesterAbsent     100  slot
///  2 VerifierAbsent       100  index; retry 2^16+   9 SliceNotRevealed   500  0
///  3 ScoresNotRevealed    500  index; retry 2^16+  10 Copy              2000  index of the copy
///  4 Unavailable          200  index               11 FieldWrong        1000  256·dispute + place in the panel
///  5 Malformed           2000  index               12 Lie             10 000  under 11, and ban
///  6 Harmful             1000  index               13 BallotAbsent       100  256·dispute + place
///  7 WrongAttestation    2500  slot                14 BallotNotRevealed  500  256·dispute + place
/// Proven faults pay the prover half of the part that is the member's own; 4, 5 and 6 burn whole, since those who voted
/// must not gain; 11, 12 and a jury's 7 pay the disputer, whoever sends the proof.
///
/// A dispute takes at most its four durations together, which the round's deadline is prolonged by; so a round ends within
/// `longestRound` however many are opened. Each goes on to its end where another one voided the round: what it finds is
/// recorded and punished, so that a round cannot be voided to spare a liar.
///
/// Jury. Place i of a dispute's jury is ring position inverse(key, n, i), i below `places`, without the excluded: the owner
/// and the panel that gave the verdict (and the first one where a second did), or the attesters. Where fewer than three would
/// remain, only the owner (or nobody) is excluded; such a jury corrects, but finds no Lie. Majorities are of all jurors, not of those who voted. Jurors are not paid:
/// they would lean towards whoever pays.
///
/// Assumptions. Safety: fewer than half of a jury collude; a block's hash cannot be chosen `seedDelayBlocks` ahead; `roundManager`
/// and `registry` are those of the deployment. Liveness: somebody sends `drawJury` and `resolve` in time, else the bond is lost.
interface IRoundCourt {
    /// @notice What is disputed.
    enum Kind {
        Score,
        Aggregate
    }

    /// @notice How a dispute ended.
    enum Outcome {
        None, // it has not
        Upheld, // the bond burns
        Overturned, // the bond returns
        NoMajority, // the bond returns
        Lapsed // nobody resolved it in time: the bond burns
    }

    /// @notice Constants of one deployment.
    struct Params {
        uint96 bond; // of a dispute
        uint8 jurySize; // jurors where the ring has as many, 3 … 31
        uint8 maxDisputes; // disputes of scores per round, 1 … 16; the aggregate's comes besides
        uint16 seedDelayBlocks;
        uint32 drawDuration; // from opening, to draw the jury in
        uint32 commitDuration; // of ballots, from the draw
        uint32 revealDuration; // of ballots
        uint32 resolveDuration; // what is left at least
    }

    /// @notice State of one dispute, as stored.
    struct Dispute {
        // slot 0
        address disputer;
        uint40 until; // last moment to resolve it
        uint40 seedBlock;
        uint16 index; // of the update; 0 for an aggregate
        // slot 1
        uint48 round;
        uint40 commitEnd; // last moment to commit ballots; 0 before the draw
        uint16 participants; // n of the ring
        uint16 position; // of the update on the ring; 0 for an aggregate
        Kind kind;
        Outcome outcome;
        bool isRetried; // the verdict is the retry panel's
        bool isIndependent; // nobody sits on this jury who gave the verdict
        uint8 places;
        uint8 jurors; // J: places that are not excluded
        uint8 commits;
        uint8 reveals;
        IRoundManager.UpdateStatus status; // the jury's verdict, where Overturned
        int24 gain;
        // slot 2
        bytes32 key; // of the jury's permutation; 0 before the draw
    }

    /// @notice What opens an update's commitment besides its content hash.
    struct Opening {
        bytes32 cid;
        uint32 samples;
        bytes32 salt;
    }

    /// @notice `account` lost `amount` of its stake for `fault`; `subject` says which of its acts (see the table above).
    event FaultPunished(
        uint256 indexed round, address indexed account, uint8 fault, uint256 subject, address prover, uint256 amount
    );
    /// @notice A dispute was opened with a bond; `index` is 0 for an aggregate.
    event DisputeOpened(
        uint256 indexed id,
        uint256 indexed round,
        address indexed disputer,
        Kind kind,
        uint16 index,
        bool isRetried,
        bool isIndependent,
        uint40 seedBlock,
        uint40 until
    );
    /// @notice Nobody drew the jury while the seed block's hash could be read: a later block takes its place.
    event JurySeedPinned(uint256 indexed id, uint40 seedBlock);
    /// @notice The jury is known; ballots can be committed until `commitEnd`.
    event JuryDrawn(uint256 indexed id, bytes32 key, uint8 places, uint8 jurors, uint40 commitEnd);
    /// @notice A juror committed to its ballot.
    event BallotCommitted(uint256 indexed id, uint8 place, address indexed juror, bytes32 commitment);
    /// @notice A juror opened its ballot.
    event BallotRevealed(uint256 indexed id, uint8 place, address indexed juror, uint256 ballot);
    /// @notice A dispute ended. `status` and `gain` are the jury's where it overturned a score; `votes` agree with the outcome.
    event DisputeResolved(
        uint256 indexed id, Outcome outcome, IRoundManager.UpdateStatus status, int24 gain, uint8 votes
    );

    // --- errors -------------------------------------------------------------------------------------------------------

    /// @notice Thrown when the time in which a fault could happen is not over, or never was.
    error FaultNotProvable(IRoundManager.Phase actual, IRoundManager.VoidReason voidReason);
    /// @notice Thrown when an account's entry is not the one that the fault leaves behind.
    error NoFault(address account, IRoundManager.Entry actual, IRoundManager.Entry faulty);
    /// @notice Thrown when a fault was punished already.
    error AlreadyPunished(uint256 round, uint8 fault, uint256 subject);
    /// @notice Thrown when none of the updates that `index` would score again was left Unscored by its first panel.
    error NoRetryDuty(uint256 round, uint256 index);
    /// @notice Thrown when a verdict costs nothing.
    error NoFaultyVerdict(uint256 index, IRoundManager.UpdateStatus status);
    /// @notice Thrown when a slot did not attest, or its attestation is the model's.
    error NoWrongAttestation(uint256 slot, bytes32 attestation);
    /// @notice Thrown when the steward opened its slice, or the round had none.
    error NoSilentSteward(IRoundManager.Seal seal);
    /// @notice Thrown when an opening is not of the commitment. Both sides are cut to the bits that are stored.
    error CommitmentMismatch(bytes32 committed, bytes32 opened);
    /// @notice Thrown when the update that is called a copy was committed first.
    error NotTheCopy(uint256 originalSequence, uint256 copySequence);

    /// @notice Thrown when a dispute was never opened.
    error NoSuchDispute(uint256 id, uint256 count);
    /// @notice Thrown when a round cannot be disputed in its phase.
    error WrongPhase(IRoundManager.Phase actual, IRoundManager.Phase expected);
    /// @notice Thrown when a dispute comes after the Challenge's own end; other disputes do not prolong it.
    error DisputeTooLate(uint256 challengeEnd, uint256 currentTime);
    /// @notice Thrown when an update, or an aggregate, is disputed twice.
    error AlreadyDisputed(uint256 round, uint256 id);
    /// @notice Thrown when a round has as many disputes of scores as it may.
    error TooManyDisputes(uint256 round, uint256 maximum);
    /// @notice Thrown when there is no verdict that a jury could judge: Pending, an Unscored update that nobody settled again,
    /// or Unavailable (availability is a statement about a time that has passed).
    error NothingToDispute(uint256 index, IRoundManager.UpdateStatus status);
    /// @notice Thrown when the seed block is not mined.
    error SeedNotReady(uint256 seedBlock, uint256 currentBlock);
    /// @notice Thrown when the jury was drawn already.
    error JuryIsDrawn(uint256 id);
    /// @notice Thrown when the jury is not drawn yet.
    error JuryNotDrawn(uint256 id);
    /// @notice Thrown when an act of a dispute comes after its time.
    error DeadlinePassed(uint256 deadline, uint256 currentTime);
    /// @notice Thrown when an act of a dispute comes before its time.
    error TooEarly(uint256 deadline, uint256 currentTime);
    /// @notice Thrown when a jury has no such place.
    error NoSuchPlace(uint256 place, uint256 places);
    /// @notice Thrown when whoever sits at a place took part in the verdict.
    error PlaceExcluded(uint256 id, uint256 place);
    /// @notice Thrown when the caller does not sit at this place.
    error NotJuror(address caller, address juror);
    /// @notice Thrown when a juror's ballot is not at the step that this act continues.
    error WrongEntry(address account, IRoundManager.Entry actual, IRoundManager.Entry expected);
    /// @notice Thrown when a ballot says nothing that counts.
    error InvalidBallot(uint256 ballot);
    /// @notice Thrown when a dispute ended already, or did not end as the act needs.
    error WrongOutcome(uint256 id, Outcome actual, Outcome expected);
    /// @notice Thrown when a dispute is of the other kind.
    error WrongKind(uint256 id, Kind actual, Kind expected);
    /// @notice Thrown when a panel has no such place.
    error NoSuchVerifier(uint256 place, uint256 verifiers);
    /// @notice Thrown when a verifier said nothing that the jury's verdict contradicts.
    error NoWrongField(address verifier, uint256 field);
    /// @notice Thrown when a slot was not counted for the aggregate that the jury refused.
    error NotCounted(uint256 slot);

    /// @notice Thrown at deployment when a constant lies outside its bounds; `name` is its name in Params.
    error ParameterOutOfBounds(bytes32 name, uint256 value, uint256 least, uint256 most);
    /// @notice Thrown at deployment when another contract names another court than this one.
    error WiredElsewhere(address actual, address expected);

    // --- proven faults ------------------------------------------------------------------------------------------------

    /// @notice Proves that `trainer` committed and did not reveal.
    /// @dev Requirements: the round's Reveal phase is over (a round voided before it has none).
    function slashUnrevealedUpdate(uint256 round, address trainer) external;
    /// @notice Proves that the owner of `index` did not commit scores, to the first panel or to the retry.
    /// @dev Requirements: ScoreReveal, or RetryReveal, is over; in the retry it had an Unscored update to score.
    function slashAbsentVerifier(uint256 round, uint16 index, bool retry) external;
    /// @notice Proves that the owner of `index` committed scores and did not reveal them.
    /// @dev Requirements: as for an absent verifier.
    function slashUnrevealedScores(uint256 round, uint16 index, bool retry) external;
    /// @notice Executes an Unavailable, Malformed or Harmful verdict after the time to appeal. All of it burns.
    /// @dev Requirements: the round is Finalized, or a jury voided it and a jury has judged this verdict. A round that had no
    /// Challenge had no appeal: its verdicts cost nothing.
    function slashVerdict(uint256 round, uint16 index) external;
    /// @notice Proves that the attestation of `slot` is not the model's.
    /// @dev Requirements: Finalized. Before, the model can still be overturned, and then those who disagreed were right.
    function slashWrongAttestation(uint256 round, uint8 slot) external;
    /// @notice Proves that `slot` did not attest in a round that found no quorum.
    /// @dev Requirements: Voided for NoQuorum. With a quorum the phase may have ended before the slow ones came: they lose their
    /// pay only.
    function slashAbsentAttester(uint256 round, uint8 slot) external;
    /// @notice Proves that the steward did not open its slice.
    /// @dev Requirements: the round's Reveal phase is over, and it was opened with a slice.
    function slashUnrevealedSlice(uint256 round) external;
    /// @notice Proves that two updates have the same bytes: the one that was committed later is the copy. In Challenge its owner
    /// loses every reward of the round besides.
    /// @dev Requirements: both are revealed and the openings are theirs; Challenge phase or the round has ended (earlier, an
    /// accomplice could prove it before anything can be forfeited).
    function proveCopy(
        uint256 round,
        address original,
        address copy,
        bytes32 contentHash,
        Opening calldata originalOpening,
        Opening calldata copyOpening
    ) external;

    // --- disputes -----------------------------------------------------------------------------------------------------

    /// @notice Disputes the verdict on an update, with a bond (needs an allowance).
    /// @dev Requirements: Challenge phase, before its own end; the verdict can be judged; not disputed yet; at most `maxDisputes`
    /// a round.
    function disputeScore(uint256 round, uint16 index) external returns (uint256 id);
    /// @notice Disputes the round's model: that it is the aggregate of the updates that were Accepted when it was proposed.
    /// @dev Requirements: as for a score.
    function disputeAggregate(uint256 round) external returns (uint256 id);
    /// @notice Draws the jury once the seed block is mined; where its hash is gone, pins a later block instead. Anyone.
    /// @dev Requirements: within `drawDuration` of the opening; not drawn yet.
    function drawJury(uint256 id) external;
    /// @notice Commits the juror at `place` to its ballot.
    /// @dev Requirements: the jury is drawn; before `commitEnd`; the caller sits at this place; once.
    /// @param commitment CommitHash.ballot.
    function commitBallot(uint256 id, uint8 place, bytes32 commitment) external;
    /// @notice Opens a ballot.
    /// @dev Requirements: `commitEnd` has passed or every juror has committed; at most `revealDuration` later; the arguments
    /// open the commitment.
    /// @param ballot Score: a field of a score word that says something (1, 2, or 16 and more). Aggregate: 1 right, 2 wrong.
    function revealBallot(uint256 id, uint8 place, uint256 ballot, bytes32 salt) external;
    /// @notice Ends a dispute: counts the ballots, corrects the round, returns or burns the bond. Anyone.
    /// @dev Requirements: every juror has revealed, or the time for it is over; or the dispute has lapsed (not drawn in its time,
    /// or not resolved until its end). A score is overturned where more than half of all jurors agree on a verdict that is not
    /// within tau of the settled gain (or on Malformed, or that it is not). A majority for Unavailable shows nothing: upheld.
    function resolve(uint256 id) external;
    /// @notice Punishes the panel's verifier `j` for a field that an overturning jury contradicts: FieldWrong, or Lie where one
    /// accepts what the other finds Harmful or Malformed. A field that says nothing, or Unavailable, is none.
    /// @param j Field of its word, below k: the owner at position p−1−j, or p−k−1−j for a retried update.
    function slashField(uint256 id, uint8 j) external;
    /// @notice Punishes an attester that was counted for a model that the jury refused.
    function slashAttester(uint256 id, uint8 slot) external;
    /// @notice Proves that a juror did not commit.
    /// @dev Requirements: `commitEnd` has passed.
    function slashAbsentJuror(uint256 id, uint8 place) external;
    /// @notice Proves that a juror committed and did not reveal.
    /// @dev Requirements: the time for it has passed.
    function slashUnrevealedBallot(uint256 id, uint8 place) external;

    // --- views --------------------------------------------------------------------------------------------------------

    /// @notice The constants of this deployment.
    function params() external view returns (Params memory);
    /// @notice The rounds that are judged.
    function roundManager() external view returns (IRoundManager);
    /// @notice The registry that penalties are taken through.
    function registry() external view returns (IMemberRegistry);
    /// @notice The token of the bonds.
    function token() external view returns (IContributionToken);
    /// @notice Number of disputes so far; they are numbered from 1.
    function disputeCount() external view returns (uint256);
    /// @notice Sum of the bonds of disputes that have not ended. Tokens sent here by mistake do not count.
    function totalBonds() external view returns (uint256);
    /// @notice State of a dispute.
    function disputeOf(uint256 id) external view returns (Dispute memory);
    /// @notice A round's disputes: until when they can be opened (0 before the first), how many scores are disputed, and the
    /// dispute of its aggregate (0: none).
    function disputesOf(uint256 round)
        external
        view
        returns (uint256 challengeEnd, uint256 scores, uint256 aggregateDispute);
    /// @notice The dispute of an update's verdict; 0 where there is none.
    function scoreDisputeOf(uint256 round, uint256 index) external view returns (uint256 id);
    /// @notice Who sits at `place`. Reverts where nobody does.
    function jurorAt(uint256 id, uint256 place) external view returns (address juror);
    /// @notice A juror's entry, and its ballot once Revealed.
    function ballotOf(uint256 id, uint256 place) external view returns (IRoundManager.Entry entry, uint256 ballot);
    /// @notice Whether a fault was punished; see the table above for `subject`. Lie is kept under FieldWrong.
    function isPunished(uint256 round, uint8 fault, uint256 subject) external view returns (bool);
    /// @notice Whether the owner of `index` had an Unscored update to score again.
    function hasRetryDuty(uint256 round, uint256 index) external view returns (bool);
}
