// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {RateLimiter} from "@openzeppelin/contracts/utils/RateLimiter.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";

import {IContributionToken} from "./interfaces/IContributionToken.sol";
import {IGuardian} from "./interfaces/IGuardian.sol";
import {IMemberRegistry} from "./interfaces/IMemberRegistry.sol";
import {IRoundManager} from "./interfaces/IRoundManager.sol";

/// @title MemberRegistry
/// @notice Members, committee, stakes; the manual is IMemberRegistry.
contract MemberRegistry is IMemberRegistry {
    using BitMaps for BitMaps.BitMap;
    using RateLimiter for RateLimiter.RefillingBucket;
    using SafeERC20 for IContributionToken;

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

    uint256 private constant WHOLE_BPS = 10_000;
    /// @dev What one admission takes out of the bucket: so `admissionsPerDay` is also what refills it in a second.
    uint256 private constant ADMISSION = 1 days;

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

    Totals private _totals;
    RateLimiter.RefillingBucket private _admissions;
    mapping(uint256 seat => Seat) private _seats;
    mapping(address holder => uint256 seatPlusOne) private _seatOf;
    mapping(address account => Member) private _members;
    mapping(uint256 application => Application) private _applications;
    mapping(uint256 round => BitMaps.BitMap) private _vested;

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param wiring Token and guardian deployed already (the token names this contract), the others later at these
    /// precomputed addresses; the constructors of RoundManager and court check that they are named here.
    /// @param seats Holders of the committee seats, in order, for the first term.
    /// @param p Constants. RoundManager checks that the exit delay is longer than a round, RewardDistributor that emissions and
    /// grants together stay below the cap.
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

    // --- joining ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IMemberRegistry
    function applyToJoin(bytes32 requestHash, bytes32 requestCid, bytes calldata peerId, bytes32 encryptionKey)
        external
        override
        returns (uint256 application)
    {
        _requireUnpaused();
        Member storage member = _inStatus(msg.sender, Status.None);
        _checkPeerId(peerId);
        application = ++applicationCount;
        member.status = Status.Applied;
        Application storage a = _applications[application];
        a.applicant = msg.sender;
        a.state = ApplicationState.Open;
        emit Applied(application, msg.sender, requestHash, requestCid, peerId, encryptionKey);
    }

    /// @inheritdoc IMemberRegistry
    function review(uint256 application, bool approve, bytes32 reasonHash) external override {
        _requireUnpaused();
        uint64 bit = _seatBit();
        Application storage a = _applications[application];
        if (a.state != ApplicationState.Open) revert ApplicationNotOpen(application, a.state);
        _inStatus(a.applicant, Status.Applied);
        if (a.reviewers & bit != 0) revert AlreadyReviewed(application, msg.sender);
        a.reviewers |= bit;
        emit Reviewed(application, msg.sender, approve, reasonHash);
        if (approve) {
            if (++a.approvals == threshold) _approve(application, a);
        } else if (++a.refusals > seatCount - threshold) {
            _reject(application, a);
        }
    }

    /// @inheritdoc IMemberRegistry
    function veto(uint256 application, bytes32 reasonHash) external override {
        uint64 bit = _seatBit();
        Application storage a = _inProbation(application);
        if (block.timestamp >= a.admitAt) revert VetoWindowOver(a.admitAt, block.timestamp);
        if (a.vetoers & bit != 0) revert AlreadyVetoed(application, msg.sender);
        a.vetoers |= bit;
        emit Vetoed(application, msg.sender, reasonHash);
        if (++a.vetoes == vetoThreshold) _reject(application, a);
    }

    /// @inheritdoc IMemberRegistry
    function admit(uint256 application) external override {
        _requireUnpaused();
        Application storage a = _inProbation(application);
        if (block.timestamp < a.admitAt) revert VetoWindowOpen(a.admitAt, block.timestamp);
        _admit(application, a);
    }

    /// @inheritdoc IMemberRegistry
    function updatePeer(bytes calldata peerId, bytes32 encryptionKey) external override {
        Status status = _members[msg.sender].status;
        if (status != Status.Active && status != Status.Exiting) revert WrongStatus(msg.sender, status, Status.Active);
        _checkPeerId(peerId);
        emit PeerUpdated(msg.sender, peerId, encryptionKey);
    }

    function _approve(uint256 application, Application storage a) private {
        if (vetoWindow == 0) {
            _admit(application, a);
            return;
        }
        uint40 admitAt = uint40(block.timestamp) + vetoWindow;
        a.state = ApplicationState.Probation;
        a.admitAt = admitAt;
        _members[a.applicant].status = Status.Probation;
        emit ProbationStarted(application, a.applicant, admitAt);
    }

    function _reject(uint256 application, Application storage a) private {
        a.state = ApplicationState.Refused;
        delete _members[a.applicant];
        emit Rejected(application, a.applicant);
    }

    /// @dev The grant is at least the bond, so a newcomer is eligible from the next second on.
    function _admit(uint256 application, Application storage a) private {
        Totals memory totals = _totals;
        uint256 granted = uint256(totals.granted) + grant;
        if (granted > grantBudget) revert GrantBudgetExhausted(granted, grantBudget);
        if (!_admissions.tryConsume(0, ADMISSION)) revert AdmissionsLimited(nextAdmissionAt(), block.timestamp);
        address applicant = a.applicant;
        a.state = ApplicationState.Approved;
        // The budget is at most the cap, which has 84 bits. Seconds since 1970 fit 40 bits for 34 000 years, rounds 32 bits
        // for longer than a century at one a second.
        uint88 amount = uint88(grant);
        _members[applicant] = Member({
            status: Status.Active,
            since: uint40(block.timestamp),
            admittedIn: uint32(IRoundManager(roundManager).currentRound()),
            stake: amount,
            unvested: amount
        });
        _totals =
            Totals({eligible: totals.eligible + 1, granted: uint112(granted), stake: totals.stake + uint128(amount)});
        emit Admitted(application, applicant, amount);
        token.mint(address(this), amount);
    }

    // --- stake --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IMemberRegistry
    function bond(uint96 amount) external override {
        Member storage member = _inStatus(msg.sender, Status.Active);
        // No more than the cap exists, which has 84 bits: the transfer below refuses what does not fit here.
        uint88 stake = uint88(uint256(member.stake) + amount);
        member.stake = stake;
        _totals.stake += amount;
        if (member.since == 0 && stake >= minBond) {
            member.since = uint40(block.timestamp);
            ++_totals.eligible;
        }
        emit Bonded(msg.sender, amount, stake);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IMemberRegistry
    function vest(uint256 round, uint16 index) external override returns (uint256 amount) {
        address owner = _ownerOfAccepted(round, index);
        if (_vested[round].get(index)) revert AlreadyVested(round, index);
        Member storage member = _members[owner];
        uint256 unvested = member.unvested;
        if (unvested == 0) revert NothingToVest(owner);
        if (round <= member.admittedIn) revert OlderThanGrant(round, member.admittedIn);
        // Dividing leaves less than VESTING_UPDATES units, which the last fifth takes along.
        amount = grant / VESTING_UPDATES;
        if (unvested < amount + VESTING_UPDATES) amount = unvested;
        _vested[round].set(index);
        // Not more than it was.
        member.unvested = uint88(unvested - amount);
        emit Vested(owner, round, index, amount, unvested - amount);
    }

    /// @dev Refuses an update that is not accepted for good.
    function _ownerOfAccepted(uint256 round, uint16 index) private view returns (address) {
        IRoundManager rounds = IRoundManager(roundManager);
        // A round that ended has no deadline left to look at.
        // slither-disable-next-line unused-return
        (IRoundManager.Phase phase,) = rounds.phaseOf(round);
        if (phase != IRoundManager.Phase.Finalized) revert RoundNotFinalized(round, phase);
        // Every accepted update vests the same.
        // slither-disable-next-line unused-return
        (IRoundManager.UpdateStatus status,,,, bool isForfeited) = rounds.resultOf(round, index);
        if (status != IRoundManager.UpdateStatus.Accepted) revert UpdateNotAccepted(round, index, status);
        if (isForfeited) revert UpdateIsForfeited(round, index);
        return rounds.ownerOf(round, index);
    }

    /// @inheritdoc IMemberRegistry
    function startExit() external override {
        Member storage member = _inStatus(msg.sender, Status.Active);
        if (member.since != 0) --_totals.eligible;
        uint40 exitAt = uint40(block.timestamp) + exitDelay;
        member.status = Status.Exiting;
        member.since = exitAt;
        emit ExitStarted(msg.sender, exitAt);
    }

    /// @inheritdoc IMemberRegistry
    function finishExit() external override {
        Member memory member = _inStatus(msg.sender, Status.Exiting);
        if (block.timestamp < member.since) revert ExitTooEarly(member.since, block.timestamp);
        uint256 paid = member.stake - member.unvested;
        delete _members[msg.sender];
        _totals.stake -= member.stake;
        emit Exited(msg.sender, paid, member.unvested);
        token.burn(member.unvested);
        token.safeTransfer(msg.sender, paid);
    }

    // --- court and timelock -------------------------------------------------------------------------------------------

    /// @inheritdoc IMemberRegistry
    function slash(address account, uint16 bps, uint8 fault, uint256 round, address prover)
        external
        override
        returns (uint256 amount)
    {
        _requireCourt();
        if (bps > WHOLE_BPS) revert PenaltyAboveWhole(bps, WHOLE_BPS);
        Member storage member = _members[account];
        uint256 own = member.stake - member.unvested;
        amount = _shareUp(member.stake, bps);
        // At most the stake, which has 88 bits.
        uint88 stake = member.stake - uint88(amount);
        member.stake = stake;
        if (member.unvested > stake) member.unvested = stake;
        if (member.status == Status.Active && member.since != 0 && stake < minBond) {
            member.since = 0;
            --_totals.eligible;
        }
        _totals.stake -= uint128(amount);
        uint256 bounty = prover == address(0) ? 0 : Math.min(amount, own) / 2;
        emit Slashed(account, round, fault, amount, amount - bounty, bounty, prover, stake);
        token.burn(amount - bounty);
        if (bounty != 0) token.safeTransfer(prover, bounty);
    }

    /// @inheritdoc IMemberRegistry
    function ban(address account) external override {
        _requireCourt();
        Member memory member = _members[account];
        if (member.status == Status.Banned) return;
        if (member.status == Status.Active && member.since != 0) --_totals.eligible;
        _totals.stake -= member.stake;
        delete _members[account];
        _members[account].status = Status.Banned;
        emit Banned(account, member.stake);
        token.burn(member.stake);
    }

    /// @inheritdoc IMemberRegistry
    function setSeat(uint256 seat, address holder, uint40 expiresAt) external override {
        if (msg.sender != timelock) revert NotTimelock(msg.sender, timelock);
        _requireSeatNumber(seat);
        uint256 least = 0;
        uint256 most = 0;
        if (holder != address(0)) {
            least = block.timestamp + 1;
            most = block.timestamp + LONGEST_TERM;
        }
        if (expiresAt < least || expiresAt > most) revert BadTerm(expiresAt, least, most);
        uint256 taken = _seatOf[holder];
        if (taken != 0 && taken != seat + 1) revert SeatTaken(holder, taken - 1);
        delete _seatOf[_seats[seat].holder];
        _putSeat(seat, holder, expiresAt);
    }

    function _putSeat(uint256 seat, address holder, uint40 expiresAt) private {
        if (holder != address(0)) _seatOf[holder] = seat + 1;
        _seats[seat] = Seat({holder: holder, expiresAt: expiresAt});
        emit SeatSet(seat, holder, expiresAt);
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

    function _requireUnpaused() private view {
        if (address(guardian) != address(0) && guardian.isPaused(IGuardian.Entry.Join)) revert JoiningPaused();
    }

    function _requireCourt() private view {
        if (msg.sender != court) revert NotCourt(msg.sender, court);
    }

    function _requireSeatNumber(uint256 seat) private view {
        if (seat >= seatCount) revert NoSuchSeat(seat, seatCount);
    }

    function _checkPeerId(bytes calldata peerId) private pure {
        if (peerId.length > MAX_PEER_ID_BYTES) revert PeerIdTooLong(peerId.length, MAX_PEER_ID_BYTES);
    }

    /// @dev Bit of the seat that the caller holds.
    function _seatBit() private view returns (uint64) {
        uint256 seatPlusOne = _seatOf[msg.sender];
        if (seatPlusOne == 0) revert NotSeatHolder(msg.sender);
        uint256 expiresAt = _seats[seatPlusOne - 1].expiresAt;
        if (block.timestamp >= expiresAt) revert SeatExpired(seatPlusOne - 1, expiresAt, block.timestamp);
        // A seat is below 64, so its bit fits.
        return uint64(1 << (seatPlusOne - 1));
    }

    /// @dev An approved application that nobody has decided since.
    function _inProbation(uint256 application) private view returns (Application storage a) {
        a = _applications[application];
        if (a.state != ApplicationState.Probation) revert NotInProbation(application, a.state);
        _inStatus(a.applicant, Status.Probation);
    }

    function _inStatus(address account, Status expected) private view returns (Member storage member) {
        member = _members[account];
        if (member.status != expected) revert WrongStatus(account, member.status, expected);
    }

    /// @dev Capacity of the bucket of admissions, and seconds in which it refills (rounded up: never faster than said).
    function _bucket(uint256 burst, uint256 perDay) private pure returns (uint256 capacity, uint256 refill) {
        capacity = burst * ADMISSION;
        refill = Math.ceilDiv(capacity, perDay);
    }

    /// @dev `bps` of `amount`, rounded up: against the one who is penalised.
    function _shareUp(uint256 amount, uint256 bps) private pure returns (uint256) {
        return Math.ceilDiv(amount * bps, WHOLE_BPS);
    }
}
