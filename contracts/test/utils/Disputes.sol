// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Liars} from "./Liars.sol";

/// @notice A ring large enough for independent juries, and what tests of disputes share.
abstract contract Disputes is Liars {
    /// k = 7; of 24 places 8 are excluded for a score: 16 jurors, of whom 9 decide.
    uint256 internal constant N = 24;
    uint256 internal constant JURORS = 16;
    uint256 internal constant VICTIM = 4;
    uint256 internal constant HARM = GAIN_OFFSET - 5000;
    uint256 internal constant GOOD = GAIN_OFFSET + 5000;
    address internal disputer = makeAddr("disputer");

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    /// A poisoned update that five of its seven verifiers called good.
    function _toChallengeWithPoison() internal returns (uint256 round) {
        _fieldOf[VICTIM] = HARM;
        _lie(VICTIM, GOOD, 5);
        round = _toChallenge(N);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "captured");
    }

    function _outcome(uint256 id) internal view returns (IRoundCourt.Outcome) {
        return court.disputeOf(id).outcome;
    }

    function _assertOutcome(uint256 id, IRoundCourt.Outcome expected) internal view {
        assertEq(uint256(_outcome(id)), uint256(expected), "outcome");
    }

    /// Some place of a drawn jury that somebody sits at, from `start` on.
    function _seat(uint256 id, uint256 start) internal view returns (uint256 place) {
        place = start;
        while (_juror(id, place) == address(0)) ++place;
    }

    function _firstSeats(uint256 id, uint256 count) internal view returns (uint256[] memory places) {
        places = new uint256[](count);
        uint256 place = 0;
        for (uint256 i = 0; i < count; ++i) {
            place = _seat(id, place);
            places[i] = place++;
        }
    }
}
