// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ContributionToken} from "../../src/ContributionToken.sol";
import {MemberRegistry} from "../../src/MemberRegistry.sol";
import {RewardDistributor} from "../../src/RewardDistributor.sol";
import {RoundCourt} from "../../src/RoundCourt.sol";
import {RoundManager} from "../../src/RoundManager.sol";
import {IGuidelineRegistry} from "../../src/interfaces/IGuidelineRegistry.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {FakeGuardian} from "./FakeGuardian.sol";
import {FakeGuidelines} from "./FakeGuidelines.sol";
import {TestBase} from "./TestBase.sol";

/// @notice A deployed community, and how it gets its members.
abstract contract Founding is TestBase {
    uint96 internal constant MIN_BOND = 50e18;
    uint96 internal constant GRANT = 100e18;
    uint40 internal constant EXIT_DELAY = 7 days;
    uint96 internal constant GRANT_BUDGET = 1_000_000e18;
    uint40 internal constant SEAT_TERM = 180 days;
    uint256 internal constant INITIAL_EMISSION = 9000e18;
    uint256 internal constant HALVING = 500;
    uint96 internal constant DISPUTE_BOND = 20e18;
    uint256 internal constant GAIN_CAP = 20_000;
    /// Fifty updates at the cap: one alone gets 2 % of the pool.
    uint256 internal constant W_TARGET = 50 * GAIN_CAP;
    uint256 internal constant GAIN_OFFSET = 1 << 19;

    bytes32 internal constant GUIDELINE = keccak256("guideline");
    bytes32 internal constant GENESIS_MODEL = keccak256("genesis model");
    bytes32 internal constant GENESIS_CID = keccak256("genesis cid");
    bytes32 internal constant SECRET = keccak256("what only holders of the weights can compute");

    ContributionToken internal token;
    MemberRegistry internal registry;
    FakeGuidelines internal guidelines;
    RoundManager internal rounds;
    RoundCourt internal court;
    RewardDistributor internal distributor;
    FakeGuardian internal guardian = new FakeGuardian();
    address internal treasury = makeAddr("treasury");
    address internal timelock = makeAddr("timelock");
    address[] internal seats;
    address[] internal members;

    // --- deployment ---------------------------------------------------------------------------------------------------

    function _defaults() internal pure returns (IRoundManager.Params memory) {
        return IRoundManager.Params({
            openWindow: 1 hours,
            commitDuration: 1 hours,
            revealDuration: 30 minutes,
            scoreDuration: 30 minutes,
            settleDuration: 20 minutes,
            attestDuration: 40 minutes,
            challengeDuration: 1 hours,
            disputeDuration: 2 hours,
            seedDelayBlocks: 4,
            minParticipants: 3,
            maxVerifiers: 7,
            maxAttesters: 31
        });
    }

    function _scoring() internal pure returns (IGuidelineRegistry.Scoring memory) {
        return IGuidelineRegistry.Scoring({tau: 300, deltaMin: 100, harmMin: 1000, gainCap: uint24(GAIN_CAP)});
    }

    function _courtDefaults() internal pure virtual returns (IRoundCourt.Params memory) {
        return IRoundCourt.Params({
            bond: DISPUTE_BOND,
            jurySize: 21,
            maxDisputes: 4,
            seedDelayBlocks: 4,
            drawDuration: 20 minutes,
            commitDuration: 30 minutes,
            revealDuration: 30 minutes,
            resolveDuration: 20 minutes
        });
    }

    function _membership() internal pure returns (IMemberRegistry.Params memory) {
        return IMemberRegistry.Params({
            threshold: 3,
            vetoThreshold: 2,
            minBond: MIN_BOND,
            grant: GRANT,
            grantBudget: GRANT_BUDGET,
            exitDelay: EXIT_DELAY,
            vetoWindow: 0,
            seatTerm: SEAT_TERM,
            admissionBurst: 1000,
            admissionsPerDay: 1000
        });
    }

    function _wiring(ContributionToken token_, address rounds_, address court_)
        internal
        view
        returns (IMemberRegistry.Wiring memory)
    {
        return IMemberRegistry.Wiring({
            token: token_, roundManager: rounds_, court: court_, timelock: timelock, guardian: guardian
        });
    }

    function _deploy(IRoundManager.Params memory p) internal {
        _deploy(p, _membership());
    }

    function _deploy(IRoundManager.Params memory p, IMemberRegistry.Params memory membership) internal {
        vm.warp(1_800_000_000);
        vm.roll(1000);
        delete seats;
        for (uint256 i = 0; i < 5; ++i) {
            seats.push(makeAddr(string.concat("seat ", vm.toString(i))));
        }
        uint256 nonce = vm.getNonce(address(this));
        token = new ContributionToken(_next(nonce + 5), _next(nonce + 1));
        registry = new MemberRegistry(_wiring(token, _next(nonce + 3), _next(nonce + 4)), seats, membership);
        guidelines = new FakeGuidelines(GUIDELINE, _scoring());
        rounds = new RoundManager(registry, guidelines, _next(nonce + 4), guardian, GENESIS_MODEL, GENESIS_CID, p);
        court = new RoundCourt(rounds, registry, _courtDefaults());
        distributor = new RewardDistributor(token, rounds, treasury, INITIAL_EMISSION, HALVING, W_TARGET);
    }

    function _next(uint256 nonce) internal view returns (address) {
        return vm.computeCreateAddress(address(this), nonce);
    }

    // --- members ------------------------------------------------------------------------------------------------------

    function _apply(address account) internal returns (uint256 application) {
        vm.prank(account);
        return registry.applyToJoin(keccak256("request"), keccak256("cid"), hex"00240801", keccak256("key"));
    }

    function _review(uint256 application, uint256 from, uint256 count, bool approve) internal {
        for (uint256 seat = from; seat < from + count; ++seat) {
            vm.prank(seats[seat]);
            registry.review(application, approve, keccak256("reason"));
        }
    }

    function _admit(address account) internal {
        _review(_apply(account), 0, 3, true);
    }

    /// `count` more members, eligible for rounds that open from now on.
    function _admitMany(uint256 count) internal {
        for (uint256 i = 0; i < count; ++i) {
            address account = makeAddr(string.concat("member ", vm.toString(members.length)));
            members.push(account);
            _admit(account);
        }
        skip(1);
    }
}
