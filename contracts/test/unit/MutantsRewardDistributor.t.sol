// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IContributionToken} from "../../src/interfaces/IContributionToken.sol";
import {IRewardDistributor} from "../../src/interfaces/IRewardDistributor.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Community} from "../utils/Community.sol";

/// @notice What mutation testing found untested in RewardDistributor: rings larger than one page, credit by round, empty claims.
/// The RoundManager answers as told, so that rings of hundreds cost nothing.
contract MutantsRewardDistributorTest is Community {
    uint256 private constant N = 300;
    address private immutable ALICE = makeAddr("alice");

    function setUp() public {
        _deploy(_defaults());
        _pretend(1);
    }

    /// Finalised round with `N` participants, each an owner of its own but for Alice at the edges of pages.
    function _pretend(uint256 round) private {
        IRoundManager.Round memory r;
        r.reveals = uint16(N);
        vm.mockCall(
            address(rounds),
            abi.encodeCall(IRoundManager.phaseOf, (round)),
            abi.encode(IRoundManager.Phase.Finalized, uint40(block.timestamp))
        );
        vm.mockCall(address(rounds), abi.encodeCall(IRoundManager.roundOf, (round)), abi.encode(r));
        IRoundManager.Earnings memory earned;
        earned.phase = IRoundManager.Phase.Finalized;
        earned.owner = ALICE;
        earned.status = IRoundManager.UpdateStatus.Accepted;
        earned.weight = 1000;
        earned.sumWeight = 1000;
        earned.participants = uint16(N);
        earned.verifiers = 7;
        earned.attesters = 31;
        for (uint256 index = 0; index < N; ++index) {
            _earn(round, index, earned);
        }
    }

    function _earn(uint256 round, uint256 index, IRoundManager.Earnings memory earned) private {
        vm.mockCall(
            address(rounds), abi.encodeCall(IRoundManager.earningsOf, (round, uint16(index))), abi.encode(earned)
        );
    }

    /// Both sides of the border between two pages are claimed once each, and none for another.
    function test_I7_claimedOnceAtTheEdgesOfPages() public {
        uint16[6] memory edges = [0, 126, 127, 128, 255, 256];
        uint256 total = 0;
        for (uint256 i = 0; i < edges.length; ++i) {
            for (uint256 later = i; later < edges.length; ++later) {
                assertFalse(distributor.isClaimed(1, edges[later]), "not yet");
            }
            total += distributor.claim(1, edges[i]);
            assertTrue(distributor.isClaimed(1, edges[i]), "claimed");
            assertFalse(distributor.isClaimed(1, edges[i] + 2), "not its neighbour");
            vm.expectRevert(abi.encodeWithSelector(IRewardDistributor.AlreadyClaimed.selector, 1, edges[i]));
            distributor.claim(1, edges[i]);
        }
        assertEq(distributor.mintedIn(1), total, "every page counts");
        assertEq(token.balanceOf(ALICE), total, "paid");
    }

    /// Looking a round's total up costs a read for each 128 participants, not for each.
    function test_mintedIn_readsOnePageFor128() public {
        distributor.claim(1, 0);
        uint256 before = gasleft();
        distributor.mintedIn(1);
        assertLt(before - gasleft(), 200_000, "gas");
    }

    function test_credit_standsAtItsRound() public {
        _pretend(2);
        _pretend(5);
        uint256 first = distributor.claim(1, 0);
        uint256 second = distributor.claim(2, 0);
        uint256 again = distributor.claim(2, 1);
        uint256 fifth = distributor.claim(5, 0);
        assertEq(distributor.creditAt(ALICE, 0), 0, "before");
        assertEq(distributor.creditAt(ALICE, 1), first, "after round 1");
        assertEq(distributor.creditAt(ALICE, 2), first + second + again, "after round 2");
        assertEq(distributor.creditAt(ALICE, 4), first + second + again, "no round between");
        assertEq(distributor.creditAt(ALICE, 5), first + second + again + fifth, "after round 5");
    }

    /// Who earned nothing may claim it, which mints nothing and leaves no credit entry.
    function test_claim_ofNothingMintsNothing() public {
        IRoundManager.Earnings memory none;
        none.phase = IRoundManager.Phase.Finalized;
        none.participants = uint16(N);
        none.verifiers = 7;
        none.attesters = 31;
        none.owner = ALICE;
        none.status = IRoundManager.UpdateStatus.Harmful;
        _earn(1, 9, none);
        vm.expectCall(address(token), abi.encodeWithSelector(IContributionToken.mint.selector), 0);
        assertEq(distributor.claim(1, 9), 0, "amount");
        assertTrue(distributor.isClaimed(1, 9), "claimed");
        assertEq(distributor.creditAt(ALICE, type(uint256).max), 0, "credit");
    }
}
