// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ContributionToken} from "../../src/ContributionToken.sol";
import {MemberRegistry} from "../../src/MemberRegistry.sol";
import {RewardDistributor} from "../../src/RewardDistributor.sol";
import {RoundCourt} from "../../src/RoundCourt.sol";
import {RoundManager} from "../../src/RoundManager.sol";
import {IContributionToken} from "../../src/interfaces/IContributionToken.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRewardDistributor} from "../../src/interfaces/IRewardDistributor.sol";
import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Community} from "../utils/Community.sol";

/// @notice Constructors: what they refuse, how the contracts name one another, and that nothing stays to be set.
contract DeploymentTest is Community {
    uint256 private constant LONGEST = 30 days;

    function setUp() public {
        _deploy(_defaults());
    }

    // --- token --------------------------------------------------------------------------------------------------------

    function test_RevertWhen_aMinterIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(IContributionToken.ZeroMinter.selector, address(0), address(1)));
        new ContributionToken(address(0), address(1));
        vm.expectRevert(abi.encodeWithSelector(IContributionToken.ZeroMinter.selector, address(1), address(0)));
        new ContributionToken(address(1), address(0));
    }

    // --- registry -----------------------------------------------------------------------------------------------------

    /// A registry as deployed above, except for what the caller changed; the token names it.
    function _registry(address[] memory holders, uint8 threshold, uint96 minBond, uint96 grant) private {
        IMemberRegistry.Params memory p = _membership();
        p.threshold = threshold;
        p.vetoThreshold = 1;
        p.minBond = minBond;
        p.grant = grant;
        _registry(holders, p);
    }

    function _registry(address[] memory holders, IMemberRegistry.Params memory p) private {
        ContributionToken other = new ContributionToken(address(1), _next(vm.getNonce(address(this)) + 1));
        new MemberRegistry(_wiring(other, address(2), address(3)), holders, p);
    }

    function test_RevertWhen_theTokenNamesAnotherRegistry() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                IMemberRegistry.WiredElsewhere.selector, address(registry), _next(vm.getNonce(address(this)))
            )
        );
        new MemberRegistry(_wiring(token, address(2), address(3)), seats, _membership());
    }

    function test_RevertWhen_seatsAreNone() public {
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadSeatCount.selector, 0, 64));
        this.deployRegistry(new address[](0), 1, MIN_BOND, GRANT);
    }

    function test_RevertWhen_seatsAreTooMany() public {
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadSeatCount.selector, 65, 64));
        this.deployRegistry(_distinct(65), 1, MIN_BOND, GRANT);
    }

    function test_RevertWhen_theThresholdIsOutOfRange() public {
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadThreshold.selector, 0, 5));
        this.deployRegistry(seats, 0, MIN_BOND, GRANT);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadThreshold.selector, 6, 5));
        this.deployRegistry(seats, 6, MIN_BOND, GRANT);
    }

    function test_RevertWhen_aSeatIsEmptyOrGivenTwice() public {
        address[] memory holders = _distinct(3);
        holders[1] = address(0);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadSeat.selector, 1, address(0)));
        this.deployRegistry(holders, 2, MIN_BOND, GRANT);
        holders[1] = holders[0];
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadSeat.selector, 1, holders[0]));
        this.deployRegistry(holders, 2, MIN_BOND, GRANT);
    }

    function test_RevertWhen_theGrantIsBelowTheBondOrTheBondIsZero() public {
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadBond.selector, MIN_BOND, MIN_BOND - 1));
        this.deployRegistry(seats, 3, MIN_BOND, MIN_BOND - 1);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadBond.selector, 0, GRANT));
        this.deployRegistry(seats, 3, 0, GRANT);
    }

    function test_RevertWhen_theVetoThresholdIsOutOfRange() public {
        IMemberRegistry.Params memory p = _membership();
        p.vetoThreshold = 0;
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadThreshold.selector, 0, 5));
        this.deployRegistry(seats, p);
        p.vetoThreshold = 6;
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadThreshold.selector, 6, 5));
        this.deployRegistry(seats, p);
        p.vetoThreshold = 5;
        this.deployRegistry(seats, p);
    }

    function test_RevertWhen_theBudgetHoldsNoGrantOrExceedsTheCap() public {
        IMemberRegistry.Params memory p = _membership();
        uint256 cap = token.CAP();
        p.grantBudget = GRANT - 1;
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadGrantBudget.selector, GRANT - 1, GRANT, cap));
        this.deployRegistry(seats, p);
        p.grantBudget = uint96(cap) + 1;
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.BadGrantBudget.selector, cap + 1, GRANT, cap));
        this.deployRegistry(seats, p);
        p.grantBudget = GRANT;
        this.deployRegistry(seats, p);
        p.grantBudget = uint96(cap);
        this.deployRegistry(seats, p);
    }

    function _refused(IMemberRegistry.Params memory p, bytes32 name, uint256 value, uint256 least, uint256 most)
        private
    {
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.ParameterOutOfBounds.selector, name, value, least, most));
        this.deployRegistry(seats, p);
    }

    function test_I17_RevertWhen_aConstantOfTheRegistryIsOutOfBounds() public {
        IMemberRegistry.Params memory p = _membership();
        p.vetoWindow = 30 days;
        p.seatTerm = 365 days;
        p.admissionBurst = 1;
        p.admissionsPerDay = 1;
        this.deployRegistry(seats, p);
        p.vetoWindow = 30 days + 1;
        _refused(p, "vetoWindow", 30 days + 1, 0, 30 days);
        p = _membership();
        p.seatTerm = 365 days + 1;
        _refused(p, "seatTerm", 365 days + 1, 1, 365 days);
        p.seatTerm = 0;
        _refused(p, "seatTerm", 0, 1, 365 days);
        p = _membership();
        p.admissionBurst = 0;
        _refused(p, "admissionBurst", 0, 1, type(uint16).max);
        p = _membership();
        p.admissionsPerDay = 0;
        _refused(p, "admissionsPerDay", 0, 1, type(uint16).max);
    }

    function deployRegistry(address[] calldata holders, IMemberRegistry.Params calldata p) external {
        _registry(holders, p);
    }

    function deployWired(IMemberRegistry.Wiring calldata wiring) external {
        IMemberRegistry.Wiring memory w = wiring;
        w.token = new ContributionToken(address(1), _next(vm.getNonce(address(this)) + 1));
        new MemberRegistry(w, seats, _membership());
    }

    function test_RevertWhen_aRoleIsZero() public {
        IMemberRegistry.Wiring memory w = _wiring(token, address(2), address(3));
        for (uint256 role = 0; role < 3; ++role) {
            w = _wiring(token, address(2), address(3));
            if (role == 0) w.roundManager = address(0);
            if (role == 1) w.court = address(0);
            if (role == 2) w.timelock = address(0);
            vm.expectRevert(
                abi.encodeWithSelector(IMemberRegistry.ZeroRole.selector, w.roundManager, w.court, w.timelock)
            );
            this.deployWired(w);
        }
    }

    function test_RevertWhen_theGuardianIsNoContract() public {
        IMemberRegistry.Wiring memory w = _wiring(token, address(2), address(3));
        w.guardian = IGuardian(address(0));
        this.deployWired(w); // no guardian at all is fine
        w.guardian = IGuardian(treasury);
        vm.expectRevert(abi.encodeWithSelector(IMemberRegistry.GuardianWithoutCode.selector, treasury));
        this.deployWired(w);
    }

    function test_64seatsAreAllowed() public {
        this.deployRegistry(_distinct(64), 64, MIN_BOND, MIN_BOND);
    }

    function deployRegistry(address[] calldata holders, uint8 threshold, uint96 minBond, uint96 grant) external {
        _registry(holders, threshold, minBond, grant);
    }

    function _distinct(uint256 count) private pure returns (address[] memory holders) {
        holders = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            holders[i] = address(uint160(1000 + i));
        }
    }

    // --- round manager ------------------------------------------------------------------------------------------------

    function test_RevertWhen_theRegistryNamesAnotherRoundManager() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                IRoundManager.WiredElsewhere.selector, address(rounds), _next(vm.getNonce(address(this)))
            )
        );
        new RoundManager(registry, guidelines, address(court), guardian, GENESIS_MODEL, GENESIS_CID, _defaults());
    }

    function test_RevertWhen_anExitIsFasterThanARound() public {
        IRoundManager.Params memory p = _defaults();
        uint256 longest = uint256(p.commitDuration) + p.revealDuration + 4 * uint256(p.scoreDuration) + 2
            * uint256(p.settleDuration) + p.attestDuration + p.challengeDuration + p.disputeDuration;
        assertEq(rounds.longestRound(), longest, "longest round");
        longest += p.challengeDuration; // to prove in what the end of the round shows
        this.deployRounds(p, uint40(longest + 1)); // one second more is enough
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.ExitDelayTooShort.selector, longest, longest));
        this.deployRounds(p, uint40(longest));
    }

    function deployRounds(IRoundManager.Params calldata p, uint40 exitDelay) external {
        uint256 nonce = vm.getNonce(address(this));
        ContributionToken t = new ContributionToken(address(1), _next(nonce + 1));
        IMemberRegistry.Params memory membership = _membership();
        membership.exitDelay = exitDelay;
        MemberRegistry r = new MemberRegistry(_wiring(t, _next(nonce + 2), _next(nonce + 3)), seats, membership);
        new RoundManager(r, guidelines, _next(nonce + 3), guardian, GENESIS_MODEL, GENESIS_CID, p);
    }

    function _refused(IRoundManager.Params memory p, bytes32 name, uint256 value, uint256 least, uint256 most) private {
        vm.expectRevert(abi.encodeWithSelector(IRoundManager.ParameterOutOfBounds.selector, name, value, least, most));
        this.deployRounds(p, type(uint40).max / 2);
    }

    function test_I17_RevertWhen_aDurationIsOutOfBounds() public {
        IRoundManager.Params memory p = _defaults();
        p.openWindow = 0;
        _refused(p, "openWindow", 0, 1, LONGEST);
        p = _defaults();
        p.commitDuration = uint32(LONGEST + 1);
        _refused(p, "commitDuration", LONGEST + 1, 1, LONGEST);
        p = _defaults();
        p.revealDuration = 0;
        _refused(p, "revealDuration", 0, 1, LONGEST);
        p = _defaults();
        p.scoreDuration = 0;
        _refused(p, "scoreDuration", 0, 1, LONGEST);
        p = _defaults();
        p.settleDuration = 0;
        _refused(p, "settleDuration", 0, 1, LONGEST);
        p = _defaults();
        p.attestDuration = 0;
        _refused(p, "attestDuration", 0, 1, LONGEST);
        p = _defaults();
        p.challengeDuration = 0;
        _refused(p, "challengeDuration", 0, 1, LONGEST);
        p = _defaults();
        p.disputeDuration = 0;
        _refused(p, "disputeDuration", 0, 1, LONGEST);
    }

    function test_I17_RevertWhen_aCountIsOutOfBounds() public {
        IRoundManager.Params memory p = _defaults();
        p.seedDelayBlocks = 129;
        _refused(p, "seedDelayBlocks", 129, 1, 128);
        p = _defaults();
        p.minParticipants = 1;
        _refused(p, "minParticipants", 1, 2, type(uint16).max);
        p = _defaults();
        p.maxVerifiers = 8;
        _refused(p, "maxVerifiers", 8, 1, 7);
        p = _defaults();
        p.maxAttesters = 32;
        _refused(p, "maxAttesters", 32, 1, 31);
    }

    // --- court --------------------------------------------------------------------------------------------------------

    function test_RevertWhen_theRoundManagerOrTheRegistryNamesAnotherCourt() public {
        address here = _next(vm.getNonce(address(this)));
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.WiredElsewhere.selector, address(court), here));
        new RoundCourt(rounds, registry, _courtDefaults());
        uint256 nonce = vm.getNonce(address(this));
        ContributionToken t = new ContributionToken(address(1), _next(nonce + 1));
        MemberRegistry r = new MemberRegistry(_wiring(t, _next(nonce + 2), makeAddr("elsewhere")), seats, _membership());
        here = _next(nonce + 3);
        RoundManager m = new RoundManager(r, guidelines, here, guardian, GENESIS_MODEL, GENESIS_CID, _defaults());
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.WiredElsewhere.selector, makeAddr("elsewhere"), here));
        new RoundCourt(m, r, _courtDefaults());
    }

    function deployCourt(IRoundCourt.Params calldata p) external {
        uint256 nonce = vm.getNonce(address(this));
        ContributionToken t = new ContributionToken(address(1), _next(nonce + 1));
        MemberRegistry r = new MemberRegistry(_wiring(t, _next(nonce + 2), _next(nonce + 3)), seats, _membership());
        RoundManager m =
            new RoundManager(r, guidelines, _next(nonce + 3), guardian, GENESIS_MODEL, GENESIS_CID, _defaults());
        new RoundCourt(m, r, p);
    }

    function _refused(IRoundCourt.Params memory p, bytes32 name, uint256 value, uint256 least, uint256 most) private {
        vm.expectRevert(abi.encodeWithSelector(IRoundCourt.ParameterOutOfBounds.selector, name, value, least, most));
        this.deployCourt(p);
    }

    function test_I17_RevertWhen_aCourtParameterIsOutOfBounds() public {
        IRoundCourt.Params memory p = _courtDefaults();
        p.bond = 0;
        _refused(p, "bond", 0, 1, type(uint96).max);
        p = _courtDefaults();
        p.jurySize = 2;
        _refused(p, "jurySize", 2, 3, 31);
        p.jurySize = 32;
        _refused(p, "jurySize", 32, 3, 31);
        p = _courtDefaults();
        p.maxDisputes = 0;
        _refused(p, "maxDisputes", 0, 1, 16);
        p.maxDisputes = 17;
        _refused(p, "maxDisputes", 17, 1, 16);
        p = _courtDefaults();
        p.seedDelayBlocks = 0;
        _refused(p, "seedDelayBlocks", 0, 1, 128);
        p.seedDelayBlocks = 129;
        _refused(p, "seedDelayBlocks", 129, 1, 128);
    }

    function test_I17_RevertWhen_aPartOfADisputeIsOutOfBounds() public {
        IRoundCourt.Params memory p = _courtDefaults();
        p.drawDuration = 0;
        _refused(p, "drawDuration", 0, 1, LONGEST);
        p = _courtDefaults();
        p.commitDuration = 0;
        _refused(p, "commitDuration", 0, 1, LONGEST);
        p = _courtDefaults();
        p.revealDuration = uint32(LONGEST + 1);
        _refused(p, "revealDuration", LONGEST + 1, 1, LONGEST);
        p = _courtDefaults();
        p.resolveDuration = 0;
        _refused(p, "resolveDuration", 0, 1, LONGEST);
    }

    /// The round waits no longer for a dispute than its longest round says.
    function test_RevertWhen_aDisputeOutlastsItsRound() public {
        IRoundCourt.Params memory p = _courtDefaults();
        uint256 rest = uint256(p.drawDuration) + p.commitDuration + p.revealDuration;
        p.resolveDuration = uint32(2 hours - rest);
        this.deployCourt(p);
        ++p.resolveDuration;
        _refused(p, "disputeDuration", 2 hours + 1, 1, 2 hours);
    }

    function test_theCourtIsWired() public view {
        assertEq(registry.court(), address(court), "registry -> court");
        assertEq(rounds.court(), address(court), "rounds -> court");
        assertEq(address(rounds.guidelines()), address(guidelines), "rounds -> guidelines");
        assertEq(address(rounds.guardian()), address(guardian), "rounds -> guardian");
        assertEq(address(court.roundManager()), address(rounds), "court -> rounds");
        assertEq(address(court.registry()), address(registry), "court -> registry");
        assertEq(address(court.token()), address(token), "court -> token");
        assertEq(abi.encode(court.params()), abi.encode(_courtDefaults()), "params");
    }

    // --- distributor --------------------------------------------------------------------------------------------------

    function deployDistributor(address treasury_, uint256 e0, uint256 halving, uint256 wTarget) external {
        uint256 nonce = vm.getNonce(address(this));
        ContributionToken t = new ContributionToken(_next(nonce + 1), address(1));
        new RewardDistributor(t, rounds, treasury_, e0, halving, wTarget);
    }

    function test_RevertWhen_theTokenNamesAnotherDistributor() public {
        vm.expectRevert(
            abi.encodeWithSelector(
                IRewardDistributor.WiredElsewhere.selector, address(distributor), _next(vm.getNonce(address(this)))
            )
        );
        new RewardDistributor(token, rounds, treasury, INITIAL_EMISSION, HALVING, W_TARGET);
    }

    function test_RevertWhen_aDistributorParameterIsZero() public {
        _zero(treasury, 0, 1, 1);
        _zero(treasury, 1, 0, 1);
        _zero(treasury, 1, 1, 0);
        _zero(address(0), 1, 1, 1);
    }

    function _zero(address treasury_, uint256 e0, uint256 halving, uint256 wTarget) private {
        vm.expectRevert(
            abi.encodeWithSelector(IRewardDistributor.ZeroParameter.selector, e0, halving, wTarget, treasury_)
        );
        this.deployDistributor(treasury_, e0, halving, wTarget);
    }

    function test_I20_RevertWhen_emissionsAndGrantsCouldExceedTheCap() public {
        this.deployDistributor(treasury, INITIAL_EMISSION, HALVING, 1); // with the grants exactly the cap
        uint256 e0 = INITIAL_EMISSION + 1;
        vm.expectRevert(
            abi.encodeWithSelector(
                IRewardDistributor.MintsAboveCap.selector, 2 * e0 * HALVING, uint256(GRANT_BUDGET), token.CAP()
            )
        );
        this.deployDistributor(treasury, e0, HALVING, 1);
    }

    // --- what is deployed ---------------------------------------------------------------------------------------------

    function test_theContractsNameOneAnother() public view {
        assertEq(token.distributor(), address(distributor), "token -> distributor");
        assertEq(token.registry(), address(registry), "token -> registry");
        assertEq(address(registry.token()), address(token), "registry -> token");
        assertEq(registry.roundManager(), address(rounds), "registry -> rounds");
        assertEq(registry.court(), address(court), "registry -> court");
        assertEq(registry.timelock(), timelock, "registry -> timelock");
        assertEq(address(registry.guardian()), address(guardian), "registry -> guardian");
        assertEq(address(rounds.registry()), address(registry), "rounds -> registry");
        assertEq(address(distributor.token()), address(token), "distributor -> token");
        assertEq(address(distributor.roundManager()), address(rounds), "distributor -> rounds");
    }

    function test_constantsAreReadable() public view {
        assertEq(abi.encode(rounds.params()), abi.encode(_defaults()), "params");
        assertEq(registry.seatCount(), 5, "seats");
        assertEq(registry.threshold(), 3, "threshold");
        assertEq(registry.minBond(), MIN_BOND, "bond");
        assertEq(registry.grant(), GRANT, "grant");
        assertEq(registry.exitDelay(), EXIT_DELAY, "exit delay");
        assertEq(registry.vetoThreshold(), 2, "veto threshold");
        assertEq(registry.vetoWindow(), 0, "veto window");
        assertEq(registry.grantBudget(), GRANT_BUDGET, "budget");
        assertEq(registry.admissionBurst(), 1000, "burst");
        assertEq(registry.admissionsPerDay(), 1000, "per day");
        assertEq(distributor.initialEmission(), INITIAL_EMISSION, "emission");
        assertEq(distributor.halving(), HALVING, "halving");
        assertEq(distributor.wTarget(), W_TARGET, "weight target");
        assertEq(distributor.treasury(), treasury, "treasury");
    }

    function test_genesisIsRoundZero() public view {
        (bytes32 modelHash, bytes32 cid, uint256 round) = rounds.latestModel();
        assertEq(modelHash, GENESIS_MODEL, "model");
        assertEq(cid, GENESIS_CID, "cid");
        assertEq(round, 0, "round");
        assertEq(rounds.currentRound(), 0, "current");
        _assertPhase(0, IRoundManager.Phase.Finalized, "phase");
    }

    /// No owner, no admin, no setter: none of the usual doors has a handle.
    function test_noContractHasAnOwnerOrASetter() public {
        string[10] memory doors = [
            "owner()",
            "transferOwnership(address)",
            "grantRole(bytes32,address)",
            "getRoleAdmin(bytes32)",
            "pause()",
            "initialize()",
            "upgradeTo(address)",
            "upgradeToAndCall(address,bytes)",
            "setRoundManager(address)",
            "setToken(address)"
        ];
        address[5] memory deployed =
            [address(token), address(registry), address(rounds), address(court), address(distributor)];
        for (uint256 c = 0; c < deployed.length; ++c) {
            for (uint256 d = 0; d < doors.length; ++d) {
                (bool ok,) = deployed[c].call(abi.encodeWithSignature(doors[d], address(this), bytes32(0)));
                assertFalse(ok, doors[d]);
            }
        }
    }
}
