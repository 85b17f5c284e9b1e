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
import {MemberState} from "./members/MemberState.sol";

/// @title MemberRegistry
/// @notice Members, committee, stakes; the manual is IMemberRegistry.
/// @dev One part below this one: MemberState (constants, storage, views).
contract MemberRegistry is MemberState {
    using BitMaps for BitMaps.BitMap;
    using RateLimiter for RateLimiter.RefillingBucket;
    using SafeERC20 for IContributionToken;

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param wiring Token and guardian deployed already (the token names this contract), the others later at these
    /// precomputed addresses; the constructors of RoundManager and court check that they are named here.
    /// @param seats Holders of the committee seats, in order, for the first term.
    /// @param p Constants. RoundManager checks that the exit delay is longer than a round, RewardDistributor that emissions and
    /// grants together stay below the cap.
    constructor(Wiring memory wiring, address[] memory seats, Params memory p) MemberState(wiring, seats, p) {}

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

    // --- helpers ------------------------------------------------------------------------------------------------------

    function _requireUnpaused() private view {
        if (address(guardian) != address(0) && guardian.isPaused(IGuardian.Entry.Join)) revert JoiningPaused();
    }

    function _requireCourt() private view {
        if (msg.sender != court) revert NotCourt(msg.sender, court);
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

    /// @dev `bps` of `amount`, rounded up: against the one who is penalised.
    function _shareUp(uint256 amount, uint256 bps) private pure returns (uint256) {
        return Math.ceilDiv(amount * bps, WHOLE_BPS);
    }
}
