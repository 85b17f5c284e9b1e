// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Liars} from "../utils/Liars.sol";

/// @notice A jury smaller than the ring, and rings too small for an independent one.
contract CourtSmallJuriesTest is Liars {
    uint256 private constant VICTIM = 4;
    address private disputer = makeAddr("disputer");

    function _courtDefaults() internal pure override returns (IRoundCourt.Params memory p) {
        p = super._courtDefaults();
        p.jurySize = 5;
    }

    function setUp() public {
        _deploy(_defaults());
    }

    /// Thirteen places of 24: five jurors at least, however many of the panel are drawn among them.
    function test_jury_hasAtLeastItsSize() public {
        _admitMany(24);
        uint256 round = _toChallenge(24);
        for (uint256 index = 0; index < 4; ++index) {
            uint256 id = _disputeScore(disputer, round, index);
            _drawJury(id);
            IRoundCourt.Dispute memory d = court.disputeOf(id);
            assertEq(d.places, 13, "places");
            assertGe(d.jurors, 5, "jurors");
            uint256 found = 0;
            for (uint256 place = 0; place < 13; ++place) {
                if (_juror(id, place) != address(0)) ++found;
            }
            assertEq(found, d.jurors, "counted");
        }
    }

    /// Ten: two would remain without owner and panel, so only the owner is excluded; such a jury finds no lie.
    function test_fallback_correctsButFindsNoLie() public {
        _admitMany(10);
        _fieldOf[VICTIM] = GAIN_OFFSET - 5000;
        _lie(VICTIM, GAIN_OFFSET + 5000, 4);
        uint256 round = _toChallenge(10);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "captured");
        uint256 id = _disputeScore(disputer, round, VICTIM);
        assertFalse(court.disputeOf(id).isIndependent, "the panel sits on it");
        _drawJury(id);
        IRoundCourt.Dispute memory d = court.disputeOf(id);
        assertEq(d.places, 6, "five and the owner");
        assertGe(d.jurors, 5, "jurors");
        _vote(id);
        court.resolve(id);
        assertEq(uint256(court.disputeOf(id).outcome), uint256(IRoundCourt.Outcome.Overturned), "outcome");
        address liar = _verifier(round, VICTIM, 0, false);
        vm.expectEmit(address(court));
        emit IRoundCourt.FaultPunished(round, liar, 11, 256 * id, disputer, 10e18);
        court.slashField(id, 0);
        _assertStatus(liar, IMemberRegistry.Status.Active, "not banned");
    }

    /// Eleven are the least ring with an independent jury: three of them.
    function test_fallback_endsAtThreeJurors() public {
        _admitMany(11);
        uint256 round = _toChallenge(11);
        uint256 id = _disputeScore(disputer, round, VICTIM);
        assertTrue(court.disputeOf(id).isIndependent, "independent");
        _drawJury(id);
        assertEq(court.disputeOf(id).jurors, 3, "jurors");
    }

    function test_fallback_neverSeatsTheOwner() public {
        _admitMany(3);
        uint256 round = _toChallenge(3);
        uint256 id = _disputeScore(disputer, round, 1);
        _drawJury(id);
        assertEq(court.disputeOf(id).jurors, 2, "the other two");
        for (uint256 place = 0; place < 3; ++place) {
            assertTrue(_juror(id, place) != members[1], "not the owner");
        }
        _judgeRest(id, round);
    }

    function _judgeRest(uint256 id, uint256 round) private {
        _vote(id);
        court.resolve(id);
        assertEq(uint256(court.disputeOf(id).outcome), uint256(IRoundCourt.Outcome.Upheld), "upheld");
        _expire(round);
        _assertPhase(round, IRoundManager.Phase.Finalized, "ends");
    }

    function test_smallRing_anUnscoredUpdateCanBeDisputed() public {
        _admitMany(8);
        _lie(VICTIM, 0, 4);
        uint256 round = _toChallenge(8);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Unscored, "starved, no second panel");
        uint256 id = _disputeScore(disputer, round, VICTIM);
        _drawJury(id);
        _vote(id);
        court.resolve(id);
        _assertVerdict(round, VICTIM, IRoundManager.UpdateStatus.Accepted, "found by the jury");
    }
}
