// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRewardDistributor} from "../../src/interfaces/IRewardDistributor.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {RingShuffle} from "../../src/libraries/RingShuffle.sol";
import {Community} from "../utils/Community.sol";

contract RewardDistributorTest is Community {
    uint256 private constant N = 8;
    uint256 private constant E = INITIAL_EMISSION;
    mapping(uint256 index => uint256 field) private _fieldOf;

    function setUp() public {
        _deploy(_defaults());
        _admitMany(N);
    }

    function _truth(uint256 index) internal view override returns (uint256) {
        uint256 field = _fieldOf[index];
        return field == 0 ? super._truth(index) : field;
    }

    function _notFinalized(uint256 round, IRoundManager.Phase phase) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IRewardDistributor.NotFinalized.selector, round, phase);
    }

    // --- claim --------------------------------------------------------------------------------------------------------

    function test_claim_RevertWhen_notFinalized() public {
        vm.expectRevert(_notFinalized(1, IRoundManager.Phase.None));
        distributor.claim(1, 0);
        uint256 round = _toChallenge(N);
        vm.expectRevert(_notFinalized(round, IRoundManager.Phase.Challenge));
        distributor.claim(round, 0);
        vm.expectRevert(_notFinalized(round, IRoundManager.Phase.Challenge));
        distributor.claimTreasury(round);
    }

    function test_claim_RevertWhen_voided() public {
        uint256 round = _toAttest(N);
        _expire(round);
        vm.expectRevert(_notFinalized(round, IRoundManager.Phase.Voided));
        distributor.claim(round, 0);
    }

    function test_claim_RevertWhen_genesis() public {
        vm.expectRevert(IRewardDistributor.GenesisHasNoRewards.selector);
        distributor.claim(0, 0);
        vm.expectRevert(IRewardDistributor.GenesisHasNoRewards.selector);
        distributor.claimTreasury(0);
    }

    function test_claim_RevertWhen_notOnTheRing() public {
        uint256 round = _toFinalized(N);
        vm.expectRevert(abi.encodeWithSelector(RingShuffle.OutsideRing.selector, N, N));
        distributor.claim(round, uint16(N));
    }

    function test_I7_claim_RevertWhen_twice() public {
        uint256 round = _toFinalized(N);
        assertFalse(distributor.isClaimed(round, 3), "not yet");
        distributor.claim(round, 3);
        assertTrue(distributor.isClaimed(round, 3), "claimed");
        vm.expectRevert(abi.encodeWithSelector(IRewardDistributor.AlreadyClaimed.selector, round, 3));
        vm.prank(members[3]);
        distributor.claim(round, 3);
    }

    function test_claim_paysTheOwnerWhoeverSendsIt() public {
        uint256 round = _toFinalized(N);
        uint256 trainer = E * 70 / 100 * 1300 / W_TARGET; // gain 1000 + 100 · 3
        uint256 verifier = E * 20 / 100 / (N * 7) * 7;
        uint256 attester = E * 5 / 100 / N;
        vm.expectEmit(address(distributor));
        emit IRewardDistributor.Claimed(round, 3, members[3], trainer, verifier, attester);
        vm.prank(makeAddr("stranger"));
        uint256 amount = distributor.claim(round, 3);
        assertEq(amount, trainer + verifier + attester, "amount");
        assertEq(token.balanceOf(members[3]), amount, "paid");
        assertEq(distributor.mintedIn(round), amount, "minted");
        assertEq(distributor.creditAt(members[3], round), amount, "credit");
        assertEq(distributor.creditAt(members[3], round - 1), 0, "none before");
    }

    function test_claim_unsealedHalvesTheTrainersPool() public {
        uint256 round = _toReveal(N);
        for (uint256 i = 0; i < N; ++i) {
            _reveal(round, members[i]);
        }
        _expire(round); // the steward stays silent
        _drawSeed(round);
        _finishHonestly(round);
        distributor.claim(round, 0);
        uint256 expected = E * 35 / 100 * 1000 / W_TARGET + E * 20 / 100 / (N * 7) * 7 + E * 5 / 100 / N;
        assertEq(token.balanceOf(members[0]), expected, "half as trainer, all as verifier and attester");
    }

    function _finishHonestly(uint256 round) private {
        for (uint256 index = 0; index < N; ++index) {
            _commitScores(round, index, _word(round, index));
        }
        rounds.advance(round);
        for (uint256 index = 0; index < N; ++index) {
            _revealScores(round, index, _word(round, index));
        }
        rounds.advance(round);
        _settleAll(round, N);
        rounds.advance(round);
        for (uint256 slot = 0; slot < N; ++slot) {
            _attest(round, slot);
        }
        _propose(round);
        _expire(round);
    }

    /// Forfeiture: Malformed and Harmful lose everything, Unavailable and Rejected only the trainer's part.
    function test_claim_forfeits() public {
        _fieldOf[0] = 2; // Malformed
        _fieldOf[1] = GAIN_OFFSET - 5000; // Harmful
        _fieldOf[2] = 1; // Unavailable
        _fieldOf[3] = GAIN_OFFSET + 1; // Rejected
        uint256 round = _toFinalized(N);
        assertEq(distributor.claim(round, 0), 0, "Malformed");
        assertEq(distributor.claim(round, 1), 0, "Harmful");
        uint256 others = E * 20 / 100 / (N * 7) * 7 + E * 5 / 100 / N;
        assertEq(distributor.claim(round, 2), others, "Unavailable");
        assertEq(distributor.claim(round, 3), others, "Rejected");
        assertEq(distributor.creditAt(members[0], round), 0, "no credit");
        assertTrue(distributor.isClaimed(round, 0), "a claim of nothing is a claim");
    }

    function test_claim_paysCorrectFieldsOnly() public {
        uint256 round = _toScoreCommit(N);
        uint256[] memory words = new uint256[](N);
        for (uint256 index = 0; index < N; ++index) {
            words[index] = _word(round, index);
        }
        words[4] = words[4] & ~uint256(0xfffff); // did not score one
        words[5] += 301 << 20; // 301 ppm off in field 1: beyond tau
        words[6] += 300 << 20; // within
        for (uint256 index = 0; index < N; ++index) {
            _commitScores(round, index, words[index]);
        }
        rounds.advance(round);
        for (uint256 index = 0; index < N; ++index) {
            _revealScores(round, index, words[index]);
        }
        rounds.advance(round);
        _settleAll(round, N);
        assertEq(rounds.earningsOf(round, 4).correct, 6, "not scored");
        assertEq(rounds.earningsOf(round, 5).correct, 6, "too far");
        assertEq(rounds.earningsOf(round, 6).correct, 7, "near enough");
    }

    /// Results of a ring of 20 fill three slots, and verifiers near the end wrap to the first.
    function test_claim_countsFieldsAcrossSlots() public {
        uint256 n = 20;
        _admitMany(n - N);
        for (uint256 index = 0; index < n; ++index) {
            _fieldOf[index] = GAIN_OFFSET + 1000 * (index + 1); // each further than tau from any other
        }
        uint256 round = _toFinalized(n);
        for (uint256 index = 0; index < n; ++index) {
            assertEq(rounds.earningsOf(round, index).correct, 7, "an honest word is right in every field");
            assertEq(rounds.earningsOf(round, index).weight, 1000 * (index + 1), "its own weight");
        }
    }

    function test_claim_paysAttestersOfTheModelOnly() public {
        uint256 round = _toAttest(N);
        for (uint256 slot = 0; slot < 6; ++slot) {
            _attest(round, slot);
        }
        address liar = _attester(round, 6);
        vm.prank(liar);
        rounds.attest(round, 6, keccak256("wrong"));
        _propose(round);
        _expire(round);
        assertTrue(rounds.earningsOf(round, rounds.indexAt(round, 0)).isCorrectAttester, "right");
        assertFalse(rounds.earningsOf(round, rounds.indexAt(round, 6)).isCorrectAttester, "wrong");
        assertFalse(rounds.earningsOf(round, rounds.indexAt(round, 7)).isCorrectAttester, "absent");
    }

    // --- credits ------------------------------------------------------------------------------------------------------

    /// A claim for an older round after one for a later round: nothing reverts, nothing is lost, nothing moves.
    function test_credit_isExactWhateverTheOrderOfClaims() public {
        uint256[4] memory order = [_toFinalized(N), _toFinalized(N), _toFinalized(N), _toFinalized(N)];
        (order[0], order[1], order[2], order[3]) = (order[2], order[0], order[3], order[1]);
        uint256[5] memory earned;
        for (uint256 i = 0; i < 4; ++i) {
            earned[order[i]] = distributor.claim(order[i], 0);
            uint256 credit = 0;
            for (uint256 round = 1; round < 5; ++round) {
                credit += earned[round];
                assertEq(distributor.creditAt(members[0], round), credit, "up to this round, claimed so far");
            }
        }
        assertEq(distributor.creditAt(members[0], 0), 0, "before all");
        assertEq(distributor.creditAt(members[0], type(uint256).max), token.balanceOf(members[0]), "end");
    }

    /// The sum of a round's credits, and when it is final.
    function test_creditsIn_isCompleteOnceAllHaveClaimed() public {
        (uint256 amount, bool isComplete) = distributor.creditsIn(1);
        assertEq(amount, 0, "never opened");
        assertFalse(isComplete, "never opened");
        uint256 round = _toFinalized(N);
        distributor.claimTreasury(round);
        uint256 total = 0;
        for (uint16 index = 0; index < N; ++index) {
            (amount, isComplete) = distributor.creditsIn(round);
            assertEq(amount, total, "claimed so far, without the treasury");
            assertFalse(isComplete, "one is missing");
            total += distributor.claim(round, index);
        }
        (amount, isComplete) = distributor.creditsIn(round);
        assertEq(amount, total, "all");
        assertTrue(isComplete, "all");
    }

    /// A round of more than one page is complete only when every page is.
    function test_creditsIn_countsEveryPage() public {
        uint256 n = 130;
        _admitMany(n - N);
        uint256 round = _toFinalized(n);
        for (uint16 index = 0; index < n; ++index) {
            if (index != 5 && index != 129) distributor.claim(round, index);
        }
        bool isComplete;
        distributor.claim(round, 5);
        (, isComplete) = distributor.creditsIn(round);
        assertFalse(isComplete, "the second page lacks one");
        distributor.claim(round, 129);
        (, isComplete) = distributor.creditsIn(round);
        assertTrue(isComplete, "all");
    }

    /// Token transfers never move credits.
    function test_credit_isSoulBound() public {
        uint256 round = _toFinalized(N);
        uint256 amount = distributor.claim(round, 0);
        vm.prank(members[0]);
        token.transfer(members[1], amount);
        assertEq(distributor.creditAt(members[0], round), amount, "stays");
        assertEq(distributor.creditAt(members[1], round), 0, "does not arrive");
    }

    // --- treasury and emission ----------------------------------------------------------------------------------------

    function test_treasury_RevertWhen_twice() public {
        uint256 round = _toFinalized(N);
        distributor.claimTreasury(round);
        assertTrue(distributor.isTreasuryClaimed(round), "claimed");
        vm.expectRevert(abi.encodeWithSelector(IRewardDistributor.TreasuryAlreadyClaimed.selector, round));
        distributor.claimTreasury(round);
    }

    function test_treasury_gets5Percent() public {
        uint256 round = _toFinalized(N);
        vm.expectEmit(address(distributor));
        emit IRewardDistributor.TreasuryClaimed(round, treasury, 450e18);
        assertEq(distributor.claimTreasury(round), 450e18, "amount");
        assertEq(token.balanceOf(treasury), 450e18, "paid");
        assertEq(distributor.mintedIn(round), 450e18, "minted");
    }

    function test_emission_halves() public {
        assertEq(distributor.emission(1), E, "first");
        assertEq(distributor.emission(HALVING), E, "last of the first period");
        assertEq(distributor.emission(HALVING + 1), E / 2, "second period");
        assertEq(distributor.emission(10 * HALVING + 1), E >> 10, "eleventh");
        assertEq(distributor.emission(type(uint256).max), 0, "at last nothing");
        vm.expectRevert(IRewardDistributor.GenesisHasNoRewards.selector);
        distributor.emission(0);
    }

    /// I1, I2: a whole round claimed.
    function test_I2_aWholeRoundMintsAtMostItsEmission() public {
        uint256 supply = token.totalSupply();
        uint256 round = _toFinalized(N);
        uint256 total = distributor.claimTreasury(round);
        for (uint16 index = 0; index < N; ++index) {
            total += distributor.claim(round, index);
        }
        assertEq(distributor.mintedIn(round), total, "sum of claims");
        assertLe(total, E, "within the emission");
        assertEq(token.totalSupply(), supply + total, "I1 supply");
    }
}
