// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IContributionToken} from "./IContributionToken.sol";
import {IGuardian} from "./IGuardian.sol";
import {IRoundManager} from "./IRoundManager.sol";

/// @title IMemberRegistry
/// @notice Who takes part: applications, committee reviews, the airdrop and its vesting, bonds, exits, penalties, bans.
/// @dev Amounts are in units of 10⁻¹⁸ CWT, times in seconds since 1970, shares in basis points.
///
/// Nobody owns it. All amounts are fixed at deployment; only the court takes stake or bans; only the timelock, so a vote of
/// the community, gives out committee seats, and every seat expires by itself. The guardian can stop newcomers
/// for a while (`applyToJoin`, `review`, `admit`), never those who are here: bonds, exits, vesting and vetoes go on.
///
/// Assumptions. Safety: `token` is ContributionToken (no fee, no callback); `court` slashes and bans only by the rules of the
/// protocol; `roundManager` never changes the verdict, or the owner, of an update once its round is Finalized. Liveness:
/// `threshold` seat holders review applications and the timelock renews their seats; nothing else waits for anybody.
///
/// Standing: None → Applied → Probation → Active → Exiting → None, or from any of them → Banned, for ever.
///
/// A stake has two parts: the member's own tokens (bonded or vested), and what is unvested of its grant. Both satisfy the
/// bond and both can be slashed, the own part first. The unvested part pays nobody: not the member who leaves, not
/// the prover of a fault. A vote of the committee belongs to the seat: a later holder cannot vote on the
/// same application again.
interface IMemberRegistry {
    // --- types --------------------------------------------------------------------------------------------------------

    /// @notice Standing of an account.
    enum Status {
        None,
        Applied,
        Probation,
        Active,
        Exiting,
        Banned
    }

    /// @notice State of an application.
    enum ApplicationState {
        None,
        Open,
        Approved,
        Refused,
        Probation
    }

    /// @notice The contracts around this one. `guardian` may be zero: then nothing can be paused.
    struct Wiring {
        IContributionToken token;
        address roundManager;
        address court;
        address timelock;
        IGuardian guardian;
    }

    /// @notice Bounded constants of one deployment (docs/protocol.md).
    struct Params {
        uint8 threshold; // approvals that admit, 1 … seats
        uint8 vetoThreshold; // vetoes that refuse after all, 1 … seats
        uint96 minBond;
        uint96 grant;
        uint96 grantBudget; // most that all grants together ever mint
        uint40 exitDelay;
        uint40 vetoWindow; // 0: the approving review admits at once
        uint40 seatTerm; // of the first holders
        uint16 admissionBurst; // admissions at once, after a quiet time
        uint16 admissionsPerDay; // in the long run
    }

    // --- events -------------------------------------------------------------------------------------------------------

    /// @notice An account asked to join. `requestCid` names a signed document, `requestHash` is its SHA-256; `peerId` and
    /// `encryptionKey` are how others reach it and write to it.
    event Applied(
        uint256 indexed application,
        address indexed applicant,
        bytes32 requestHash,
        bytes32 requestCid,
        bytes peerId,
        bytes32 encryptionKey
    );
    /// @notice A seat holder gave its verdict; `reasonHash` is the SHA-256 of its published reason.
    event Reviewed(uint256 indexed application, address indexed reviewer, bool approve, bytes32 reasonHash);
    /// @notice The threshold was reached; until `admitAt` seats can veto, from then on anybody can admit.
    event ProbationStarted(uint256 indexed application, address indexed applicant, uint256 admitAt);
    /// @notice A seat holder objected to an approved application.
    event Vetoed(uint256 indexed application, address indexed reviewer, bytes32 reasonHash);
    /// @notice So many seats refused that the threshold is out of reach, or enough vetoed. The applicant may apply again.
    event Rejected(uint256 indexed application, address indexed applicant);
    /// @notice An approved applicant became a member and `grant` was minted into its stake.
    event Admitted(uint256 indexed application, address indexed member, uint256 grant);
    /// @notice A member is reached elsewhere from now on.
    event PeerUpdated(address indexed member, bytes peerId, bytes32 encryptionKey);
    /// @notice An accepted update turned `amount` of its owner's grant into its own tokens; `unvested` is left.
    event Vested(address indexed member, uint256 indexed round, uint16 index, uint256 amount, uint256 unvested);
    /// @notice A member added `amount` of its own to its stake, now `stake`.
    event Bonded(address indexed member, uint256 amount, uint256 stake);
    /// @notice A member asked to leave; its stake is free, and can be slashed, until `exitAt`.
    event ExitStarted(address indexed member, uint256 exitAt);
    /// @notice A member left: `paid` went to it, `burned` is what was unvested of its grant.
    event Exited(address indexed member, uint256 paid, uint256 burned);
    /// @notice A member lost `amount` of its stake, now `stake`, for `fault` (docs/protocol.md) in `round`.
    /// `burned + bounty == amount`; `prover` is zero where those who voted found the fault.
    event Slashed(
        address indexed member,
        uint256 indexed round,
        uint8 fault,
        uint256 amount,
        uint256 burned,
        uint256 bounty,
        address prover,
        uint256 stake
    );
    /// @notice An account was shut out for ever; `burned` is the stake that penalties had left.
    event Banned(address indexed account, uint256 burned);
    /// @notice A committee seat has a new holder (zero: it is empty) until `expiresAt`.
    event SeatSet(uint256 indexed seat, address indexed holder, uint40 expiresAt);

