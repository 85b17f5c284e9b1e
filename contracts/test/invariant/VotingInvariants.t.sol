// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";

import {ContributionToken} from "../../src/ContributionToken.sol";
import {VotingVault} from "../../src/VotingVault.sol";
import {PowerCurve} from "../../src/libraries/PowerCurve.sol";
import {TestBase} from "../utils/TestBase.sol";
import {IFullGovernor} from "../utils/VotingDoubles.sol";
import {VotingHandler} from "./VotingHandler.sol";

/// @notice What holds after any sequence of locks, delegations, votes and changes of members. I23 and, for every vote,
/// I18 are asserted within the handler's acts.
contract VotingInvariantsTest is TestBase {
    VotingHandler private _handler;
    ContributionToken private _token;
    VotingVault private _vault;
    IFullGovernor private _governor;

    function setUp() public {
        _handler = new VotingHandler();
        (address t, address v, address g) = _handler.contracts();
        _token = ContributionToken(t);
        _vault = VotingVault(v);
        _governor = IFullGovernor(g);
        bytes4[] memory acts = new bytes4[](14);
        acts[0] = VotingHandler.lock.selector;
        acts[1] = VotingHandler.unlock.selector;
        acts[2] = VotingHandler.withdraw.selector;
        acts[3] = VotingHandler.delegate.selector;
        acts[4] = VotingHandler.transfer.selector;
        acts[5] = VotingHandler.donate.selector;
        acts[6] = VotingHandler.changeStatus.selector;
        acts[7] = VotingHandler.pauseLock.selector;
        acts[8] = VotingHandler.propose.selector;
        acts[9] = VotingHandler.vote.selector;
        acts[10] = VotingHandler.voteTogether.selector;
        acts[11] = VotingHandler.advance.selector;
        acts[12] = VotingHandler.pass.selector;
        acts[13] = VotingHandler.misbehave.selector;
        targetContract(address(_handler));
        targetSelector(FuzzSelector({addr: address(_handler), selectors: acts}));
    }

    function invariant_I5_I6_I18_I19() public view {
        _I5_I6_tokensUnitsAndVotesAgree();
        _I18_nobodyCountsMoreThanATenth();
        _I19_defeatedStaysDefeated();
    }

    function _I5_I6_tokensUnitsAndVotesAgree() private view {
        uint256 held = _handler.donated();
        uint256 units = 0;
        uint256 delegated = 0;
        uint256 curve = 0;
        for (uint256 i = 0; i < _handler.MEMBERS(); ++i) {
            address account = _handler.memberAt(i);
            (uint96 locked, uint96 leaving,) = _vault.accountOf(account);
            assertEq(locked, _handler.lockedOf(account), "I5 locked as asked");
            assertEq(leaving, _handler.leavingOf(account), "I5 leaving as asked");
            held += uint256(locked) + leaving;
            uint256 f = PowerCurve.unitsDown(locked, _vault.linearUpTo());
            assertLe(f, locked, "I6 never above linear");
            curve += f;
            units += _vault.unitsOf(account);
            delegated += _vault.delegatedTo(account);
            if (locked != 0) assertTrue(_vault.delegates(account) != address(0), "no silent units");
        }
        assertEq(_token.balanceOf(address(_vault)), held, "I5");
        assertEq(units, curve, "I6 units are f(locked)");
        assertEq(delegated, units, "I6 votes are units");
    }

    function _I18_nobodyCountsMoreThanATenth() private view {
        uint256 before = block.timestamp - 1;
        uint256 total = _vault.getPastTotalSupply(before);
        for (uint256 i = 0; i < _handler.MEMBERS(); ++i) {
            uint256 votes = _vault.getPastVotes(_handler.memberAt(i), before);
            assertLe(votes * 10, total, "I18");
        }
    }

    function _I19_defeatedStaysDefeated() private view {
        for (uint256 i = 0; i < _handler.defeatedCount(); ++i) {
            IGovernor.ProposalState s = _governor.state(_handler.defeated(i));
            assertEq(uint256(s), uint256(IGovernor.ProposalState.Defeated), "I19");
        }
    }

    // --- the handler is worth its name --------------------------------------------------------------------------------

    /// Random acts reach every kind of outcome: none of the above holds for want of trying.
    function test_votingHandlerReachesEveryOutcome() public {
        for (uint256 i = 0; i < 300; ++i) {
            uint256 a = uint256(keccak256(abi.encode(i, 1)));
            uint256 b = uint256(keccak256(abi.encode(i, 2)));
            uint256 c = uint256(keccak256(abi.encode(i, 3)));
            _handler.lock(a, b);
            if (i % 2 == 0) _handler.unlock(b, c);
            if (i % 4 == 0) _handler.withdraw(c);
            _handler.delegate(a, c);
            _handler.transfer(b, a, c);
            _handler.donate(c, b);
            _handler.changeStatus(a, c);
            _handler.changeStatus(b, 0);
            _handler.changeStatus(c, 1);
            _handler.pauseLock(b);
            _handler.propose(c, a);
            _handler.vote(b, a, c);
            if (i % 2 == 0) _handler.voteTogether(a, b);
            _handler.advance(c, a);
            _handler.advance(a, c);
            _handler.misbehave(b, a);
            _handler.pass(c);
        }
        invariant_I5_I6_I18_I19();
        string[16] memory acts = [
            "lock",
            "unlock",
            "withdraw",
            "delegate",
            "transfer",
            "donate",
            "status",
            "evict",
            "pause",
            "propose",
            "vote",
            "execute",
            "quorum",
            "veto",
            "defeated",
            "refusal"
        ];
        for (uint256 i = 0; i < acts.length; ++i) {
            uint256 count = _handler.counts(acts[i]);
            emit log_named_uint(acts[i], count);
            assertGt(count, 0, acts[i]);
        }
        emit log_named_uint("votes cut by the cap", _handler.capped());
        emit log_named_uint("most votes, bps", _handler.mostVotesBps());
        assertGt(_handler.capped(), 0, "the cap was reached");
    }
}
