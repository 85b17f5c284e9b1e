// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Community} from "../utils/Community.sol";

/// @notice Everybody does everything a registry offers, allowed or not, under the settings of a public network.
/// @dev For every act the handler says first, from the rules and its own books, whether it must pass; passing otherwise, or
/// failing, fails the run (`fail_on_revert`). Whole rounds are played honestly by whoever is eligible.
contract MembershipHandler is Community {
    uint256 public constant ACCOUNTS = 9;
    uint256 public constant BUDGET_GRANTS = 40;
    uint16 public constant BURST = 4;
    uint16 public constant PER_DAY = 1;
    uint40 public constant WINDOW = 1 days;

    enum Act {
        Apply,
        Review,
        Veto,
        Admit,
        Play,
        Vest,
        Slash,
        Ban,
        Bond,
        StartExit,
        FinishExit,
        SetSeat,
        Pause
    }

    // --- books --------------------------------------------------------------------------------------------------------

    mapping(Act => uint256) public passed;
    mapping(Act => uint256) public refused;
    uint256 public limited; // admissions that the rate limit held back
    uint256 public exhausted; // and the budget
    uint256 public vetoedOut;
    uint256 public exitsWhilePaused;

    uint256 public started;
    uint256 public minted; // by the distributor
    uint256 public admissions;
    uint256 public slashed;
    uint256 public bounties;
    uint256 public burned;
    mapping(address account => bool) public banned;
    mapping(address account => uint256) public vestedOfGrant;
    mapping(address account => uint256) public admittedAfter; // latest round then

    address[] private _accounts;
    address[] private _candidates; // for seats
    mapping(uint256 round => mapping(uint256 index => bool)) private _isVested;
    mapping(uint256 application => uint256) private _approvedBy; // bit per seat
    mapping(uint256 application => uint256) private _refusedBy;
    mapping(uint256 application => uint256) private _vetoedBy;

    constructor() {
        IMemberRegistry.Params memory p = _membership();
        p.vetoWindow = WINDOW;
        p.admissionBurst = BURST;
        p.admissionsPerDay = PER_DAY;
        p.grantBudget = uint96(BUDGET_GRANTS * GRANT);
        _deploy(_defaults(), p);
        started = block.timestamp;
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            _accounts.push(makeAddr(string.concat("account ", vm.toString(i))));
            _candidates.push(i < seats.length ? seats[i] : makeAddr(string.concat("candidate ", vm.toString(i))));
        }
        for (uint256 i = 0; i < 4; ++i) {
            uint256 application = _apply(_accounts[i]);
            _review(application, 0, 3, true);
            _approvedBy[application] = 7;
        }
        skip(WINDOW);
        for (uint256 application = 1; application <= 4; ++application) {
            _pass(Act.Admit, address(this), abi.encodeCall(registry.admit, (application)), true);
            _admitted(_accounts[application - 1]);
        }
    }

    /// Sends an act and holds its outcome against what the rules say.
    function _pass(Act act, address sender, bytes memory call_, bool mustPass) private {
        vm.prank(sender);
        (bool ok, bytes memory reason) = address(registry).call(call_);
        if (!ok && mustPass) {
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
        require(ok == mustPass, "an act passed that the rules forbid");
        if (ok) ++passed[act];
        else ++refused[act];
    }

    function _isJoinPaused() private view returns (bool) {
        return guardian.isPaused(IGuardian.Entry.Join);
    }

    function _status(address account) private view returns (IMemberRegistry.Status) {
        return registry.statusOf(account);
    }

    function _is(address account, IMemberRegistry.Status status) private view returns (bool) {
        return _status(account) == status;
    }

    /// One of the accounts, and nothing of its calls.
    function accountAt(uint256 i) public view returns (address) {
        return _accounts[i % ACCOUNTS];
    }

    // --- joining ------------------------------------------------------------------------------------------------------

    function applyToJoin(uint256 who) external {
        address account = accountAt(who);
        bool may = !_isJoinPaused() && _is(account, IMemberRegistry.Status.None);
        require(!banned[account] || !may, "a banned account is None again");
        bytes memory act = abi.encodeCall(registry.applyToJoin, (bytes32(0), bytes32(0), hex"01", bytes32(0)));
        _pass(Act.Apply, account, act, may);
    }

    /// A seat with a holder in its term: its number and bit; else 64 and 0.
    function _seatOfHolder(address holder) private view returns (uint256 bit) {
        for (uint256 seat = 0; seat < seats.length; ++seat) {
            if (registry.seatHolder(seat) == holder) return 1 << seat;
        }
    }

    /// Mostly an application in the state that the act is for, where there is one among the latest; else any, or none.
    function _application(uint256 choice, IMemberRegistry.ApplicationState wanted) private view returns (uint256) {
        uint256 count = registry.applicationCount();
        for (uint256 i = 0; choice % 8 != 0 && i < ACCOUNTS; ++i) {
            uint256 application = count - (choice / 8 + i) % ACCOUNTS % (count + 1);
            (, IMemberRegistry.ApplicationState state,,) = registry.applicationOf(application);
            if (state == wanted) return application;
        }
        return choice % (count + 2);
    }

    function review(uint256 choice, uint256 who, uint256 verdict) external {
        uint256 application = _application(choice, IMemberRegistry.ApplicationState.Open);
        (address applicant, IMemberRegistry.ApplicationState state,,) = registry.applicationOf(application);
        address reviewer = _candidates[who % ACCOUNTS];
        uint256 bit = _seatOfHolder(reviewer);
        bool may = !_isJoinPaused() && bit != 0 && state == IMemberRegistry.ApplicationState.Open
            && (_approvedBy[application] | _refusedBy[application]) & bit == 0 && !banned[applicant];
        bool approve = verdict % 8 != 0;
        _pass(Act.Review, reviewer, abi.encodeCall(registry.review, (application, approve, bytes32(0))), may);
        if (!may) return;
        if (approve) _approvedBy[application] |= bit;
        else _refusedBy[application] |= bit;
        if (approve && _count(_approvedBy[application]) == 3) {
            require(_is(applicant, IMemberRegistry.Status.Probation), "three approvals, not in probation");
        } else if (!approve && _count(_refusedBy[application]) == 3) {
            require(_is(applicant, IMemberRegistry.Status.None), "three refusals, not refused");
        } else {
            require(_is(applicant, IMemberRegistry.Status.Applied), "decided too early");
        }
    }

    /// One act instead of four, so that short runs see members.
    function reviewByAll(uint256 choice, uint256 verdict) external {
        for (uint256 seat = 0; seat < 3; ++seat) {
            this.review(choice, seat, verdict);
        }
    }

    function veto(uint256 choice, uint256 who) external {
        uint256 application = _application(choice, IMemberRegistry.ApplicationState.Probation);
        (address applicant, IMemberRegistry.ApplicationState state,,) = registry.applicationOf(application);
        (uint40 admitAt,) = registry.probationOf(application);
        address reviewer = _candidates[who % ACCOUNTS];
        uint256 bit = _seatOfHolder(reviewer);
        bool may = bit != 0 && state == IMemberRegistry.ApplicationState.Probation && block.timestamp < admitAt
            && _vetoedBy[application] & bit == 0 && !banned[applicant];
        _pass(Act.Veto, reviewer, abi.encodeCall(registry.veto, (application, bytes32(0))), may);
        if (!may) return;
        _vetoedBy[application] |= bit;
        bool isOut = _count(_vetoedBy[application]) == 2;
        require(isOut == _is(applicant, IMemberRegistry.Status.None), "two vetoes refuse, one does not");
        if (isOut) ++vetoedOut;
    }

    /// Two seats object, one call in four.
    function vetoByTwo(uint256 choice, uint256 chance) external {
        if (chance % 4 != 0) return;
        this.veto(choice | 1, 3);
        this.veto(choice | 1, 4);
    }

    function admit(uint256 choice) external {
        uint256 application = _application(choice, IMemberRegistry.ApplicationState.Probation);
        (address applicant, IMemberRegistry.ApplicationState state,,) = registry.applicationOf(application);
        (uint40 admitAt,) = registry.probationOf(application);
        bool isDue = !_isJoinPaused() && state == IMemberRegistry.ApplicationState.Probation
            && block.timestamp >= admitAt && !banned[applicant];
        bool isLimited = registry.nextAdmissionAt() > block.timestamp;
        bool isExhausted = admissions == BUDGET_GRANTS;
        bool may = isDue && !isLimited && !isExhausted;
        _pass(Act.Admit, address(this), abi.encodeCall(registry.admit, (application)), may);
        if (isDue && isExhausted) ++exhausted;
        else if (isDue && isLimited) ++limited;
        if (!may) return;
        require(_count(_approvedBy[application]) == 3, "admitted without three approvals");
        require(_count(_vetoedBy[application]) < 2, "admitted against two vetoes");
        _admitted(applicant);
    }

    function _admitted(address account) private {
        ++admissions;
        vestedOfGrant[account] = 0;
        admittedAfter[account] = rounds.currentRound();
        require(registry.stakeOf(account) == GRANT && registry.unvestedOf(account) == GRANT, "the grant");
    }

    function _count(uint256 bits) private pure returns (uint256 count) {
        for (; bits != 0; bits &= bits - 1) {
            ++count;
        }
    }

    // --- rounds and vesting -------------------------------------------------------------------------------------------

    /// A whole round, honest, of everybody eligible.
    function play() external {
        skip(1);
        delete members;
        for (uint256 i = 0; i < ACCOUNTS; ++i) {
            if (registry.isEligible(_accounts[i], block.timestamp)) members.push(_accounts[i]);
        }
        require(members.length == registry.eligibleCount(), "eligible members are counted");
        if (members.length < 3) return;
        _seal = registry.seatHolder((rounds.currentRound() + 1) % seats.length) != address(0);
        if (!_seal) {
            (, uint40 ended) = rounds.phaseOf(rounds.currentRound());
            uint256 late = uint256(ended) + 1 hours + 1;
            if (block.timestamp < late) vm.warp(late);
        } else {
            (, uint40 ended) = rounds.phaseOf(rounds.currentRound());
            if (block.timestamp > uint256(ended) + 1 hours) _seal = false;
        }
        _playRound();
        ++passed[Act.Play];
    }

    bool private _seal;

    function _playRound() private {
        uint256 n = members.length;
        uint256 round = _seal ? _open() : rounds.openRound(0);
        for (uint256 i = 0; i < n; ++i) {
            _commit(round, members[i]);
        }
        rounds.advance(round);
        for (uint256 i = 0; i < n; ++i) {
            _reveal(round, members[i]);
        }
        if (_seal) _revealBenchmark(round);
        rounds.advance(round);
        _drawSeed(round);
        for (uint256 index = 0; index < n; ++index) {
            _commitScores(round, index, _word(round, index));
        }
        rounds.advance(round);
        for (uint256 index = 0; index < n; ++index) {
            _revealScores(round, index, _word(round, index));
        }
        rounds.advance(round);
        _settleAll(round, n);
        rounds.advance(round);
        for (uint256 slot = 0; slot < _attesters(n); ++slot) {
            _attest(round, slot);
        }
        _propose(round);
        _expire(round);
    }

    function vest(uint256 roundChoice, uint256 indexChoice) external {
        uint256 last = rounds.currentRound();
        uint256 round = roundChoice % 4 == 0
            ? roundChoice % (last + 2)
            : last - (roundChoice / 4 % 3 <= last ? roundChoice / 4 % 3 : 0);
        uint256 n = rounds.roundOf(round).reveals;
        uint256 index = indexChoice % (n + 1);
        address owner = rounds.ownerOf(round, index);
        // Every update is accepted here.
        bool may = round != 0 && round <= last && index < n && !_isVested[round][index] && round > admittedAfter[owner]
            && registry.unvestedOf(owner) != 0;
        uint256 unvested = registry.unvestedOf(owner);
        uint256 stake = registry.stakeOf(owner);
        _pass(Act.Vest, address(this), abi.encodeCall(registry.vest, (round, uint16(index))), may);
        if (!may) return;
        _isVested[round][index] = true;
        uint256 amount = unvested - registry.unvestedOf(owner);
        require(amount == (unvested < 20e18 ? unvested : 20e18), "a fifth, or what is left");
        require(registry.stakeOf(owner) == stake, "vesting moves no stake");
        vestedOfGrant[owner] += amount;
    }

    // --- penalties ----------------------------------------------------------------------------------------------------

    function slash(uint256 who, uint256 share, bool isProven) external {
        if (share % 4 != 0) return; // else nobody stays eligible
        address account = accountAt(who);
        address prover = isProven ? accountAt(who + 1) : address(0);
        uint16 bps = uint16(share % 64 == 0 ? 10_000 : share / 4 % 2500);
        uint256 stake = registry.stakeOf(account);
        uint256 own = stake - registry.unvestedOf(account);
        uint256 supply = token.totalSupply();
        uint256 balance = token.balanceOf(prover);
        _pass(Act.Slash, registry.court(), abi.encodeCall(registry.slash, (account, bps, 1, 1, prover)), true);
        uint256 loss = stake - registry.stakeOf(account);
        uint256 bounty = token.balanceOf(prover) - balance;
        require(loss <= stake, "I13: at most the stake");
        require(bounty == (isProven ? (loss < own ? loss : own) / 2 : 0), "I13: half of the own part");
        require(supply - token.totalSupply() == loss - bounty, "I13: bounty and burned make up the penalty");
        slashed += loss;
        bounties += bounty;
        burned += loss - bounty;
    }

    function ban(uint256 who, uint256 chance) external {
        address account = accountAt(who);
        if (chance % 16 != 0) {
            _pass(Act.Ban, account, abi.encodeCall(registry.ban, (account)), false);
            return;
        }
        uint256 stake = registry.stakeOf(account);
        _pass(Act.Ban, registry.court(), abi.encodeCall(registry.ban, (account)), true);
        burned += stake;
        banned[account] = true;
    }

    // --- stake --------------------------------------------------------------------------------------------------------

    function bond(uint256 who, uint256 amount) external {
        address account = accountAt(who);
        uint96 added = uint96(bound(amount, 0, 60e18));
        vm.prank(address(distributor));
        token.mint(account, added);
        minted += added;
        vm.prank(account);
        token.approve(address(registry), added);
        bool may = _is(account, IMemberRegistry.Status.Active);
        _pass(Act.Bond, account, abi.encodeCall(registry.bond, (added)), may);
    }

    function startExit(uint256 who, uint256 chance) external {
        if (chance % 4 != 0) return;
        address account = accountAt(who);
        bool may = _is(account, IMemberRegistry.Status.Active);
        _pass(Act.StartExit, account, abi.encodeCall(registry.startExit, ()), may);
        if (may) require(registry.exitAtOf(account) == block.timestamp + EXIT_DELAY, "I14: when");
    }

    /// I14: never early, never blocked by any pause, the own part comes back.
    function finishExit(uint256 who) external {
        address account = accountAt(who);
        bool may = _is(account, IMemberRegistry.Status.Exiting) && block.timestamp >= registry.exitAtOf(account);
        uint256 unvested = registry.unvestedOf(account);
        uint256 own = registry.stakeOf(account) - unvested;
        uint256 balance = token.balanceOf(account);
        _pass(Act.FinishExit, account, abi.encodeCall(registry.finishExit, ()), may);
        if (!may) return;
        require(token.balanceOf(account) == balance + own, "I14: own stake comes back");
        burned += unvested;
        if (_isJoinPaused()) ++exitsWhilePaused;
    }

    // --- seats, pauses, time ------------------------------------------------------------------------------------------

    function setSeat(uint256 seatChoice, uint256 who, uint256 term, uint256 chance) external {
        uint256 seat = seatChoice % (seats.length + 1);
        bool isEmptied = chance % 8 == 1;
        address holder = isEmptied ? address(0) : _candidates[who % ACCOUNTS];
        uint256 expiresAt = isEmptied ? 0 : block.timestamp + term % 400 days;
        bool byTimelock = chance % 4 != 0;
        bool may = byTimelock && seat < seats.length && !_holdsAnother(holder, seat)
            && (isEmptied || (expiresAt > block.timestamp && expiresAt <= block.timestamp + 365 days));
        bytes memory act = abi.encodeCall(registry.setSeat, (seat, holder, uint40(expiresAt)));
        _pass(Act.SetSeat, byTimelock ? timelock : _candidates[who % ACCOUNTS], act, may);
        if (may && !isEmptied) require(registry.seatHolder(seat) == holder, "seated");
    }

    /// The DAO gives the founders their seats back for a year, where they are free.
    function renewSeats() external {
        for (uint256 seat = 0; seat < seats.length; ++seat) {
            if (_holdsAnother(seats[seat], seat)) continue;
            bytes memory act = abi.encodeCall(registry.setSeat, (seat, seats[seat], uint40(block.timestamp + 365 days)));
            _pass(Act.SetSeat, timelock, act, true);
        }
    }

    function _holdsAnother(address holder, uint256 seat) private view returns (bool) {
        if (holder == address(0)) return false;
        for (uint256 other = 0; other < seats.length; ++other) {
            (address sitting,) = registry.seatOf(other);
            if (other != seat && sitting == holder) return true;
        }
        return false;
    }

    function pause(uint256 entry, uint256 chance) external {
        // Rounds go on here; their pause is the RoundManager's business.
        if (IGuardian.Entry(entry % 4) == IGuardian.Entry.OpenRound) return;
        guardian.set(IGuardian.Entry(entry % 4), chance % 3 == 0);
        ++passed[Act.Pause];
    }

    function wait(uint256 time) external {
        skip(time % 64 == 0 ? time % 40 days : time % 9 hours);
    }

    // --- for the invariants -------------------------------------------------------------------------------------------

    function contracts() external view returns (address token_, address registry_) {
        return (address(token), address(registry));
    }
}
