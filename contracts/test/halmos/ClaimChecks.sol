// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {RewardDistributor} from "../../src/RewardDistributor.sol";
import {IContributionToken} from "../../src/interfaces/IContributionToken.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";

/// @notice All that the distributor asks of its token and of the rounds: every round is Finalized and pays the same.
contract PayingRounds {
    uint256 public minted;

    function distributor() external view returns (address) {
        return msg.sender;
    }

    function registry() external view returns (address) {
        return address(this);
    }

    function grantBudget() external pure returns (uint96) {
        return 0;
    }

    function cap() external pure returns (uint256) {
        return 10_000_000e18;
    }

    function mint(address, uint256 amount) external {
        minted += amount;
    }

    function phaseOf(uint256) external pure returns (IRoundManager.Phase phase, uint40 deadline) {
        return (IRoundManager.Phase.Finalized, 0);
    }

    function earningsOf(uint256, uint256) external pure returns (IRoundManager.Earnings memory earned) {
        earned.phase = IRoundManager.Phase.Finalized;
        earned.owner = address(1);
        earned.status = IRoundManager.UpdateStatus.Accepted;
        earned.isSealed = true;
        earned.weight = 1;
        earned.sumWeight = 1;
        earned.participants = 3;
        earned.verifiers = 2;
        earned.attesters = 3;
    }
}

/// @notice Symbolic checks (contracts/tools/halmos.sh): whichever index of whichever page, a claim pays once.
contract ClaimChecks {
    RewardDistributor private _distributor;
    PayingRounds private _outside;

    function setUp() public {
        _outside = new PayingRounds();
        _distributor = new RewardDistributor(
            IContributionToken(address(_outside)), IRoundManager(address(_outside)), address(2), 10_000e18, 500, 1
        );
    }

    function check_claimOnce(uint16 index) external {
        _distributor.claim(1, index);
        assert(_distributor.isClaimed(1, index));
        uint256 minted = _outside.minted();
        try _distributor.claim(1, index) {
            assert(false);
        } catch {}
        assert(_outside.minted() == minted);
    }

    /// A claim leaves every other open.
    function check_claimsAreApart(uint16 index, uint16 other) external {
        if (index == other) return;
        _distributor.claim(1, index);
        assert(!_distributor.isClaimed(1, other));
        assert(!_distributor.isClaimed(2, index));
    }
}