    // --- errors -------------------------------------------------------------------------------------------------------

    /// @notice Thrown when the guardian has paused joining.
    error JoiningPaused();
    /// @notice Thrown when an act needs another standing than the account has.
    error WrongStatus(address account, Status actual, Status expected);
    /// @notice Thrown when a caller without a committee seat reviews or vetoes.
    error NotSeatHolder(address caller);
    /// @notice Thrown when the caller's seat has expired.
    error SeatExpired(uint256 seat, uint256 expiresAt, uint256 currentTime);
    /// @notice Thrown when a seat reviews the same application twice.
    error AlreadyReviewed(uint256 application, address reviewer);
    /// @notice Thrown when a seat vetoes the same application twice.
    error AlreadyVetoed(uint256 application, address reviewer);
    /// @notice Thrown when an application is decided, or does not exist.
    error ApplicationNotOpen(uint256 application, ApplicationState actual);
    /// @notice Thrown when an application is vetoed or admitted that no review approved, or that is decided.
    error NotInProbation(uint256 application, ApplicationState actual);
    /// @notice Thrown when an application is admitted while seats can still veto.
    error VetoWindowOpen(uint256 admitAt, uint256 currentTime);
    /// @notice Thrown when a veto comes too late.
    error VetoWindowOver(uint256 admitAt, uint256 currentTime);
    /// @notice Thrown when too many were admitted lately; `nextAt` is when the next one can be.
    error AdmissionsLimited(uint256 nextAt, uint256 currentTime);
    /// @notice Thrown when a grant would exceed what all grants together may mint.
    error GrantBudgetExhausted(uint256 needed, uint256 budget);
    /// @notice Thrown when a libp2p peer id is longer than any real one.
    error PeerIdTooLong(uint256 length, uint256 maximum);
    /// @notice Thrown when an exit is finished before its delay is over.
    error ExitTooEarly(uint256 exitAt, uint256 currentTime);
    /// @notice Thrown when a grant would vest by a round that is not Finalized.
    error RoundNotFinalized(uint256 round, IRoundManager.Phase actual);
    /// @notice Thrown when a grant would vest by an update that was not accepted.
    error UpdateNotAccepted(uint256 round, uint256 index, IRoundManager.UpdateStatus actual);
    /// @notice Thrown when an accepted update was proven to be a copy: it vests nothing.
    error UpdateIsForfeited(uint256 round, uint256 index);
    /// @notice Thrown when this (round, index) was counted before.
    error AlreadyVested(uint256 round, uint256 index);
    /// @notice Thrown when the update's owner has no unvested grant.
    error NothingToVest(address owner);
    /// @notice Thrown when a grant would vest by a round that is older than it, after a member left and came back.
    error OlderThanGrant(uint256 round, uint256 admittedIn);
    /// @notice Thrown when another caller than the court slashes or bans.
    error NotCourt(address caller, address court);
    /// @notice Thrown when another caller than the timelock gives out a seat.
    error NotTimelock(address caller, address timelock);
    /// @notice Thrown when a penalty exceeds the whole stake.
    error PenaltyAboveWhole(uint256 bps, uint256 whole);
    /// @notice Thrown when a seat number does not exist.
    error NoSuchSeat(uint256 seat, uint256 seats);
    /// @notice Thrown when a seat is given to the holder of another one, even an expired one (empty that first).
    error SeatTaken(address holder, uint256 seat);
    /// @notice Thrown when a seat's term ends before it begins or is too long, or an empty seat has one.
    error BadTerm(uint256 expiresAt, uint256 least, uint256 most);

