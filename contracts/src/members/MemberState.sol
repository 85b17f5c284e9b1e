// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {RateLimiter} from "@openzeppelin/contracts/utils/RateLimiter.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";

import {IContributionToken} from "../interfaces/IContributionToken.sol";
import {IGuardian} from "../interfaces/IGuardian.sol";
import {IMemberRegistry} from "../interfaces/IMemberRegistry.sol";

/// @title MemberState
/// @notice Constants and storage of the registry, checked and filled once, and every view of it.
abstract contract MemberState is IMemberRegistry {
    using BitMaps for BitMaps.BitMap;
    using RateLimiter for RateLimiter.RefillingBucket;

    // --- types and storage --------------------------------------------------------------------------------------------

    /// @dev One slot. 88 bits hold 30 times the token's cap.
    struct Member {
        Status status;
        uint40 since; // Active: eligible since (0: below the bond); Exiting: stake is free at
        uint32 admittedIn; // latest round then: only later ones vest the grant
        uint88 stake; // own tokens and grant
        uint88 unvested; // part of the stake that is grant, neither vested nor taken by penalties
    }

    /// @dev Two slots; the second stays empty where there is no veto window.
    struct Application {
        address applicant;
        ApplicationState state;
        uint8 approvals;
        uint8 refusals;
        uint64 reviewers; // bit per seat
        uint40 admitAt; // end of the veto window
        uint8 vetoes;
        uint64 vetoers; // bit per seat
    }

    /// @dev One slot.
    struct Seat {
        address holder;
        uint40 expiresAt;
    }

    /// @dev One slot.
    struct Totals {
        uint16 eligible;
        uint112 granted;
        uint128 stake;
    }

    /// @notice Most committee seats: one bit each in an application.
    uint256 public constant MAX_SEATS = 64;
    /// @notice Longest peer id in bytes; an Ed25519 one has 38.
    uint256 public constant MAX_PEER_ID_BYTES = 64;
    /// @notice Longest term of a seat: 365 days in seconds.
    uint256 public constant LONGEST_TERM = 365 days;
    /// @notice Longest veto window: 30 days in seconds.
    uint256 public constant LONGEST_VETO_WINDOW = 30 days;
    /// @notice Accepted updates that vest a whole grant.
    uint256 public constant VESTING_UPDATES = 5;

    uint256 internal constant WHOLE_BPS = 10_000;
    /// @dev What one admission takes out of the bucket: so `admissionsPerDay` is also what refills it in a second.
    uint256 internal constant ADMISSION = 1 days;

    /// @inheritdoc IMemberRegistry
    IContributionToken public immutable override token;
    /// @inheritdoc IMemberRegistry
    address public immutable override roundManager;
    /// @inheritdoc IMemberRegistry
    address public immutable override court;
    /// @inheritdoc IMemberRegistry
    address public immutable override timelock;
    /// @inheritdoc IMemberRegistry
    IGuardian public immutable override guardian;
    /// @inheritdoc IMemberRegistry
    uint96 public immutable override minBond;
    /// @inheritdoc IMemberRegistry
    uint96 public immutable override grant;
    /// @inheritdoc IMemberRegistry
    uint96 public immutable override grantBudget;
    /// @inheritdoc IMemberRegistry
    uint40 public immutable override exitDelay;
    /// @inheritdoc IMemberRegistry
    uint40 public immutable override vetoWindow;
    /// @inheritdoc IMemberRegistry
    uint16 public immutable override admissionBurst;
    /// @inheritdoc IMemberRegistry
    uint16 public immutable override admissionsPerDay;
    /// @inheritdoc IMemberRegistry
    uint8 public immutable override seatCount;
    /// @inheritdoc IMemberRegistry
    uint8 public immutable override threshold;
    /// @inheritdoc IMemberRegistry
    uint8 public immutable override vetoThreshold;

    /// @inheritdoc IMemberRegistry
    uint256 public override applicationCount;

    Totals internal _totals;
    RateLimiter.RefillingBucket internal _admissions;
    mapping(uint256 seat => Seat) internal _seats;
    mapping(address holder => uint256 seatPlusOne) internal _seatOf;
    mapping(address account => Member) internal _members;
    mapping(uint256 application => Application) internal _applications;
    mapping(uint256 round => BitMaps.BitMap) internal _vested;

    // --- deployment ---------------------------------------------------------------------------------------------------

    constructor(Wiring memory wiring, address[] memory seats, Params memory p) {
        _checkWiring(wiring);
        _checkParams(p, seats.length, wiring.token.cap());
        token = wiring.token;
        roundManager = wiring.roundManager;
        court = wiring.court;
        timelock = wiring.timelock;
        guardian = wiring.guardian;
        // At most MAX_SEATS = 64.
        seatCount = uint8(seats.length);
        threshold = p.threshold;
        vetoThreshold = p.vetoThreshold;
        minBond = p.minBond;
        grant = p.grant;
        grantBudget = p.grantBudget;
        exitDelay = p.exitDelay;
        vetoWindow = p.vetoWindow;
        admissionBurst = p.admissionBurst;
        admissionsPerDay = p.admissionsPerDay;
        (uint256 capacity, uint256 refill) = _bucket(p.admissionBurst, p.admissionsPerDay);
        // 65 535 days in seconds have 33 bits.
        _admissions.updateSettings(uint48(refill), uint208(capacity));
        for (uint256 seat = 0; seat < seats.length; ++seat) {
            address holder = seats[seat];
            if (holder == address(0) || _seatOf[holder] != 0) revert BadSeat(seat, holder);
            _putSeat(seat, holder, uint40(block.timestamp) + p.seatTerm);
        }
    }

    function _checkWiring(Wiring memory wiring) private view {
        if (wiring.token.registry() != address(this)) {
            revert WiredElsewhere(wiring.token.registry(), address(this));
        }
        if (wiring.roundManager == address(0) || wiring.court == address(0) || wiring.timelock == address(0)) {
            revert ZeroRole(wiring.roundManager, wiring.court, wiring.timelock);
        }
        if (address(wiring.guardian) != address(0) && address(wiring.guardian).code.length == 0) {
            revert GuardianWithoutCode(address(wiring.guardian));
        }
    }

    function _checkParams(Params memory p, uint256 seats, uint256 cap) private pure {
        if (seats == 0 || seats > MAX_SEATS) revert BadSeatCount(seats, MAX_SEATS);
        if (p.threshold == 0 || p.threshold > seats) revert BadThreshold(p.threshold, seats);
        if (p.vetoThreshold == 0 || p.vetoThreshold > seats) revert BadThreshold(p.vetoThreshold, seats);
        if (p.minBond == 0 || p.grant < p.minBond) revert BadBond(p.minBond, p.grant);
        if (p.grantBudget < p.grant || p.grantBudget > cap) revert BadGrantBudget(p.grantBudget, p.grant, cap);
        _check("vetoWindow", p.vetoWindow, 0, LONGEST_VETO_WINDOW);
        _check("seatTerm", p.seatTerm, 1, LONGEST_TERM);
        _check("admissionBurst", p.admissionBurst, 1, type(uint16).max);
        _check("admissionsPerDay", p.admissionsPerDay, 1, type(uint16).max);
    }

    function _check(bytes32 name, uint256 value, uint256 least, uint256 most) private pure {
        if (value < least || value > most) revert ParameterOutOfBounds(name, value, least, most);
    }

    // --- members ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IMemberRegistry
    function isEligible(address account, uint256 openedAt) external view override returns (bool) {
        Member storage member = _members[account];
        return member.status == Status.Active && member.since != 0 && member.since < openedAt;
    }

    /// @inheritdoc IMemberRegistry
    function eligibleCount() external view override returns (uint16) {
        return _totals.eligible;
    }

    /// @inheritdoc IMemberRegistry
    function stakeOf(address account) external view override returns (uint256) {
        return _members[account].stake;
    }

    /// @inheritdoc IMemberRegistry
    function unvestedOf(address account) external view override returns (uint256) {
        return _members[account].unvested;
    }

    /// @inheritdoc IMemberRegistry
    function statusOf(address account) external view override returns (Status) {
        return _members[account].status;
    }

    /// @inheritdoc IMemberRegistry
    function exitAtOf(address account) external view override returns (uint256) {
        Member storage member = _members[account];
        return member.status == Status.Exiting ? member.since : 0;
    }

    /// @inheritdoc IMemberRegistry
    function admittedIn(address account) external view override returns (uint256) {
        return _members[account].admittedIn;
    }

    /// @inheritdoc IMemberRegistry
    function isVested(uint256 round, uint256 index) external view override returns (bool) {
        return _vested[round].get(index);
    }

    /// @inheritdoc IMemberRegistry
    function totalStake() external view override returns (uint256) {
        return _totals.stake;
    }

    // --- applications -------------------------------------------------------------------------------------------------

    /// @inheritdoc IMemberRegistry
    function applicationOf(uint256 application)
        external
        view
        override
        returns (address applicant, ApplicationState state, uint8 approvals, uint8 refusals)
    {
        Application storage a = _applications[application];
        return (a.applicant, a.state, a.approvals, a.refusals);
    }

    /// @inheritdoc IMemberRegistry
    function probationOf(uint256 application) external view override returns (uint40 admitAt, uint8 vetoes) {
        Application storage a = _applications[application];
        return (a.admitAt, a.vetoes);
    }

    /// @inheritdoc IMemberRegistry
    function nextAdmissionAt() public view override returns (uint256) {
        uint256 missing = Math.saturatingSub(ADMISSION, _admissions.available(0));
        (uint256 capacity, uint256 refill) = _bucket(admissionBurst, admissionsPerDay);
        return block.timestamp + Math.ceilDiv(missing * refill, capacity);
    }

    /// @inheritdoc IMemberRegistry
    function grantsMinted() external view override returns (uint256) {
        return _totals.granted;
    }

    // --- committee ----------------------------------------------------------------------------------------------------

    /// @inheritdoc IMemberRegistry
    function seatHolder(uint256 seat) external view override returns (address) {
        _requireSeatNumber(seat);
        Seat storage s = _seats[seat];
        return block.timestamp < s.expiresAt ? s.holder : address(0);
    }

    /// @inheritdoc IMemberRegistry
    function seatOf(uint256 seat) external view override returns (address holder, uint40 expiresAt) {
        _requireSeatNumber(seat);
        Seat storage s = _seats[seat];
        return (s.holder, s.expiresAt);
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    function _putSeat(uint256 seat, address holder, uint40 expiresAt) internal {
        if (holder != address(0)) _seatOf[holder] = seat + 1;
        _seats[seat] = Seat({holder: holder, expiresAt: expiresAt});
        emit SeatSet(seat, holder, expiresAt);
    }

    function _requireSeatNumber(uint256 seat) internal view {
        if (seat >= seatCount) revert NoSuchSeat(seat, seatCount);
    }

    /// @dev Capacity of the bucket of admissions, and seconds in which it refills (rounded up: never faster than said).
    function _bucket(uint256 burst, uint256 perDay) private pure returns (uint256 capacity, uint256 refill) {
        capacity = burst * ADMISSION;
        refill = Math.ceilDiv(capacity, perDay);
    }
}
