// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {GuidelineRegistry} from "../../src/GuidelineRegistry.sol";
import {IGuardian} from "../../src/interfaces/IGuardian.sol";
import {IGuidelineRegistry} from "../../src/interfaces/IGuidelineRegistry.sol";
import {IReleaseRegistry} from "../../src/interfaces/IReleaseRegistry.sol";
import {Ownership} from "../utils/Ownership.sol";
import {FeeToken, PlainToken} from "../utils/Tokens.sol";

/// @notice A community that claims late and out of order, votes for two kinds of scores, proposes releases good and bad, yanks,
/// earns and donates; and keeps its own books beside the contracts.
/// @dev Every call must succeed (`fail_on_revert`). Whether an act must pass or be refused is worked out from the books alone,
/// and asserted within the act.
contract OwnershipHandler is Ownership {
    uint256 public constant MEMBERS = 5;
    bytes32 private constant THIRD_BENCHMARK = "zz";

    // --- books --------------------------------------------------------------------------------------------------------

    mapping(string outcome => uint256) public count; // how often each outcome was reached
    mapping(uint256 round => uint256) private _sizes; // of finalised rounds
    mapping(uint256 round => uint256) private _claimed;
    mapping(uint256 round => uint256 bits) private _correct;
    mapping(uint256 round => mapping(bytes32 scoresHash => uint256 bits)) private _voted;
    mapping(uint256 round => mapping(address member => uint256)) private _earned;
    uint256 private _rolled;

    struct Published {
        uint256 round;
        uint256 version;
        bool isYanked;
        uint256[MEMBERS] credits;
        mapping(bytes32 benchmark => uint256 ppmPlusOne) scores;
    }

    Published[] private _published;
    mapping(bytes32 benchmark => bool) private _isActive;

    PlainToken[2] public currencies;
    mapping(uint256 release => mapping(uint256 currency => uint256)) public deposited;
    mapping(uint256 release => mapping(uint256 currency => uint256)) public paid;
    uint256[2] public donated;

    GuidelineRegistry public guideline;
    uint256 public epochs = 1;

    constructor() {
        _deploy(_defaults());
        _admitMany(MEMBERS);
        _deployOwnership();
        (_isActive[FIRST_BENCHMARK], _isActive[SECOND_BENCHMARK]) = (true, true);
        currencies = [new PlainToken(), PlainToken(new FeeToken())];
        IGuidelineRegistry.Document[4] memory founding;
        for (uint256 kind = 0; kind < 4; ++kind) {
            founding[kind] = IGuidelineRegistry.Document("hash", "cid");
        }
        guideline = new GuidelineRegistry(
            timelock, founding, GUIDELINE, "cid", IGuidelineRegistry.Scoring(300, 100, 1000, 20_000)
        );
    }

    // --- rounds and credits -------------------------------------------------------------------------------------------

    /// A whole round of 3 to 5: one in five is voided, in some of the others one attester lies.
    function playRound(uint256 size, uint256 kind) public {
        uint256 n = 3 + size % 3;
        uint256 round = _toAttest(n);
        if (kind % 5 == 0) {
            _expire(round);
            ++count["voided"];
            return;
        }
        uint256 liar = n > 3 && kind % 2 == 0 ? kind / 10 % n : n;
        for (uint256 slot = 0; slot < n; ++slot) {
            if (slot == liar) {
                vm.prank(_attester(round, slot));
                rounds.attest(round, uint8(slot), keccak256("a lie"));
            } else {
                _attest(round, slot);
                _correct[round] |= 1 << slot;
            }
        }
        _propose(round);
        _expire(round);
        _sizes[round] = n;
        ++count["finalized"];
    }

    /// Anybody claims anything, in any order.
    function claim(uint256 roundChoice, uint256 indexChoice) public {
        uint256 round = _someRound(roundChoice);
        if (_sizes[round] == 0) return;
        uint16 index = uint16(indexChoice % _sizes[round]);
        if (distributor.isClaimed(round, index)) return;
        address owner = rounds.ownerOf(round, index);
        if (distributor.creditAt(owner, type(uint256).max) > distributor.creditAt(owner, round)) {
            ++count["late claims"];
        }
        _earned[round][owner] += distributor.claim(round, index);
        ++_claimed[round];
        ++count["claims"];
    }

    function claimAll(uint256 roundChoice) external {
        uint256 round = _someRound(roundChoice);
        for (uint256 index = 0; index < _sizes[round]; ++index) {
            claim(roundChoice, index);
        }
    }

    /// Passes exactly where the next round is over and, if Finalized, wholly claimed.
    function roll() public {
        uint256 next = _rolled + 1;
        bool isDue = next <= rounds.currentRound() && _claimed[next] == _sizes[next];
        try releases.rollCredits(next) {
            require(isDue, "rolled too early");
            _rolled = next;
            ++count["rolled"];
        } catch {
            require(!isDue, "not rolled");
            ++count["refused rolls"];
        }
    }

    // --- releases -----------------------------------------------------------------------------------------------------

    /// Two sets of scores of a round, with or without the third benchmark.
    function _scoresOf(uint256 round, uint256 variant) private pure returns (IReleaseRegistry.Score[] memory scores) {
        scores = new IReleaseRegistry.Score[](variant & 2 == 0 ? 2 : 3);
        for (uint256 i = 0; i < scores.length; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(round, variant & 1, i))) % 4;
            bytes32 name = i == 0 ? FIRST_BENCHMARK : i == 1 ? SECOND_BENCHMARK : THIRD_BENCHMARK;
            scores[i] = _score(name, 500_000 - 2000 * draw);
        }
    }

    function attestScores(uint256 roundChoice, uint256 slotChoice, uint256 variant) public {
        uint256 round = _someRound(roundChoice);
        if (_sizes[round] == 0) return;
        uint256 bit = 1 << (slotChoice % _sizes[round]);
        bytes32 scoresHash = releases.hashOf(round, _scoresOf(round, variant));
        address attester = _attester(round, slotChoice % _sizes[round]);
        bool isDue = _correct[round] & bit != 0 && _voted[round][scoresHash] & bit == 0;
        vm.prank(attester);
        try releases.attestScores(round, uint8(slotChoice % _sizes[round]), scoresHash) {
            require(isDue, "a vote too many");
            _voted[round][scoresHash] |= bit;
            ++count["votes"];
        } catch {
            require(!isDue, "a vote lost");
            ++count["refused votes"];
        }
    }

    /// I15: a release passes exactly where the books say so; `flaw` spoils one condition on purpose.
    function publish(uint256 roundChoice, uint256 variant, uint256 flaw) public {
        uint256 round = _someRound(roundChoice);
        flaw = flaw % 16;
        IReleaseRegistry.Candidate memory candidate = _candidate(round, _scoresOf(round, variant));
        if (flaw == 0) candidate.modelHash = "forged";
        if (flaw == 1) candidate.cid = "forged";
        if (flaw == 2) candidate.parent = uint32(_published.length);
        if (flaw == 3) candidate.parent = 0;
        if (flaw == 4) candidate.version.minor = uint16(variant % (_published.length + 1));
        if (flaw == 5) candidate.scores[0].ppm += 1;
        guard.set(IGuardian.Entry.Publish, flaw == 6);
        bool isDue = flaw > 1 && flaw != 5 && flaw != 6 && flaw != 7 && _mayPublish(candidate);
        vm.prank(flaw == 7 ? members[0] : timelock);
        try releases.publish(candidate) returns (uint32 release) {
            require(isDue, "I15: released what must not be");
            require(release == _published.length + 1, "number");
            _keep(candidate);
            ++count["releases"];
        } catch {
            require(!isDue, "I15: refused what is in order");
            ++count["refused releases"];
        }
    }

    function _mayPublish(IReleaseRegistry.Candidate memory candidate) private view returns (bool) {
        if (candidate.parent != _latest()) return false;
        uint256 round = candidate.round;
        if (_sizes[round] == 0 || round > _rolled) return false;
        if (candidate.parent != 0 && round <= _published[candidate.parent - 1].round) return false;
        uint256 versions = _published.length;
        if (versions != 0 && _number(candidate.version) <= _published[versions - 1].version) return false;
        uint256 votes = _bits(_voted[round][releases.hashOf(round, candidate.scores)]);
        if (votes * 3 <= _bits(_correct[round]) * 2) return false;
        for (uint256 i = 0; i < 3; ++i) {
            bytes32 name = i == 0 ? FIRST_BENCHMARK : i == 1 ? SECOND_BENCHMARK : THIRD_BENCHMARK;
            if (!_isActive[name]) continue;
            if (i == candidate.scores.length) return false; // the third is missing
            uint256 before = candidate.parent == 0 ? 0 : _published[candidate.parent - 1].scores[name];
            if (before != 0 && candidate.scores[i].ppm + MAX_REGRESSION + 1 < before) return false;
        }
        return _isActive[FIRST_BENCHMARK] || _isActive[SECOND_BENCHMARK] || _isActive[THIRD_BENCHMARK];
    }

    function _keep(IReleaseRegistry.Candidate memory candidate) private {
        Published storage p = _published.push();
        (p.round, p.version) = (candidate.round, _number(candidate.version));
        for (uint256 i = 0; i < candidate.scores.length; ++i) {
            p.scores[candidate.scores[i].benchmark] = uint256(candidate.scores[i].ppm) + 1;
        }
        for (uint256 i = 0; i < MEMBERS; ++i) {
            for (uint256 round = 1; round <= candidate.round; ++round) {
                p.credits[i] += _earned[round][members[i]];
            }
        }
    }

    function yank(uint256 choice, uint256 chance) external {
        if (_published.length == 0 || chance % 4 != 0) return;
        uint256 release = 1 + choice % _published.length;
        vm.prank(timelock);
        try releases.yank(uint32(release), "reason") {
            require(!_published[release - 1].isYanked, "yanked twice");
            _published[release - 1].isYanked = true;
            ++count["yanked"];
        } catch {
            require(_published[release - 1].isYanked, "not yanked");
        }
    }

    function changeBenchmarks(uint256 choice, uint256 chance) external {
        bytes32 name = choice % 2 == 0 ? THIRD_BENCHMARK : SECOND_BENCHMARK;
        if (chance % 8 != 0) return;
        if (_isActive[name]) {
            _retireBenchmark(name);
            _isActive[name] = false;
            ++count["retired"];
        } else if (releases.benchmarkOf(name).standing == IReleaseRegistry.Standing.Unknown) {
            _addBenchmark(name);
            _isActive[name] = true;
        }
    }

    /// Somebody does all that a release of the latest round needs: a short campaign sees several.
    function diligentRelease(uint256 size, uint256 variant) external {
        playRound(size, 1);
        uint256 round = rounds.currentRound();
        for (uint256 slot = 0; slot < _sizes[round]; ++slot) {
            attestScores(round * 2 + 1, slot, variant);
        }
        while (_rolled < round) {
            for (uint256 index = 0; index < _sizes[_rolled + 1]; ++index) {
                claim((_rolled + 1) * 2 + 1, index);
            }
            roll();
        }
        publish(round * 2 + 1, variant, 15);
    }

    // --- money --------------------------------------------------------------------------------------------------------

    function deposit(uint256 releaseChoice, uint256 which, uint96 amount) external {
        if (_published.length == 0 || amount < 2) return;
        uint256 release = 1 + releaseChoice % _published.length;
        PlainToken currency = currencies[which % 2];
        currency.mint(address(this), amount);
        currency.approve(address(splitter), amount);
        uint256 arrived = splitter.deposit(uint32(release), currency, amount);
        require(arrived == (which % 2 == 0 ? amount : amount - amount / 100), "what arrived");
        deposited[release][which % 2] += arrived;
        ++count["deposits"];
    }

    function claimRevenue(uint256 releaseChoice, uint256 which, uint256 who) external {
        if (_published.length == 0) return;
        uint256 release = 1 + releaseChoice % _published.length;
        PlainToken currency = currencies[which % 2];
        uint256 due = entitled(release, which % 2, who % MEMBERS)
            - splitter.paidOf(uint32(release), currency, members[who % MEMBERS]);
        try splitter.claim(uint32(release), currency, members[who % MEMBERS]) returns (uint256 amount) {
            require(amount == due, "pays what is due");
            paid[release][which % 2] += amount;
            ++count["payments"];
        } catch {
            require(due == 0, "refused what is due");
            ++count["refused payments"];
        }
    }

    /// I23: a gift changes nobody's payout.
    function donate(uint256 which, uint96 amount, uint256 who) external {
        if (_published.length == 0) return;
        PlainToken currency = currencies[which % 2];
        uint32 release = uint32(1 + who % _published.length);
        uint256 before = splitter.claimable(release, currency, members[who % MEMBERS]);
        uint256 balance = currency.balanceOf(address(splitter));
        currency.mint(address(this), amount);
        currency.transfer(address(splitter), amount);
        donated[which % 2] += currency.balanceOf(address(splitter)) - balance;
        require(splitter.claimable(release, currency, members[who % MEMBERS]) == before, "I23");
        ++count["donations"];
    }

    /// Shares do not move with tokens.
    function transferTokens(uint256 who, uint256 amount) external {
        address from = members[who % MEMBERS];
        amount = bound(amount, 0, token.balanceOf(from));
        vm.prank(from);
        token.transfer(members[(who / 8) % MEMBERS], amount);
    }

    // --- guideline ----------------------------------------------------------------------------------------------------

    /// I17: passes exactly within the bounds.
    function setScoring(uint24 tau, uint24 deltaMin, uint24 harmMin, uint24 gainCap, bool isSmall) external {
        if (isSmall) (tau, deltaMin, harmMin) = (tau % 600_000, deltaMin % 30_000, harmMin % 600_000);
        if (isSmall) gainCap = gainCap % 600_000;
        bool isWithin = tau < 1 << 19 && deltaMin != 0 && harmMin != 0 && harmMin < 1 << 19 && gainCap >= deltaMin
            && gainCap < 1 << 19;
        vm.prank(timelock);
        try guideline.setScoring(IGuidelineRegistry.Scoring(tau, deltaMin, harmMin, gainCap)) {
            require(isWithin, "I17: beyond the bounds");
            ++epochs;
            ++count["scorings"];
        } catch {
            require(!isWithin, "I17: refused within the bounds");
            ++count["refused scorings"];
        }
    }

    function amend(uint256 kind, bytes32 contentHash) external {
        (uint32 epoch,,) = guideline.current();
        vm.prank(timelock);
        guideline.amend(
            IGuidelineRegistry.Kind(kind % 4),
            keccak256(abi.encode(contentHash, epoch)),
            "cid",
            keccak256(abi.encode("combined", epoch)),
            "cid"
        );
        ++epochs;
    }

    // --- for the invariants -------------------------------------------------------------------------------------------

    /// What the books say a member is due of a release, paid or not.
    function entitled(uint256 release, uint256 which, uint256 member) public view returns (uint256) {
        return deposited[release][which] * _published[release - 1].credits[member] / totalOf(release);
    }

    function totalOf(uint256 release) public view returns (uint256 total) {
        for (uint256 i = 0; i < MEMBERS; ++i) {
            total += _published[release - 1].credits[i];
        }
    }

    function creditOf(uint256 release, uint256 member) external view returns (uint256) {
        return _published[release - 1].credits[member];
    }

    function releaseCount() external view returns (uint256) {
        return _published.length;
    }

    function latestByTheBooks() external view returns (uint256) {
        return _latest();
    }

    function memberAt(uint256 i) external view returns (address) {
        return members[i];
    }

    function contracts() external view returns (address releases_, address splitter_, address rounds_) {
        return (address(releases), address(splitter), address(rounds));
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    function _latest() private view returns (uint256 release) {
        release = _published.length;
        while (release != 0 && _published[release - 1].isYanked) --release;
    }

    function _number(IReleaseRegistry.Version memory version) private pure returns (uint256) {
        return uint256(version.major) * 1e10 + uint256(version.minor) * 1e5 + version.patch;
    }

    function _bits(uint256 map) private pure returns (uint256 bits) {
        for (uint256 i = 0; i < 32; ++i) {
            if (map & (1 << i) != 0) ++bits;
        }
    }

    /// Odd choices name a round, even ones mostly a late one.
    function _someRound(uint256 choice) private view returns (uint256) {
        uint256 current = rounds.currentRound();
        if (choice % 2 == 1) return choice / 2 % (current + 1);
        return current < 3 ? current : current - choice / 2 % 3;
    }
}