    /// @notice Thrown at deployment when the number of seats is not 1 … MAX_SEATS.
    error BadSeatCount(uint256 seats, uint256 maximum);
    /// @notice Thrown at deployment when a threshold is not 1 … seats.
    error BadThreshold(uint256 threshold, uint256 seats);
    /// @notice Thrown at deployment when a seat is given to the zero address or twice to one account.
    error BadSeat(uint256 seat, address holder);
    /// @notice Thrown at deployment when the grant alone would not make a newcomer eligible, or the bond is zero.
    error BadBond(uint256 minBond, uint256 grant);
    /// @notice Thrown at deployment when the budget does not hold a single grant, or exceeds the token's cap.
    error BadGrantBudget(uint256 grantBudget, uint256 grant, uint256 cap);
    /// @notice Thrown at deployment when a constant lies outside its bounds; `name` is its name in Params.
    error ParameterOutOfBounds(bytes32 name, uint256 value, uint256 least, uint256 most);
    /// @notice Thrown at deployment when a role that cannot be empty is.
    error ZeroRole(address roundManager, address court, address timelock);
    /// @notice Thrown at deployment when a guardian is named where no contract is: it could never let anybody in.
    error GuardianWithoutCode(address guardian);
    /// @notice Thrown at deployment when the token names another registry than this one.
    error WiredElsewhere(address actual, address expected);

    // --- joining ------------------------------------------------------------------------------------------------------

    /// @notice Asks to join.
    /// @dev Effects: a new open application; the caller is Applied. Requirements: joining is not paused; the caller is None.
    /// @param requestHash SHA-256 of the signed request.
    /// @param requestCid 32-byte digest of its CIDv0.
    /// @param peerId The caller's libp2p peer id, at most MAX_PEER_ID_BYTES.
    /// @param encryptionKey The caller's X25519 public key.
    /// @return application Its number, from 1.
    function applyToJoin(bytes32 requestHash, bytes32 requestCid, bytes calldata peerId, bytes32 encryptionKey)
        external
        returns (uint256 application);

    /// @notice Gives a committee seat's verdict, once per application.
    /// @dev Effects: with the approval that reaches the threshold the applicant is in Probation for `vetoWindow` seconds, or
    /// where that is 0 admitted at once (see `admit`); with the refusal that puts the threshold out of reach it is None
    /// again. Requirements: joining is not paused; the caller holds a seat that has not expired; the application is
    /// open and its applicant not banned since; where this admits, those of `admit`.
    function review(uint256 application, bool approve, bytes32 reasonHash) external;

    /// @notice Objects to an approved application, once per seat. `vetoThreshold` vetoes refuse it: the applicant is None.
    /// @dev Requirements: the caller holds a seat that has not expired; the application is in probation, its window open and
    /// its applicant not banned since. Never paused.
    function veto(uint256 application, bytes32 reasonHash) external;

    /// @notice Admits an approved applicant whose veto window is over. Anybody.
    /// @dev Effects: the applicant is Active with the grant, unvested, as its stake. Requirements: joining is not paused; the
    /// application is in probation, its window over and its applicant not banned since; the rate limit lets one in; the
    /// budget holds another grant. Where one of these fails the application stays as it is, to be tried again; an
    /// exhausted budget never grows, so then nobody is admitted any more.
    function admit(uint256 application) external;

    /// @notice Changes how others reach the caller and write to it.
    /// @dev Requirements: the caller is Active or Exiting.
    function updatePeer(bytes calldata peerId, bytes32 encryptionKey) external;

    // --- stake --------------------------------------------------------------------------------------------------------

    /// @notice Adds to the caller's stake from its own tokens (needs an allowance).
    /// @dev Requirements: the caller is Active. Where this lifts the stake to the bond, eligibility starts anew.
    function bond(uint96 amount) external;

    /// @notice Turns a fifth of its owner's grant into its own tokens for an accepted update, once. Anybody.
    /// @dev Effects: marks (round, index); the owner's unvested part shrinks by a fifth of `grant` (rounded down), or by all
    /// that is left where that is less, or more by the rounding alone; its stake stays. So five accepted updates vest a
    /// whole grant, and fewer do after a penalty took a part of it. Requirements: the round is Finalized, the
    /// update accepted; its owner was admitted before the round opened and has an unvested grant, which it
    /// keeps in exit.
    /// @return amount What vested.
    function vest(uint256 round, uint16 index) external returns (uint256 amount);

    /// @notice Starts to leave. From here the caller cannot commit updates; its running duties and penalties go on.
    /// @dev Requirements: the caller is Active. Never paused.
    function startExit() external;

    /// @notice Leaves: pays the caller's own part of the stake, burns what is unvested of the grant.
    /// @dev Requirements: the caller is Exiting and `exitAt` has come. Never paused.
    function finishExit() external;

    // --- court and timelock -------------------------------------------------------------------------------------------

    /// @notice Takes a penalty of `bps` of the stake, rounded up. With a `prover` half of what comes out of the member's own
    /// part (rounded down) is its bounty; the rest burns. Only the court.
    /// @dev A member's own tokens go first, then its grant: so a penalty costs even those whose grant will burn anyway. The
    /// unvested part burns whole, else a second account could prove one's own fault and carry half of a grant away.
    /// An account without stake loses 0.
    function slash(address member, uint16 bps, uint8 fault, uint256 round, address prover)
        external
        returns (uint256 amount);

