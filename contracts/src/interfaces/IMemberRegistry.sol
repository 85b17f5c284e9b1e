// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IContributionToken} from "./IContributionToken.sol";

/// @title IMemberRegistry
/// @notice Who takes part: applications, committee reviews, the airdrop, bonds, exits and penalties.
/// @dev Amounts are in units of 10⁻¹⁸ CWT, times in seconds since 1970, shares in basis points.
///
/// Nobody owns it: the committee's seats, its threshold and all amounts are fixed at deployment, and only the
/// RoundManager can take stake, only for faults that it found itself.
///
/// Assumptions. Safety: `token` is ContributionToken (no fee, no callback) and `roundManager` slashes only by the rules of
/// the protocol. Liveness: `threshold` seat holders review applications; nothing else waits for anybody.
///
/// Standing: None → Applied → Active → Exiting → None. Probation and Banned are reserved.
interface IMemberRegistry {
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
        Refused
    }

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
    /// @notice So many seats refused that the threshold is out of reach. The applicant may apply again.
    event Rejected(uint256 indexed application, address indexed applicant);
    /// @notice The threshold was reached and `grant` was minted into the newcomer's stake.
    event Admitted(uint256 indexed application, address indexed member, uint256 grant);
    /// @notice A member added `amount` of its own to its stake, now `stake`.
    event Bonded(address indexed member, uint256 amount, uint256 stake);
    /// @notice A member asked to leave; its stake is free, and can be slashed, until `exitAt`.
    event ExitStarted(address indexed member, uint256 exitAt);
    /// @notice A member left: `paid` went to it, `burned` is what remained of its grant.
    event Exited(address indexed member, uint256 paid, uint256 burned);
    /// @notice A member lost `amount` of its stake, now `stake`, for `fault` (docs/protocol.md) in `round`.
    /// `burned + bounty == amount`; `prover` is zero where `settle` found the fault.
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

    /// @notice An account was shut out for good.
    event Banned(address indexed account);

    /// @notice Thrown when an act needs another standing than the account has.
    error WrongStatus(address account, Status actual, Status expected);
    /// @notice Thrown when a caller without a committee seat reviews.
    error NotSeatHolder(address caller);
    /// @notice Thrown when a seat reviews the same application twice.
    error AlreadyReviewed(uint256 application, address reviewer);
    /// @notice Thrown when an application is decided, or does not exist.
    error ApplicationNotOpen(uint256 application, ApplicationState actual);
    /// @notice Thrown when a libp2p peer id is longer than any real one.
    error PeerIdTooLong(uint256 length, uint256 maximum);
    /// @notice Thrown when an exit is finished before its delay is over.
    error ExitTooEarly(uint256 exitAt, uint256 currentTime);
    /// @notice Thrown when another caller than the RoundCourt slashes or bans.
    error NotCourt(address caller, address court);
    /// @notice Thrown when a penalty exceeds the whole stake.
    error PenaltyAboveWhole(uint256 bps, uint256 whole);
    /// @notice Thrown when a seat number does not exist.
    error NoSuchSeat(uint256 seat, uint256 seats);

    /// @notice Thrown at deployment when the number of seats is not 1 … MAX_SEATS.
    error BadSeatCount(uint256 seats, uint256 maximum);
    /// @notice Thrown at deployment when the threshold is not 1 … seats.
    error BadThreshold(uint256 threshold, uint256 seats);
    /// @notice Thrown at deployment when a seat is given to the zero address or twice to one account.
    error BadSeat(uint256 seat, address holder);
    /// @notice Thrown at deployment when the grant alone would not make a newcomer eligible, or the bond is zero.
    error BadBond(uint256 minBond, uint256 grant);
    /// @notice Thrown at deployment when the token names another registry than this one.
    error WiredElsewhere(address actual, address expected);

    /// @notice Asks to join.
    /// @dev Effects: a new open application; the caller is Applied. Requirements: the caller is None.
    /// @param requestHash SHA-256 of the signed request.
    /// @param requestCid 32-byte digest of its CIDv0.
    /// @param peerId The caller's libp2p peer id, at most MAX_PEER_ID_BYTES.
    /// @param encryptionKey The caller's X25519 public key.
    /// @return application Its number, from 1.
    function applyToJoin(bytes32 requestHash, bytes32 requestCid, bytes calldata peerId, bytes32 encryptionKey)
        external
        returns (uint256 application);

    /// @notice Gives a committee seat's verdict, once per application.
    /// @dev Effects: with the approval that reaches the threshold the applicant is Active with the grant as its stake; with
    /// the refusal that puts the threshold out of reach it is None again. Requirements: the caller holds a seat; the
    /// application is open.
    function review(uint256 application, bool approve, bytes32 reasonHash) external;

    /// @notice Adds to the caller's stake from its own tokens (needs an allowance).
    /// @dev Requirements: the caller is Active. Where this lifts the stake to the bond, eligibility starts anew.
    function bond(uint96 amount) external;

    /// @notice Starts to leave. From here the caller cannot commit updates; its running duties and penalties go on.
    /// @dev Requirements: the caller is Active.
    function startExit() external;

    /// @notice Leaves: pays the caller's own part of the stake, burns what remains of the grant.
    /// @dev Requirements: the caller is Exiting and `exitAt` has come.
    function finishExit() external;

    /// @notice Takes a penalty of `bps` of the stake, rounded up. With a `prover` half of it (rounded down) is its bounty; the
    /// rest burns. Only the RoundCourt.
    /// @dev A member's own tokens go first, then its grant: so a penalty costs even those whose grant will burn anyway. An
    /// account without stake loses 0.
    function slash(address member, uint16 bps, uint8 fault, uint256 round, address prover)
        external
        returns (uint256 amount);

    /// @notice Shuts an account out for good. Only the RoundCourt.
    function ban(address account) external;

    /// @notice Whether `member` may commit to a round opened at `openedAt`: Active, bonded, and both since before.
    function isEligible(address member, uint256 openedAt) external view returns (bool);
    /// @notice Members that are Active and bonded now.
    function eligibleCount() external view returns (uint16);
    /// @notice Stake of `member`, its grant included.
    function stakeOf(address member) external view returns (uint256);
    /// @notice Part of the stake that is what penalties left of the grant; burns on exit.
    function unvestedOf(address member) external view returns (uint256);
    /// @notice Standing of `member`.
    function statusOf(address member) external view returns (Status);
    /// @notice When the stake of an Exiting member is free; 0 for anybody else.
    function exitAtOf(address member) external view returns (uint256);
    /// @notice State and votes of an application.
    function applicationOf(uint256 application)
        external
        view
        returns (address applicant, ApplicationState state, uint8 approvals, uint8 refusals);
    /// @notice Number of applications so far.
    function applicationCount() external view returns (uint256);
    /// @notice Sum of all stakes: what the registry holds for members. Tokens sent here by mistake do not count.
    function totalStake() external view returns (uint256);
    /// @notice Number of committee seats.
    function seatCount() external view returns (uint8);
    /// @notice Holder of a seat, from 0. The steward of round r is the holder of seat r mod seatCount.
    function seatHolder(uint256 seat) external view returns (address);
    /// @notice Approvals that admit.
    function threshold() external view returns (uint8);
    /// @notice Least stake of an eligible member.
    function minBond() external view returns (uint96);
    /// @notice What a newcomer gets into its stake.
    function grant() external view returns (uint96);
    /// @notice Seconds between `startExit` and `finishExit`; longer than a round can last.
    function exitDelay() external view returns (uint40);
    /// @notice The contract whose rounds read eligibility here.
    function roundManager() external view returns (address);
    /// @notice The only contract that can slash and ban.
    function court() external view returns (address);
    /// @notice The token that stakes are held in.
    function token() external view returns (IContributionToken);
}
