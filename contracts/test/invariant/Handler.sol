// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Community} from "../utils/Community.sol";

/// @notice A community that drops out, lies, acts late, leaves and comes back, and keeps its own books beside the contracts.
/// @dev Every call must succeed (`fail_on_revert`): what the contracts must refuse is tried in `misbehave`, where the
/// refusal is asserted.
contract Handler is Community {
    uint256 public constant MEMBERS = 8;

    // --- books --------------------------------------------------------------------------------------------------------

    uint256 public finalized;
    uint256 public voided;
    uint256 public claims;
    uint256 public proofs;
    uint256 public settledFaults;
    uint256 public refusals;
    uint256 public exits;
    uint256 public repins;

    uint256 public granted; // minted into stakes
    uint256 public rewarded; // minted by claims
    uint256 public slashed; // taken from stakes
    uint256 public bounties; // of it, paid to provers
    uint256 public burnedOnExit;

    uint256 private _verdictSeed;
    mapping(uint256 round => uint256 claimedBits) private _claimedBits;

    constructor() {
        _deploy(_defaults());
        for (uint256 i = 0; i < MEMBERS; ++i) {
            members.push(makeAddr(string.concat("member ", vm.toString(i))));
            _join(members[i]);
        }
        skip(1);
    }

    // --- one phase of the current round ---------------------------------------------------------------------------------

    /// Members act (7 of 8 on average), time passes, somebody advances.
    function step(uint256 who, uint256 lies, uint256 time) external {
        uint256 round = rounds.currentRound();
        IRoundManager.Phase phase = _phase(round);
        if (phase >= IRoundManager.Phase.Finalized) {
            _openSome(lies);
            return;
        }
        _act(round, phase, who, lies);
        _pass(round, phase, time);
        _poke(round, phase);
    }

    /// Half of the other acts come with a diligent step, so that a short campaign sees whole rounds.
    modifier andOften(uint256 choice) {
        _;
        if (choice % 2 == 0) diligentStep(choice / 2);
    }

    /// Everybody acts, honestly and in time: rounds that reach their end.
    function diligentStep(uint256 time) public {
        uint256 round = rounds.currentRound();
        IRoundManager.Phase phase = _phase(round);
        if (phase >= IRoundManager.Phase.Finalized) {
            _openSome(time);
            return;
        }
        _act(round, phase, type(uint256).max, 0);
        if (phase == IRoundManager.Phase.Seed || phase == IRoundManager.Phase.Challenge) _pass(round, phase, 1);
        else if (phase == IRoundManager.Phase.Commit) _pass(round, phase, 0);
        _poke(round, phase);
    }

    function _openSome(uint256 choice) private {
        _verdictSeed = choice;
        _renewSeats();
        if (choice % 4 != 0) {
            (, uint40 ended) = rounds.phaseOf(rounds.currentRound());
            if (block.timestamp <= uint256(ended) + 1 hours) {
                _open();
                return;
            }
        }
        (, uint40 last) = rounds.phaseOf(rounds.currentRound());
        vm.warp(_max(block.timestamp, uint256(last) + 1 hours + 1));
        rounds.openRound(0);
    }

    function _act(uint256 round, IRoundManager.Phase phase, uint256 who, uint256 lies) private {
        (, uint40 deadline) = rounds.phaseOf(round);
        if (phase != IRoundManager.Phase.Seed && block.timestamp > deadline) return; // too late for all
        for (uint256 i = 0; i < MEMBERS; ++i) {
            if ((who >> (3 * i)) & 7 == 0) continue; // dropped out
            uint256 witness = (i + 1 + lies % (MEMBERS - 1)) % MEMBERS;
            bytes32 before = _slotsOf(round, members[witness]);
            _actOne(round, phase, members[i], (lies >> (3 * i)) & 7 == 1);
            require(before == _slotsOf(round, members[witness]), "I11: an act changed another's slots");
        }
        if (phase == IRoundManager.Phase.Reveal && who & 7 != 0) _revealSlice(round);
        if (phase == IRoundManager.Phase.Settle) _settleSome(round, who);
        if (phase == IRoundManager.Phase.Attest) _tryPropose(round);
    }

    function _actOne(uint256 round, IRoundManager.Phase phase, address member, bool isLying) private {
        (IRoundManager.Entry entry,, uint16 index,) = rounds.trainerOf(round, member);
        if (phase == IRoundManager.Phase.Commit) {
            if (entry == IRoundManager.Entry.None && _mayCommit(round, member)) _commit(round, member);
        } else if (phase == IRoundManager.Phase.Reveal) {
            if (entry == IRoundManager.Entry.Committed) _reveal(round, member);
        } else if (entry == IRoundManager.Entry.Revealed) {
            (IRoundManager.Entry scores,) = rounds.scoresOf(round, index);
            if (phase == IRoundManager.Phase.ScoreCommit && scores == IRoundManager.Entry.None) {
                _commitScores(round, index, _wordOf(round, index, isLying));
            } else if (phase == IRoundManager.Phase.ScoreReveal && scores == IRoundManager.Entry.Committed) {
                _revealEither(round, index);
            } else if (phase == IRoundManager.Phase.Attest) {
                _attestOne(round, index, isLying);
            }
        }
    }

    function _mayCommit(uint256 round, address member) private view returns (bool) {
        return registry.isEligible(member, rounds.roundOf(round).openedAt);
    }

    mapping(uint256 round => mapping(uint256 index => uint256)) private _committedWord;

    function _wordOf(uint256 round, uint256 index, bool isLying) private returns (uint256 word) {
        word = _word(round, index);
        if (isLying) word = uint256(keccak256(abi.encode(word))) >> 116;
        _committedWord[round][index] = word;
    }

    function _revealEither(uint256 round, uint256 index) private {
        _revealScores(round, index, _committedWord[round][index]);
    }

    function _attestOne(uint256 round, uint256 index, bool isLying) private {
        uint256 slot = rounds.positionOf(round, index);
        if (slot >= rounds.params().maxAttesters) return;
        (address attester, bytes32 attestation,) = rounds.attestationOf(round, uint8(slot));
        if (attestation != 0) return;
        if (!isLying) {
            _attest(round, slot);
        } else {
            vm.prank(attester);
            rounds.attest(round, uint8(slot), keccak256("a lie"));
        }
    }

    function _revealSlice(uint256 round) private {
        if (rounds.roundOf(round).seal == IRoundManager.Seal.Committed) _revealBenchmark(round);
    }

    function _settleSome(uint256 round, uint256 who) private {
        uint256 n = rounds.roundOf(round).reveals;
        for (uint256 index = 0; index < n; ++index) {
            if ((who >> (3 * index)) & 7 == 0) continue;
            address owner = rounds.ownerOf(round, index);
            uint256 stake = registry.stakeOf(owner);
            _settle(round, index);
            uint256 loss = stake - registry.stakeOf(owner);
            if (loss != 0) ++settledFaults;
            slashed += loss;
        }
    }

    function _tryPropose(uint256 round) private {
        (bytes32 modelHash, bytes32 cid) = _model(round);
        try rounds.proposeAggregate(round, SECRET, modelHash, cid) {}
        catch (bytes memory reason) {
            _requireSelector(reason, IRoundManager.NoQuorum.selector);
        }
    }

    /// What honest verifiers find: mostly good updates, each kind of bad one now and then.
    function _truth(uint256 index) internal view override returns (uint256) {
        uint256 kind = uint256(keccak256(abi.encode(_verdictSeed, index))) % 12;
        if (kind == 0) return 1;
        if (kind == 1) return 2;
        if (kind == 2) return GAIN_OFFSET - 5000;
        if (kind == 3) return GAIN_OFFSET + 50;
        return super._truth(index);
    }

    // --- time ---------------------------------------------------------------------------------------------------------

    function _pass(uint256 round, IRoundManager.Phase phase, uint256 time) private {
        if (phase == IRoundManager.Phase.Seed) {
            // One time in eight nobody looks for 300 blocks, and the hash is gone.
            vm.roll(block.number + (time % 8 == 0 ? 300 : 6));
            uint256 seedBlock = rounds.roundOf(round).seedBlock;
            if (block.number <= seedBlock + 256) {
                vm.setBlockhash(seedBlock, keccak256(abi.encode("block", seedBlock, time)));
            }
        } else if (time % 3 == 0) {
            skip(time % 600);
        } else {
            (, uint40 deadline) = rounds.phaseOf(round);
            vm.warp(_max(block.timestamp, uint256(deadline) + 1 + time % 2 days));
        }
    }

    function _poke(uint256 round, IRoundManager.Phase phase) private {
        IRoundManager.Phase before = _phase(round);
        uint256 pinned = rounds.roundOf(round).seedBlock;
        try rounds.advance(round) {
            IRoundManager.Phase reached = _phase(round);
            require(_isAllowed(before, reached), "I3: forbidden transition");
            if (reached == IRoundManager.Phase.Finalized) ++finalized;
            if (reached == IRoundManager.Phase.Voided) ++voided;
            if (before == reached) {
                require(rounds.roundOf(round).seedBlock > pinned, "a standstill pins a later block");
                ++repins;
            }
        } catch (bytes memory reason) {
            require(before >= phase, "I3: back");
            bytes4 expected = before == IRoundManager.Phase.Seed
                ? IRoundManager.SeedNotReady.selector
                : IRoundManager.TooEarly.selector;
            _requireSelector(reason, expected);
        }
    }

    /// I3: one step by number, or Voided from a phase that can void; Seed may stand still to pin again.
    function _isAllowed(IRoundManager.Phase from, IRoundManager.Phase to) private pure returns (bool) {
        if (to == IRoundManager.Phase.Voided) {
            return from == IRoundManager.Phase.Commit || from == IRoundManager.Phase.Reveal
                || from == IRoundManager.Phase.Settle || from == IRoundManager.Phase.Attest;
        }
        if (from == IRoundManager.Phase.Attest) return false; // left by a proposal only
        if (from == IRoundManager.Phase.Seed && to == from) return true;
        return uint8(to) == uint8(from) + 1;
    }

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
            if (_accuse(round, who % MEMBERS + i, kind % 4)) return;
        }
    }

    function _accuse(uint256 round, uint256 who, uint256 kind) private returns (bool) {
        address member = members[who % MEMBERS];
        if (kind == 0) return _prove(abi.encodeCall(rounds.slashUnrevealedUpdate, (round, member)), member);
        IRoundManager.Round memory r = rounds.roundOf(round);
        if (r.seed == 0) return false;
        uint16 index = uint16(who % r.reveals);
        if (kind == 3) {
            address attester = _attester(round, index);
            return _prove(abi.encodeCall(rounds.slashWrongAttestation, (round, uint8(index))), attester);
        }
        address verifier = rounds.ownerOf(round, index);
        if (kind == 1) return _prove(abi.encodeCall(rounds.slashAbsentVerifier, (round, index)), verifier);
        return _prove(abi.encodeCall(rounds.slashUnrevealedScores, (round, index)), verifier);
    }

    function _prove(bytes memory proof, address accused) private returns (bool ok) {
        uint256 stake = registry.stakeOf(accused);
        uint256 own = stake - registry.unvestedOf(accused);
        uint256 balance = token.balanceOf(address(this));
        (ok,) = address(rounds).call(proof);
        uint256 loss = stake - registry.stakeOf(accused);
        uint256 bounty = token.balanceOf(address(this)) - balance;
        if (ok) ++proofs;
        else ++refusals;
        require(ok || loss + bounty == 0, "a refused proof costs nothing");
        require(bounty == (loss < own ? loss : own) / 2, "I13: half of the own part, rounded down, to the prover");
        slashed += loss;
        bounties += bounty;
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

    function _join(address account) private {
        _renewSeats();
        _admit(account);
        granted += GRANT;
    }

    /// No seat expires while a round runs (MembershipHandler lets them).
    function _renewSeats() private {
        (, uint40 expiresAt) = registry.seatOf(0);
        if (expiresAt > block.timestamp + 100 days) return;
        for (uint256 seat = 0; seat < seats.length; ++seat) {
            vm.prank(timelock);
            registry.setSeat(seat, seats[seat], uint40(block.timestamp + 365 days));
        }
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

    /// I12: time and `advance` alone end the current round within 12 steps.
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
    }

    function contracts()
        external
        view
        returns (address token_, address registry_, address rounds_, address distributor_)
    {
        return (address(token), address(registry), address(rounds), address(distributor));
    }

    function memberAt(uint256 i) external view returns (address) {
        return members[i];
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    /// Everything of `member` in `round` that an act of somebody else must leave alone.
    function _slotsOf(uint256 round, address member) private view returns (bytes32) {
        (, bytes memory trainer) = address(rounds).staticcall(abi.encodeCall(rounds.trainerOf, (round, member)));
        (IRoundManager.Entry entry,, uint16 index,) = rounds.trainerOf(round, member);
        if (entry != IRoundManager.Entry.Revealed) return keccak256(trainer);
        (, bytes memory scores) = address(rounds).staticcall(abi.encodeCall(rounds.scoresOf, (round, index)));
        return keccak256(abi.encode(trainer, scores, rounds.ownerOf(round, index)));
    }

    function _phase(uint256 round) private view returns (IRoundManager.Phase phase) {
        (phase,) = rounds.phaseOf(round);
    }

    /// Mostly one of the latest three, where most is left to do; else any.
    function _someRound(uint256 choice) private view returns (uint256) {
        uint256 current = rounds.currentRound();
        if (choice % 4 != 0 && current >= 3) return current - choice / 4 % 3;
        return choice % (current + 1);
    }

    function _requireSelector(bytes memory reason, bytes4 expected) private pure {
        require(bytes4(reason) == expected, "refused for another reason");
    }

    function _max(uint256 a, uint256 b) private pure returns (uint256) {
        return a > b ? a : b;
    }
}