    /// @notice Shuts an account out for ever, whatever its standing. Only the court, after a penalty of the whole stake.
    /// @dev Effects: Banned; what a penalty left of its stake burns; an application of it can no longer be decided. Nothing
    /// happens to an account that is banned already. A committee seat is not touched: that is the timelock's to take.
    function ban(address account) external;

    /// @notice Gives a committee seat to `holder` until `expiresAt`, or empties it (zero, 0). Only the timelock.
    /// @dev Requirements: the holder has no other seat, expired or not; the term ends later than now and within LONGEST_TERM.
    function setSeat(uint256 seat, address holder, uint40 expiresAt) external;

    // --- members ------------------------------------------------------------------------------------------------------

    /// @notice Whether `member` may commit to a round opened at `openedAt`: Active, bonded, and both since before.
    function isEligible(address member, uint256 openedAt) external view returns (bool);
    /// @notice Members that are Active and bonded now.
    function eligibleCount() external view returns (uint16);
    /// @notice Stake of `member`, its grant included.
    function stakeOf(address member) external view returns (uint256);
    /// @notice Part of the stake that is grant, neither vested nor taken by penalties; burns on exit.
    function unvestedOf(address member) external view returns (uint256);
    /// @notice Standing of `member`.
    function statusOf(address member) external view returns (Status);
    /// @notice When the stake of an Exiting member is free; 0 for anybody else.
    function exitAtOf(address member) external view returns (uint256);
    /// @notice Latest round when `member` was admitted: only later ones vest its grant.
    function admittedIn(address member) external view returns (uint256);
    /// @notice Whether (round, index) has vested its owner's grant.
    function isVested(uint256 round, uint256 index) external view returns (bool);
    /// @notice Sum of all stakes: what the registry holds for members. Tokens sent here by mistake do not count.
    function totalStake() external view returns (uint256);

    // --- applications -------------------------------------------------------------------------------------------------

    /// @notice State and votes of an application.
    function applicationOf(uint256 application)
        external
        view
        returns (address applicant, ApplicationState state, uint8 approvals, uint8 refusals);
    /// @notice When an approved application can be admitted, and the vetoes so far; zeros before its approval, and always
    /// where there is no veto window.
    function probationOf(uint256 application) external view returns (uint40 admitAt, uint8 vetoes);
    /// @notice Number of applications so far.
    function applicationCount() external view returns (uint256);
    /// @notice From when on the rate limit lets the next one in; now or earlier: at once.
    function nextAdmissionAt() external view returns (uint256);
    /// @notice What all grants so far minted, of `grantBudget`.
    function grantsMinted() external view returns (uint256);

    // --- committee ----------------------------------------------------------------------------------------------------

    /// @notice Number of committee seats.
    function seatCount() external view returns (uint8);
    /// @notice Holder of a seat, from 0; zero where it is empty or has expired. The steward of round r is the holder of seat
    /// r mod seatCount; without one, the round opens unsealed after the steward's window.
    function seatHolder(uint256 seat) external view returns (address);
    /// @notice Holder of a seat and end of its term as set last, expired or not.
    function seatOf(uint256 seat) external view returns (address holder, uint40 expiresAt);

    // --- constants ----------------------------------------------------------------------------------------------------

    /// @notice Approvals that admit.
    function threshold() external view returns (uint8);
    /// @notice Vetoes that refuse an approved application.
    function vetoThreshold() external view returns (uint8);
    /// @notice Least stake of an eligible member.
    function minBond() external view returns (uint96);
    /// @notice What a newcomer gets into its stake.
    function grant() external view returns (uint96);
    /// @notice Most that all grants together ever mint; what burns does not come back.
    function grantBudget() external view returns (uint96);
    /// @notice Seconds between `startExit` and `finishExit`; longer than a round can last.
    function exitDelay() external view returns (uint40);
    /// @notice Seconds between approval and admission.
    function vetoWindow() external view returns (uint40);
    /// @notice Admissions at once, after a quiet time.
    function admissionBurst() external view returns (uint16);
    /// @notice Admissions a day in the long run.
    function admissionsPerDay() external view returns (uint16);
    /// @notice The token that stakes are held in.
    function token() external view returns (IContributionToken);
    /// @notice The contract whose verdicts vest grants.
    function roundManager() external view returns (address);
    /// @notice The only contract that can slash and ban.
    function court() external view returns (address);
    /// @notice The only account that can give out seats.
    function timelock() external view returns (address);
    /// @notice The contract that can pause joining; zero where there is none.
    function guardian() external view returns (IGuardian);
}
