// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundCourt} from "../../src/interfaces/IRoundCourt.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {RoundsHandler} from "./RoundsHandler.sol";

/// @notice A community that also disputes, votes, leaves and comes back, with money at stake.
/// @dev Every call must succeed (`fail_on_revert`): what the contracts must refuse is tried in `misbehave`, where the
/// refusal is asserted.
contract Handler is RoundsHandler {
    // --- money --------------------------------------------------------------------------------------------------------

    /// Anybody claims anything of any round, often late.
    function claim(uint256 roundChoice, uint256 indexChoice) external andOften(indexChoice / 16) {
        uint256 round = _someRound(roundChoice);
        uint256 n = rounds.roundOf(round).reveals;
        if (round == 0 || n == 0) return;
        uint16 index = uint16(indexChoice % n);
        if (_phase(round) != IRoundManager.Phase.Finalized || distributor.isClaimed(round, index)) {
            try distributor.claim(round, index) {
                revert("I2, I7: claimed what cannot be claimed");
            } catch {
                ++refusals;
            }
            return;
        }
        require(_claimedBits[round] & (1 << index) == 0, "I7: claimed twice");
        _claimedBits[round] |= 1 << index;
        address owner = rounds.ownerOf(round, index);
        uint256 balance = token.balanceOf(owner);
        uint256 amount = distributor.claim(round, index);
        require(token.balanceOf(owner) == balance + amount, "paid to the owner");
        rewarded += amount;
        ++claims;
    }

    function claimTreasury(uint256 roundChoice) external {
        uint256 round = _someRound(roundChoice);
        if (round == 0 || _phase(round) != IRoundManager.Phase.Finalized) return;
        if (distributor.isTreasuryClaimed(round)) return;
        rewarded += distributor.claimTreasury(round);
    }

    /// Anybody accuses one after the other of a fault until a proof stands; most are refused.
    function prove(uint256 roundChoice, uint256 who, uint256 kind) external andOften(roundChoice / 16) {
        uint256 round = _someRound(roundChoice);
        for (uint256 i = 0; i < MEMBERS; ++i) {
            if (_prove(_accusation(round, who % MEMBERS + i, kind % 9))) return;
        }
    }

    function _accusation(uint256 round, uint256 who, uint256 kind) private view returns (bytes memory) {
        uint16 index = uint16(who % MEMBERS);
        if (kind == 0) return abi.encodeCall(court.slashUnrevealedUpdate, (round, members[index]));
        if (kind == 1) return abi.encodeCall(court.slashAbsentVerifier, (round, index, false));
        if (kind == 2) return abi.encodeCall(court.slashUnrevealedScores, (round, index, false));
        if (kind == 3) return abi.encodeCall(court.slashWrongAttestation, (round, uint8(index)));
        if (kind == 4) return abi.encodeCall(court.slashAbsentVerifier, (round, index, true));
        if (kind == 5) return abi.encodeCall(court.slashUnrevealedScores, (round, index, true));
        if (kind == 6) return abi.encodeCall(court.slashVerdict, (round, index));
        if (kind == 7) return abi.encodeCall(court.slashAbsentAttester, (round, uint8(index)));
        return abi.encodeCall(court.slashUnrevealedSlice, (round));
    }

    /// The same for what disputes prove: wrong fields, lies, wrong attesters, jurors that kept silent.
    function proveByJury(uint256 idChoice, uint256 who, uint256 kind) external {
        uint256 count = court.disputeCount();
        if (count == 0) return;
        uint256 id = count - idChoice % (count < 4 ? count : 4);
        for (uint256 i = 0; i < MEMBERS; ++i) {
            uint8 place = uint8((who % MEMBERS + i) % MEMBERS);
            bytes memory proof = abi.encodeCall(court.slashField, (id, place));
            if (kind % 4 == 1) proof = abi.encodeCall(court.slashAttester, (id, place));
            if (kind % 4 == 2) proof = abi.encodeCall(court.slashAbsentJuror, (id, place));
            if (kind % 4 == 3) proof = abi.encodeCall(court.slashUnrevealedBallot, (id, place));
            if (_prove(proof)) break;
        }
        _replaceBanned();
    }

    /// I13: what is taken from stakes leaves the registry, half of it at most as a bounty; each proof stands once.
    function _prove(bytes memory proof) private returns (bool ok) {
        uint256 stakes = registry.totalStake();
        uint256 supply = token.totalSupply();
        uint256 held = token.balanceOf(address(registry));
        (ok,) = address(court).call(proof);
        uint256 loss = stakes - registry.totalStake();
        uint256 burned = supply - token.totalSupply();
        require(held - token.balanceOf(address(registry)) == loss, "I13: all of it leaves the registry");
        require((loss - burned) * 2 <= loss, "I13: half at most to the prover");
        require(ok || loss == 0, "a refused proof costs nothing");
        if (ok) {
            require(!_proven[keccak256(proof)], "a fault was punished twice");
            _proven[keccak256(proof)] = true;
            ++proofs;
        } else {
            ++refusals;
        }
        slashed += loss;
        bounties += loss - burned;
    }

    function _replaceBanned() private {
        for (uint256 i = 0; i < MEMBERS; ++i) {
            if (registry.statusOf(members[i]) != IMemberRegistry.Status.Banned) continue;
            require(registry.stakeOf(members[i]) == 0, "who is banned has lost everything");
            members[i] = _newcomer();
            ++bans;
        }
    }

    // --- disputes -----------------------------------------------------------------------------------------------------

    /// Somebody disputes a score, or the aggregate, with a cause or without.
    function dispute(uint256 choice, uint256 who) external {
        for (uint256 i = 0; i < 12 && choice % 4 != 0; ++i) {
            if (_phase(rounds.currentRound()) == IRoundManager.Phase.Challenge) break;
            diligentStep(choice >> 8);
        }
        uint256 round = rounds.currentRound();
        if (_phase(round) != IRoundManager.Phase.Challenge) return;
        address member = members[who % MEMBERS];
        uint256 index = choice % 8 < 5 ? 0 : choice / 8 % rounds.roundOf(round).reveals;
        _give(member, DISPUTE_BOND);
        lent += DISPUTE_BOND;
        uint256 bonds = court.totalBonds();
        vm.startPrank(member);
        token.approve(address(court), DISPUTE_BOND);
        (bool ok, bytes memory reason) = address(court)
            .call(
                choice % 5 == 0
                    ? abi.encodeCall(court.disputeAggregate, (round))
                    : abi.encodeCall(court.disputeScore, (round, uint16(index)))
            );
        vm.stopPrank();
        if (ok) {
            ++disputes;
            (, uint40 deadline) = rounds.phaseOf(round);
            require(deadline >= court.disputeOf(court.disputeCount()).until, "I12: the round waits for its disputes");
            return;
        }
        ++refusals;
        require(court.totalBonds() == bonds, "refused without a bond");
        bytes4 selector = bytes4(reason);
        require(
            selector == IRoundCourt.DisputeTooLate.selector || selector == IRoundCourt.AlreadyDisputed.selector
                || selector == IRoundCourt.TooManyDisputes.selector || selector == IRoundCourt.NothingToDispute.selector
                || selector == IRoundManager.DeadlinePassed.selector,
            "refused for another reason"
        );
    }

    /// The jury of one of the latest disputes does what it still can: draw, commit, reveal, resolve; some drop out, some lie.
    function judge(uint256 idChoice, uint256 who, uint256 lies) external {
        uint256 count = court.disputeCount();
        if (count == 0) return;
        uint256 id = idChoice % 4 == 0 && count > 1 ? count - 1 : count;
        IRoundCourt.Dispute memory d = court.disputeOf(id);
        if (d.outcome != IRoundCourt.Outcome.None) return;
        if (idChoice % 16 == 15) vm.warp(_max(block.timestamp, uint256(d.until) + 1)); // nobody cares
        if (d.key == 0 && block.timestamp + 80 minutes <= d.until) {
            if (idChoice % 16 == 7) vm.roll(uint256(d.seedBlock) + 300); // its hash is gone
            if (block.number <= uint256(d.seedBlock) + 250) _drawJury(id);
            else court.drawJury(id);
            d = court.disputeOf(id);
        }
        if (d.key != 0) _ballots(id, who, lies, d);
        _end(id);
    }

    function _ballots(uint256 id, uint256 who, uint256 lies, IRoundCourt.Dispute memory d) private {
        for (uint256 place = 0; place < d.places && block.timestamp <= d.commitEnd; ++place) {
            (IRoundManager.Entry entry,) = court.ballotOf(id, place);
            if (_juror(id, place) == address(0) || entry != IRoundManager.Entry.None) continue;
            if ((who >> (3 * place)) & 7 == 0) continue;
            _committedBallot[id][place] = _vote(id, (lies >> (3 * place)) & 7 == 1);
            bytes32 before = _ballotsBut(id, place, d.places);
            _commitBallot(id, place, _committedBallot[id][place]);
            require(before == _ballotsBut(id, place, d.places), "I11: a ballot changed another's");
        }
        vm.warp(_max(block.timestamp, uint256(d.commitEnd) + 1));
        uint256 revealEnd = uint256(d.commitEnd) + 30 minutes;
        for (uint256 place = 0; place < d.places && block.timestamp <= revealEnd; ++place) {
            (IRoundManager.Entry entry,) = court.ballotOf(id, place);
            if (entry != IRoundManager.Entry.Committed || (who >> (3 * place + 100)) & 7 == 0) continue;
            _revealBallot(id, place, _committedBallot[id][place]);
        }
        vm.warp(_max(block.timestamp, revealEnd + 1));
    }

    mapping(uint256 id => mapping(uint256 place => uint256 ballot)) private _committedBallot;

    function _vote(uint256 id, bool isLying) private view returns (uint256) {
        uint256 honest = _ballot(id, address(0));
        if (!isLying) return honest;
        return honest == 1 ? 2 : 1;
    }

    function _ballotsBut(uint256 id, uint256 place, uint256 places) private view returns (bytes32 digest) {
        for (uint256 other = 0; other < places; ++other) {
            if (other == place) continue;
            (IRoundManager.Entry entry, uint256 ballot) = court.ballotOf(id, other);
            digest = keccak256(abi.encode(digest, entry, ballot));
        }
    }

    function _end(uint256 id) private {
        uint256 supply = token.totalSupply();
        uint256 round = court.disputeOf(id).round;
        bool wasVoided = _phase(round) == IRoundManager.Phase.Voided;
        try court.resolve(id) {
            IRoundCourt.Outcome outcome = court.disputeOf(id).outcome;
            bool burns = outcome == IRoundCourt.Outcome.Upheld || outcome == IRoundCourt.Outcome.Lapsed;
            require(supply - token.totalSupply() == (burns ? DISPUTE_BOND : 0), "the bond burns or returns");
            if (burns) burnedBonds += DISPUTE_BOND;
            if (outcome == IRoundCourt.Outcome.Upheld) ++upheld;
            if (outcome == IRoundCourt.Outcome.Overturned) ++overturned;
            if (outcome == IRoundCourt.Outcome.NoMajority) ++undecided;
            if (outcome == IRoundCourt.Outcome.Lapsed) ++lapsed;
            if (!wasVoided && _phase(round) == IRoundManager.Phase.Voided) ++voided;
        } catch (bytes memory reason) {
            require(court.disputeOf(id).key == 0, "I12: a drawn jury whose time is over ends its dispute");
            _requireSelector(reason, IRoundCourt.JuryNotDrawn.selector);
        }
    }

    // --- members ------------------------------------------------------------------------------------------------------

    function bond(uint256 who, uint256 amount) external andOften(who / 16) {
        address member = members[who % MEMBERS];
        uint256 balance = token.balanceOf(member);
        if (balance == 0 || registry.statusOf(member) != IMemberRegistry.Status.Active) return;
        uint96 added = uint96(bound(amount, 0, balance));
        vm.startPrank(member);
        token.approve(address(registry), added);
        registry.bond(added);
        vm.stopPrank();
    }

    /// Starts or finishes an exit (never early), or joins again; one call in eight, so that rounds stay populated.
    function leaveOrJoin(uint256 who, uint256 chance) external {
        address member = members[who % MEMBERS];
        IMemberRegistry.Status status = registry.statusOf(member);
        if (status == IMemberRegistry.Status.Active && chance % 8 == 0) {
            vm.prank(member);
            registry.startExit();
        } else if (status == IMemberRegistry.Status.Exiting) {
            _finishExit(member);
        } else if (status == IMemberRegistry.Status.None) {
            _join(member);
        }
    }

    function _finishExit(address member) private {
        uint256 exitAt = registry.exitAtOf(member);
        if (block.timestamp < exitAt) {
            vm.prank(member);
            try registry.finishExit() {
                revert("I14: early exit");
            } catch (bytes memory reason) {
                _requireSelector(reason, IMemberRegistry.ExitTooEarly.selector);
            }
            return;
        }
        uint256 unvested = registry.unvestedOf(member);
        uint256 owned = registry.stakeOf(member) - unvested;
        uint256 balance = token.balanceOf(member);
        vm.prank(member);
        registry.finishExit();
        require(token.balanceOf(member) == balance + owned, "I14: own stake comes back");
        burnedOnExit += unvested;
        ++exits;
    }

    /// I23: tokens sent by mistake change nobody's stake or pay.
    function donate(uint256 who, uint256 amount) external andOften(who / 16) {
        address member = members[who % MEMBERS];
        uint256 given = bound(amount, 0, token.balanceOf(member));
        uint256 total = registry.totalStake();
        vm.startPrank(member);
        token.transfer(address(registry), given / 2);
        token.transfer(address(distributor), given - given / 2);
        vm.stopPrank();
        require(registry.totalStake() == total, "I23: donations are not stake");
    }

    // --- what must be refused -----------------------------------------------------------------------------------------

    /// I10 and more: acts in the wrong phase, too late, or with another's opening.
    function misbehave(uint256 who, uint256 kind) external andOften(who / 16) {
        uint256 round = rounds.currentRound();
        address member = members[who % MEMBERS];
        address victim = members[(who % MEMBERS + 1) % MEMBERS];
        IRoundManager.Phase phase = _phase(round);
        (, uint40 deadline) = rounds.phaseOf(round);
        bool isLate = block.timestamp > deadline;
        Opening memory o = _opening(round, kind % 2 == 0 ? victim : member);
        bytes memory act;
        if (kind % 3 == 0) {
            if (phase == IRoundManager.Phase.Commit && !isLate) return; // would be allowed
            act = abi.encodeCall(rounds.commitUpdate, (round, keccak256("late")));
        } else if (kind % 3 == 1) {
            if (phase == IRoundManager.Phase.Reveal && !isLate && kind % 2 == 1) return;
            act = abi.encodeCall(rounds.revealUpdate, (round, o.contentHash, o.cid, o.samples, o.salt));
        } else {
            if (phase >= IRoundManager.Phase.Finalized) return;
            act = abi.encodeCall(rounds.openRound, (keccak256("slice")));
        }
        vm.prank(member);
        (bool ok,) = address(rounds).call(act);
        require(!ok, "I10: a forbidden act passed");
        ++refusals;
    }

    // --- for the invariants -------------------------------------------------------------------------------------------

    /// I12: time and `advance` alone end the current round within 12 steps, whatever is disputed; then every dispute can end.
    function runOut() external returns (uint256 steps) {
        uint256 round = rounds.currentRound();
        while (_phase(round) < IRoundManager.Phase.Finalized) {
            (, uint40 deadline) = rounds.phaseOf(round);
            if (_phase(round) == IRoundManager.Phase.Seed) {
                uint256 seedBlock = rounds.roundOf(round).seedBlock;
                vm.roll(seedBlock + 1);
                vm.setBlockhash(seedBlock, keccak256(abi.encode(seedBlock)));
            }
            vm.warp(_max(block.timestamp, uint256(deadline) + 1));
            rounds.advance(round);
            ++steps;
        }
        skip(2 hours + 1);
        for (uint256 id = 1; id <= court.disputeCount(); ++id) {
            if (court.disputeOf(id).outcome == IRoundCourt.Outcome.None) court.resolve(id);
        }
    }

    /// Prints what a campaign reached.
    function report() external {
        emit log_named_uint("finalized", finalized);
        emit log_named_uint("voided", voided);
        emit log_named_uint("retried", retried);
        emit log_named_uint("claimed", claims);
        emit log_named_uint("proven", proofs);
        emit log_named_uint("slashed, CWT", slashed / 1e18);
        emit log_named_uint("refused", refusals);
        emit log_named_uint("disputes", disputes);
        emit log_named_uint("overturned", overturned);
        emit log_named_uint("upheld", upheld);
        emit log_named_uint("undecided", undecided);
        emit log_named_uint("lapsed", lapsed);
        emit log_named_uint("banned", bans);
    }

    function contracts()
        external
        view
        returns (address token_, address registry_, address rounds_, address court_, address distributor_)
    {
        return (address(token), address(registry), address(rounds), address(court), address(distributor));
    }

    function accountCount() external view returns (uint256) {
        return _accounts.length;
    }

    function accountAt(uint256 i) external view returns (address) {
        return _accounts[i];
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    /// Mostly one of the latest three, where most is left to do; else any.
    function _someRound(uint256 choice) private view returns (uint256) {
        uint256 current = rounds.currentRound();
        if (choice % 4 != 0 && current >= 3) return current - choice / 4 % 3;
        return choice % (current + 1);
    }
}
