// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Community} from "./Community.sol";

/// @notice What tests of proven faults share.
abstract contract Faults is Community {
    uint256 internal constant N = 8;
    address internal prover = makeAddr("prover");
    mapping(uint256 index => uint256 field) internal _fieldOf;

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    function _truth(uint256 index) internal view override returns (uint256) {
        uint256 field = _fieldOf[index];
        return field == 0 ? super._truth(index) : field;
    }

    function _notProvable(uint256 round) internal view returns (bytes memory) {
        IRoundManager.Round memory r = rounds.roundOf(round);
        return abi.encodeWithSelector(IRoundCourt.FaultNotProvable.selector, r.phase, r.voidReason);
    }

    function _noFault(address account, IRoundManager.Entry actual, IRoundManager.Entry faulty)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeWithSelector(IRoundCourt.NoFault.selector, account, actual, faulty);
    }

    function _punished(uint256 round, uint8 fault, uint256 subject) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(IRoundCourt.AlreadyPunished.selector, round, fault, subject);
    }

    /// The next call punishes `account`: once, with this share of its stake, and names `prover` to the registry.
    function _expectPunished(address account, uint256 round, uint8 fault, uint256 subject, uint256 amount) internal {
        assertFalse(court.isPunished(round, fault, subject), "not yet");
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, account, fault, subject, prover, amount);
        vm.prank(prover);
    }

    function _assertPunished(uint256 round, uint8 fault, uint256 subject) internal view {
        assertTrue(court.isPunished(round, fault, subject), "marked");
        assertFalse(court.isPunished(round + 1, fault, subject), "in this round");
        assertFalse(court.isPunished(round, fault + 1, subject), "for this fault");
        assertFalse(court.isPunished(round, fault, subject + 1), "for this subject");
        assertFalse(court.isPunished(round, fault, subject + 256), "for this subject alone");
    }
}
