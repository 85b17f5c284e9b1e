// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

import {IContributionToken} from "./interfaces/IContributionToken.sol";
import {IMemberRegistry} from "./interfaces/IMemberRegistry.sol";

/// @title MemberRegistry
/// @notice Members, committee, stakes; the manual is IMemberRegistry.
contract MemberRegistry is IMemberRegistry {
    using SafeERC20 for IContributionToken;

    // --- types and storage --------------------------------------------------------------------------------------------

    /// @dev One slot.
    struct Member {
        Status status;
        uint40 since; // Active: eligible since (0: below the bond); Exiting: stake is free at
        uint96 stake; // own tokens and grant
        uint96 unvested; // part of the stake that is what penalties left of the grant
    }

    /// @dev One slot.
    struct Application {
        address applicant;
        ApplicationState state;
        uint8 approvals;
        uint8 refusals;
        uint64 reviewers; // bit per seat
    }

    /// @notice Most committee seats: one bit each in an application.
    uint256 public constant MAX_SEATS = 64;
    /// @notice Longest peer id in bytes; an Ed25519 one has 38.
    uint256 public constant MAX_PEER_ID_BYTES = 64;

    uint256 private constant WHOLE_BPS = 10_000;

    /// @inheritdoc IMemberRegistry
    IContributionToken public immutable override token;
    /// @inheritdoc IMemberRegistry
    address public immutable override roundManager;
    /// @inheritdoc IMemberRegistry
    address public immutable override court;
    /// @inheritdoc IMemberRegistry
    uint96 public immutable override minBond;
    /// @inheritdoc IMemberRegistry
    uint96 public immutable override grant;
    /// @inheritdoc IMemberRegistry
    uint40 public immutable override exitDelay;
    /// @inheritdoc IMemberRegistry
    uint8 public immutable override seatCount;
    /// @inheritdoc IMemberRegistry
    uint8 public immutable override threshold;

    /// @inheritdoc IMemberRegistry
    uint16 public override eligibleCount;
    /// @inheritdoc IMemberRegistry
    uint256 public override applicationCount;
    /// @inheritdoc IMemberRegistry
    uint256 public override totalStake;

    address[] private _seats;
    mapping(address holder => uint256 seatPlusOne) private _seatOf;
    mapping(address account => Member) private _members;
    mapping(uint256 application => Application) private _applications;

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param token_ ContributionToken, deployed already; names this contract as its registry.
    /// @param roundManager_ Deployed later at this precomputed address; its constructor checks that it is named here.
    /// @param court_ Deployed later at this precomputed address; its constructor checks that it is named here.
    /// @param seats Holders of the committee seats, in order.
    /// @param threshold_ Approvals that admit, 1 … seats.
    /// @param minBond_ Least stake of an eligible member, above 0.
    /// @param grant_ What a newcomer gets into its stake, at least the bond.
    /// @param exitDelay_ Seconds; the RoundManager checks that it is longer than a round.
    constructor(
        IContributionToken token_,
        address roundManager_,
        address court_,
        address[] memory seats,
        uint8 threshold_,
        uint96 minBond_,
        uint96 grant_,
        uint40 exitDelay_
    ) {
        if (token_.registry() != address(this)) {
            revert WiredElsewhere(token_.registry(), address(this));
        }
        if (seats.length == 0 || seats.length > MAX_SEATS) revert BadSeatCount(seats.length, MAX_SEATS);
        if (threshold_ == 0 || threshold_ > seats.length) revert BadThreshold(threshold_, seats.length);
        if (minBond_ == 0 || grant_ < minBond_) revert BadBond(minBond_, grant_);
        token = token_;
        roundManager = roundManager_;
        court = court_;
        // At most MAX_SEATS = 64.
        seatCount = uint8(seats.length);
        threshold = threshold_;
        minBond = minBond_;
        grant = grant_;
        exitDelay = exitDelay_;
        for (uint256 seat = 0; seat < seats.length; ++seat) {
            address holder = seats[seat];
            if (holder == address(0) || _seatOf[holder] != 0) revert BadSeat(seat, holder);
            _seatOf[holder] = seat + 1;
        }
        _seats = seats;
    }

    // --- joining ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IMemberRegistry
    function applyToJoin(bytes32 requestHash, bytes32 requestCid, bytes calldata peerId, bytes32 encryptionKey)
        external
        override
        returns (uint256 application)
    {
        Member storage member = _inStatus(msg.sender, Status.None);
        if (peerId.length > MAX_PEER_ID_BYTES) revert PeerIdTooLong(peerId.length, MAX_PEER_ID_BYTES);
        application = ++applicationCount;
        member.status = Status.Applied;
        Application storage a = _applications[application];
        a.applicant = msg.sender;
        a.state = ApplicationState.Open;
        emit Applied(application, msg.sender, requestHash, requestCid, peerId, encryptionKey);
    }

    /// @inheritdoc IMemberRegistry
    function review(uint256 application, bool approve, bytes32 reasonHash) external override {
        uint256 seatPlusOne = _seatOf[msg.sender];
        if (seatPlusOne == 0) revert NotSeatHolder(msg.sender);
        Application storage a = _applications[application];
        if (a.state != ApplicationState.Open) revert ApplicationNotOpen(application, a.state);
        // A seat is at most 64, so its bit fits.
        uint64 bit = uint64(1 << (seatPlusOne - 1));
        if (a.reviewers & bit != 0) revert AlreadyReviewed(application, msg.sender);
        a.reviewers |= bit;
        emit Reviewed(application, msg.sender, approve, reasonHash);
        if (approve) {
            if (++a.approvals == threshold) _admit(application, a);
        } else if (++a.refusals > seatCount - threshold) {
            a.state = ApplicationState.Refused;
            delete _members[a.applicant];
            emit Rejected(application, a.applicant);
        }
    }

    /// @dev The grant is at least the bond, so a newcomer is eligible from the next second on.
    function _admit(uint256 application, Application storage a) private {
        address applicant = a.applicant;
        a.state = ApplicationState.Approved;
        // Seconds since 1970 fit 40 bits for 34 000 years.
        _members[applicant] =
            Member({status: Status.Active, since: uint40(block.timestamp), stake: grant, unvested: grant});
        ++eligibleCount;
        totalStake += grant;
        emit Admitted(application, applicant, grant);
        token.mint(address(this), grant);
    }

    // --- stake --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IMemberRegistry
    function bond(uint96 amount) external override {
        Member storage member = _inStatus(msg.sender, Status.Active);
        uint96 stake = member.stake + amount;
        member.stake = stake;
        totalStake += amount;
        if (member.since == 0 && stake >= minBond) {
            member.since = uint40(block.timestamp);
            ++eligibleCount;
        }
        emit Bonded(msg.sender, amount, stake);
        token.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @inheritdoc IMemberRegistry
    function startExit() external override {
        Member storage member = _inStatus(msg.sender, Status.Active);
        if (member.since != 0) --eligibleCount;
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
        totalStake -= member.stake;
        emit Exited(msg.sender, paid, member.unvested);
        token.burn(member.unvested);
        token.safeTransfer(msg.sender, paid);
    }

    /// @inheritdoc IMemberRegistry
    function slash(address account, uint16 bps, uint8 fault, uint256 round, address prover)
        external
        override
        returns (uint256 amount)
    {
        if (msg.sender != court) revert NotCourt(msg.sender, court);
        if (bps > WHOLE_BPS) revert PenaltyAboveWhole(bps, WHOLE_BPS);
        Member storage member = _members[account];
        amount = _shareUp(member.stake, bps);
        // At most the stake, which has 96 bits.
        uint96 stake = member.stake - uint96(amount);
        member.stake = stake;
        if (member.unvested > stake) member.unvested = stake;
        if (member.status == Status.Active && member.since != 0 && stake < minBond) {
            member.since = 0;
            --eligibleCount;
        }
        totalStake -= amount;
        uint256 bounty = prover == address(0) ? 0 : amount / 2;
        emit Slashed(account, round, fault, amount, amount - bounty, bounty, prover, stake);
        token.burn(amount - bounty);
        if (bounty != 0) token.safeTransfer(prover, bounty);
    }

    /// @inheritdoc IMemberRegistry
    function ban(address account) external override {
        if (msg.sender != court) revert NotCourt(msg.sender, court);
        Member storage member = _members[account];
        if (member.status == Status.Active && member.since != 0) --eligibleCount;
        member.status = Status.Banned;
        member.since = 0;
        emit Banned(account);
    }

    // --- views --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IMemberRegistry
    function isEligible(address account, uint256 openedAt) external view override returns (bool) {
        Member storage member = _members[account];
        return member.status == Status.Active && member.since != 0 && member.since < openedAt;
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
    function seatHolder(uint256 seat) external view override returns (address) {
        if (seat >= seatCount) revert NoSuchSeat(seat, seatCount);
        return _seats[seat];
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    function _inStatus(address account, Status expected) private view returns (Member storage member) {
        member = _members[account];
        if (member.status != expected) revert WrongStatus(account, member.status, expected);
    }

    /// @dev `bps` of `amount`, rounded up: against the one who is penalised.
    function _shareUp(uint256 amount, uint256 bps) private pure returns (uint256) {
        return Math.ceilDiv(amount * bps, WHOLE_BPS);
    }
}
