// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {console} from "forge-std/console.sol";

import {GuidelineRegistry} from "../../src/GuidelineRegistry.sol";
import {ReleaseRegistry} from "../../src/ReleaseRegistry.sol";
import {RevenueSplitter} from "../../src/RevenueSplitter.sol";
import {RoundManager} from "../../src/RoundManager.sol";
import {IGuidelineRegistry} from "../../src/interfaces/IGuidelineRegistry.sol";
import {IReleaseRegistry} from "../../src/interfaces/IReleaseRegistry.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {TestBase} from "../utils/TestBase.sol";
import {PlainToken} from "../utils/Tokens.sol";
import {OwnershipHandler} from "./OwnershipHandler.sol";

/// @notice What holds of guideline, releases and revenue after any sequence of acts; what must pass and what must be refused is
/// asserted within each act, by the handler.
contract OwnershipInvariantsTest is TestBase {
    OwnershipHandler private _handler;
    ReleaseRegistry private _releases;
    RevenueSplitter private _splitter;
    RoundManager private _rounds;

    function setUp() public {
        _handler = new OwnershipHandler();
        (address r, address s, address m) = _handler.contracts();
        (_releases, _splitter, _rounds) = (ReleaseRegistry(r), RevenueSplitter(s), RoundManager(m));
        bytes4[] memory acts = new bytes4[](15);
        acts[0] = OwnershipHandler.playRound.selector;
        acts[1] = OwnershipHandler.claim.selector;
        acts[2] = OwnershipHandler.claimAll.selector;
        acts[3] = OwnershipHandler.roll.selector;
        acts[4] = OwnershipHandler.attestScores.selector;
        acts[5] = OwnershipHandler.publish.selector;
        acts[6] = OwnershipHandler.yank.selector;
        acts[7] = OwnershipHandler.changeBenchmarks.selector;
        acts[8] = OwnershipHandler.diligentRelease.selector;
        acts[9] = OwnershipHandler.deposit.selector;
        acts[10] = OwnershipHandler.claimRevenue.selector;
        acts[11] = OwnershipHandler.donate.selector;
        acts[12] = OwnershipHandler.transferTokens.selector;
        acts[13] = OwnershipHandler.setScoring.selector;
        acts[14] = OwnershipHandler.amend.selector;
        targetContract(address(_handler));
        targetSelector(FuzzSelector({addr: address(_handler), selectors: acts}));
    }

    function invariant_I15_I16_I17_I23() public view {
        _I15_releasesStandOnFinalizedRounds();
        _sharesAreFrozenAndAddUp();
        _I16_paidIsAtMostDeposited();
        _I17_scoringIsWithinConstants();
    }

    // --- one campaign: every invariant after every act ------------------------------------------------------------------

    function _I15_releasesStandOnFinalizedRounds() private view {
        uint256 count = _releases.count();
        assertEq(count, _handler.releaseCount(), "I15 nothing else was released");
        assertEq(_releases.latest(), _handler.latestByTheBooks(), "I15 latest");
        uint256 version = 0;
        for (uint256 release = 1; release <= count; ++release) {
            IReleaseRegistry.Release memory r = _releases.releaseOf(release);
            IRoundManager.Round memory round = _rounds.roundOf(r.round);
            assertEq(uint256(round.phase), uint256(IRoundManager.Phase.Finalized), "I15 round");
            assertEq(r.modelHash, round.modelHash, "I15 model");
            assertEq(r.cid, round.cid, "I15 CID");
            assertLt(r.parent, release, "I15 parent");
            if (r.parent != 0) assertGt(r.round, _releases.releaseOf(r.parent).round, "I15 later");
            (uint256 votes, uint256 needed) = _releases.votesOf(r.round, r.scoresHash);
            assertGe(votes, needed, "I15 attested");
            uint256 number = uint256(r.version.major) << 32 | uint256(r.version.minor) << 16 | r.version.patch;
            assertGt(number, version, "I15 versions rise");
            version = number;
        }
    }

    function _sharesAreFrozenAndAddUp() private view {
        for (uint32 release = 1; release <= _releases.count(); ++release) {
            uint256 sum = 0;
            for (uint256 i = 0; i < _handler.MEMBERS(); ++i) {
                (uint256 credit, uint256 total) = _splitter.shareOf(release, _handler.memberAt(i));
                assertEq(credit, _handler.creditOf(release, i), "a share never changes");
                assertEq(total, _handler.totalOf(release), "nor does the total");
                sum += credit;
            }
            (, uint256 whole) = _releases.ownershipOf(release);
            assertEq(sum, whole, "the shares are 1");
        }
    }

    function _I16_paidIsAtMostDeposited() private view {
        for (uint256 which = 0; which < 2; ++which) {
            PlainToken currency = _handler.currencies(which);
            uint256 expected = _handler.donated(which);
            for (uint32 release = 1; release <= _releases.count(); ++release) {
                uint256 paid = 0;
                for (uint256 i = 0; i < _handler.MEMBERS(); ++i) {
                    uint256 toMember = _splitter.paidOf(release, currency, _handler.memberAt(i));
                    assertLe(toMember, _handler.entitled(release, which, i), "I16 each within its due");
                    paid += toMember;
                }
                assertEq(paid, _handler.paid(release, which), "I16 paid");
                assertEq(_splitter.depositedOf(release, currency), _handler.deposited(release, which), "I16 deposited");
                assertLe(paid, _handler.deposited(release, which), "I16");
                expected += _handler.deposited(release, which) - paid;
            }
            assertEq(currency.balanceOf(address(_splitter)), expected, "I16, I23 the books match the balance");
        }
    }

    function _I17_scoringIsWithinConstants() private view {
        GuidelineRegistry guidelines = _handler.guideline();
        (uint32 current,,) = guidelines.current();
        assertEq(current, _handler.epochs(), "every act made one epoch");
        for (uint256 epoch = 1; epoch <= current; ++epoch) {
            IGuidelineRegistry.Epoch memory e = guidelines.epochOf(epoch);
            assertLe(e.scoring.tau, guidelines.MOST_GAIN(), "I17 tau");
            assertGe(e.scoring.deltaMin, guidelines.LEAST_GAIN(), "I17 deltaMin");
            assertGe(e.scoring.harmMin, guidelines.LEAST_GAIN(), "I17 harmMin");
            assertLe(e.scoring.harmMin, guidelines.MOST_GAIN(), "I17 harmMin");
            assertGe(e.scoring.gainCap, e.scoring.deltaMin, "I17 gainCap");
            assertLe(e.scoring.gainCap, guidelines.MOST_GAIN(), "I17 gainCap");
            for (uint256 kind = 0; kind < 4; ++kind) {
                assertTrue(guidelines.documentOf(epoch, IGuidelineRegistry.Kind(kind)).contentHash != 0, "readable");
            }
        }
    }

    // --- the handler is worth its name --------------------------------------------------------------------------------

    /// Random acts reach every kind of outcome: none of the above holds for want of trying.
    function test_handlerReachesEveryOutcome() public {
        for (uint256 i = 0; i < 150; ++i) {
            uint256 a = uint256(keccak256(abi.encode(i, 1)));
            uint256 b = uint256(keccak256(abi.encode(i, 2)));
            uint256 c = uint256(keccak256(abi.encode(i, 3)));
            if (i % 2 == 0) _handler.playRound(a, b);
            for (uint256 j = 0; j < 4; ++j) {
                _handler.claim(a >> j, b >> j);
                _handler.attestScores(b >> j, c >> j, a >> j);
            }
            if (i % 8 == 0) _handler.diligentRelease(a, b);
            _handler.claimAll(c);
            _handler.roll();
            _handler.publish(a, b, c);
            _handler.yank(b, c);
            _handler.changeBenchmarks(a, i / 20);
            _handler.deposit(a, b, uint96(c));
            _handler.claimRevenue(b, c, a);
            _handler.claimRevenue(c, a, b);
            _handler.donate(c, uint96(a), b);
            _handler.transferTokens(a, b);
            _handler.setScoring(uint24(a), uint24(b), uint24(c), uint24(a >> 24), i % 4 != 0);
            _handler.amend(a, bytes32(b));
        }
        invariant_I15_I16_I17_I23();
        string[18] memory outcomes = [
            "finalized",
            "voided",
            "claims",
            "late claims",
            "rolled",
            "refused rolls",
            "votes",
            "refused votes",
            "releases",
            "refused releases",
            "yanked",
            "retired",
            "deposits",
            "payments",
            "refused payments",
            "donations",
            "scorings",
            "refused scorings"
        ];
        for (uint256 i = 0; i < outcomes.length; ++i) {
            uint256 times = _handler.count(outcomes[i]);
            console.log(outcomes[i], times);
            assertGt(times, i == 11 ? 0 : 4, outcomes[i]);
        }
    }
}
