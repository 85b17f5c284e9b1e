// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";

import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IVotingVault} from "../../src/interfaces/IVotingVault.sol";
import {Council} from "../utils/Council.sol";
import {IFullGovernor} from "../utils/VotingDoubles.sol";

/// @notice A community that locks, unlocks, delegates, trades, votes, comes and goes, and changes its own quorum.
/// @dev Every call must succeed (`fail_on_revert`); what must be refused is tried in `misbehave`. The books beside the
/// contracts are kept from what was asked for, never read back from them.
contract VotingHandler is Council {
    uint256 public constant MEMBERS = 16;

    mapping(string act => uint256) public counts;
    mapping(address account => uint256) public lockedOf; // by the books
    mapping(address account => uint256) public leavingOf;
    uint256 public donated;
    uint256 public mostVotesBps; // largest share that one vote ever had of its total
    uint256 public capped; // votes that the cap cut

    Proposal[] private _proposals;
    uint256[] public defeated; // ids, each seen Defeated once
    mapping(uint256 proposal => bool) private _isDefeated;

    constructor() {
        _deployCouncil();
        for (uint256 i = 0; i < MEMBERS; ++i) {
            _member();
            token.mint(members[i], 1_000_000e18 >> i);
        }
    }

    function memberAt(uint256 i) external view returns (address) {
        return members[i];
    }

    function contracts() external view returns (address, address, address) {
        return (address(token), address(vault), address(governor));
    }

    // --- the vault ----------------------------------------------------------------------------------------------------

    function lock(uint256 who, uint256 amount) external {
        address account = _who(who);
        uint256 balance = token.balanceOf(account);
        if (_status(account) != IMemberRegistry.Status.Active || balance == 0) return;
        if (guardian.isPaused(IGuardian.Entry.Lock)) {
            vm.prank(watch);
            guardian.unpause(IGuardian.Entry.Lock);
        }
        amount = bound(amount, 1, balance);
        vm.prank(account);
        vault.lock(uint96(amount));
        lockedOf[account] += amount;
        ++counts["lock"];
    }

    function unlock(uint256 who, uint256 amount) external {
        address account = _who(who);
        if (lockedOf[account] == 0) return;
        amount = bound(amount, 1, lockedOf[account]);
        vm.prank(account);
        vault.unlock(uint96(amount));
        lockedOf[account] -= amount;
        leavingOf[account] += amount;
        ++counts["unlock"];
    }

    function withdraw(uint256 who) external {
        address account = _who(who);
        if (leavingOf[account] == 0) return;
        (,, uint40 freeAt) = vault.accountOf(account);
        if (vm.getBlockTimestamp() < freeAt) vm.warp(freeAt);
        uint256 before = token.balanceOf(account);
        vm.prank(account);
        vault.withdraw();
        assertEq(token.balanceOf(account) - before, leavingOf[account], "withdrawn");
        leavingOf[account] = 0;
        ++counts["withdraw"];
    }

    function delegate(uint256 who, uint256 to) external {
        address account = _who(who);
        address delegatee = to % 3 == 0 ? members[0] : _who(to); // one collects more than its cap
        if (!_isMember(account) || !_isMember(delegatee)) return;
        vm.prank(account);
        vault.delegate(delegatee);
        ++counts["delegate"];
    }

    function transfer(uint256 from, uint256 to, uint256 amount) external {
        uint256 balance = token.balanceOf(_who(from));
        vm.prank(_who(from));
        token.transfer(_who(to), bound(amount, 0, balance));
        ++counts["transfer"];
    }

    /// I23: nobody's units move.
    function donate(uint256 from, uint256 amount) external {
        address account = _who(from);
        amount = bound(amount, 0, token.balanceOf(account) / 10);
        uint256 units = vault.unitsOf(account);
        vm.prank(account);
        token.transfer(address(vault), amount);
        donated += amount;
        assertEq(vault.unitsOf(account), units, "I23");
        ++counts["donate"];
    }

    // --- members ------------------------------------------------------------------------------------------------------

    /// Mostly back to Active; sometimes banned, and then maybe evicted.
    function changeStatus(uint256 who, uint256 choice) external {
        address account = _who(who);
        IMemberRegistry.Status[5] memory next = [
            IMemberRegistry.Status.Active,
            IMemberRegistry.Status.Active,
            IMemberRegistry.Status.Exiting,
            IMemberRegistry.Status.None,
            IMemberRegistry.Status.Banned
        ];
        registry.set(account, next[choice % 5]);
        ++counts["status"];
        if (_isMember(account) || lockedOf[account] == 0 || choice % 2 == 0) return;
        vault.evict(account);
        leavingOf[account] += lockedOf[account];
        lockedOf[account] = 0;
        ++counts["evict"];
    }

    function pauseLock(uint256 time) external {
        (uint40 until, uint40 paused) = guardian.pausesOf(IGuardian.Entry.Lock);
        uint256 now_ = vm.getBlockTimestamp();
        uint256 end = now_ + 1 + time % 3 days;
        if (end <= until || paused + end - now_ > 30 days || end > guardian.expiresAt()) return;
        vm.prank(watch);
        guardian.pause(IGuardian.Entry.Lock, uint40(end));
        ++counts["pause"];
    }

    // --- votes --------------------------------------------------------------------------------------------------------

    /// A proposal, every third one about the quorum.
    function propose(uint256 who, uint256 choice) external {
        address account = _who(who);
        uint256 votes = vault.getPastVotes(account, vm.getBlockTimestamp() - 1);
        if (votes < governor.proposalThreshold()) return;
        uint256 number = _proposals.length;
        Proposal memory p = choice % 3 == 0
            ? _call(
                address(governor),
                abi.encodeCall(IFullGovernor.updateQuorumNumerator, (5 + choice / 3 % 16)),
                vm.toString(number)
            )
            : _notice(number);
        _propose(account, p);
        _proposals.push(p);
        ++counts["propose"];
    }

    function vote(uint256 who, uint256 which, uint256 support) public {
        if (_proposals.length == 0) return;
        Proposal memory p = _recent(which);
        if (governor.state(p.id) == IGovernor.ProposalState.Pending) _toVote(p);
        if (governor.state(p.id) != IGovernor.ProposalState.Active) return;
        address account = _who(who);
        uint256 snapshot = governor.proposalSnapshot(p.id);
        uint256 votes = governor.getVotes(account, snapshot);
        // A cap that fell since (a member that left) leaves what was used.
        if (votes == 0 || governor.usedVotes(p.id, account) != 0) return;
        uint256 weight = _vote(account, p, uint8(support % 3));
        assertEq(weight, votes, "all votes are used");
        uint256 total = vault.getPastTotalSupply(snapshot);
        assertLe(weight * 10, total, "I18");
        uint256 bps = weight * 10_000 / total;
        if (bps > mostVotesBps) mostVotesBps = bps;
        if (weight == total / 10) ++capped;
        ++counts["vote"];
    }

    /// Many vote at once, so that proposals also pass.
    function voteTogether(uint256 which, uint256 support) external {
        for (uint256 i = 0; i < MEMBERS; ++i) {
            vote(i, which, (support >> i) % 4 == 0 ? 0 : 1);
        }
    }

    /// Takes a proposal one step on its way, and remembers what was defeated.
    function advance(uint256 which, uint256 isVetoed) external {
        if (_proposals.length == 0) return;
        Proposal memory p = _recent(which);
        IGovernor.ProposalState s = governor.state(p.id);
        if (s == IGovernor.ProposalState.Pending) _toVote(p);
        if (s == IGovernor.ProposalState.Active) _toEnd(p);
        s = governor.state(p.id);
        if (s == IGovernor.ProposalState.Defeated && !_isDefeated[p.id]) {
            _isDefeated[p.id] = true;
            defeated.push(p.id);
            ++counts["defeated"];
        }
        if (s == IGovernor.ProposalState.Succeeded) {
            if (isVetoed % 5 == 0 && vm.getBlockTimestamp() < guardian.expiresAt()) {
                _guardianCancel(p);
                ++counts["veto"];
                return;
            }
            _queue(p);
        }
        if (s == IGovernor.ProposalState.Queued) {
            skip(TIMELOCK_DELAY);
            _execute(p);
            ++counts["execute"];
            if (p.targets[0] == address(governor)) ++counts["quorum"];
        }
    }

    function pass(uint256 time) external {
        skip(1 + time % 2 days);
    }

    // --- refusals -----------------------------------------------------------------------------------------------------

    /// What nobody may: more than one has, too early, twice, as a stranger.
    function misbehave(uint256 who, uint256 choice) external {
        address account = _who(who);
        bytes memory call;
        if (choice % 5 == 0) call = abi.encodeCall(IVotingVault.unlock, (uint96(lockedOf[account]) + 1));
        if (choice % 5 == 1) call = abi.encodeCall(IVotingVault.lock, (uint96(token.balanceOf(account)) + 1));
        if (choice % 5 == 2) {
            (,, uint40 freeAt) = vault.accountOf(account);
            if (leavingOf[account] != 0 && vm.getBlockTimestamp() >= freeAt) return;
            call = abi.encodeCall(IVotingVault.withdraw, ());
        }
        if (choice % 5 == 3) {
            if (_isMember(account) == false && lockedOf[account] != 0) return;
            call = abi.encodeCall(IVotingVault.evict, (account));
        }
        if (choice % 5 == 4) call = abi.encodeWithSignature("delegate(address)", address(this));
        vm.prank(account);
        (bool isDone,) = address(vault).call(call);
        require(!isDone, "the vault let it pass");
        ++counts["refusal"];
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    function defeatedCount() external view returns (uint256) {
        return defeated.length;
    }

    function _who(uint256 i) private view returns (address) {
        return members[i % MEMBERS];
    }

    /// One of the last four.
    function _recent(uint256 which) private view returns (Proposal memory) {
        uint256 n = _proposals.length;
        return _proposals[n - 1 - which % (n < 4 ? n : 4)];
    }

    function _status(address account) private view returns (IMemberRegistry.Status) {
        return registry.statusOf(account);
    }

    function _isMember(address account) private view returns (bool) {
        IMemberRegistry.Status s = _status(account);
        return s == IMemberRegistry.Status.Active || s == IMemberRegistry.Status.Exiting;
    }
}
