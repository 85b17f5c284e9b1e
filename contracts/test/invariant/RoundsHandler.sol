// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Community} from "../utils/Community.sol";

/// @notice The rounds of a community that drops out, lies and acts late, and its own books beside the contracts.
abstract contract RoundsHandler is Community {
    uint256 public constant MEMBERS = 9;
    /// Verifiers of an update: with nine on the ring there is a second panel, and an independent jury.
    uint8 public constant PANEL = 3;

    // --- books --------------------------------------------------------------------------------------------------------

    uint256 public finalized;
    uint256 public voided;
    uint256 public claims;
    uint256 public proofs;
    uint256 public retried;
    uint256 public disputes;
    uint256 public overturned;
    uint256 public upheld;
    uint256 public undecided;
    uint256 public lapsed;
    uint256 public bans;
    uint256 public refusals;
    uint256 public exits;
    uint256 public repins;

    uint256 public granted; // minted into stakes
    uint256 public lent; // minted to disputers, as if a round had paid them
    uint256 public burnedBonds;
    uint256 public rewarded; // minted by claims
    uint256 public slashed; // taken from stakes
    uint256 public bounties; // of it, paid to provers
    uint256 public burnedOnExit;

    uint256 internal _verdictSeed;
    mapping(uint256 round => uint256 claimedBits) internal _claimedBits;

    /// Everybody who ever was a member: those banned are replaced by newcomers.
    address[] internal _accounts;
    mapping(bytes32 proof => bool) internal _proven;

    constructor() {
        IRoundManager.Params memory p = _defaults();
        p.maxVerifiers = PANEL;
        _deploy(p);
        for (uint256 i = 0; i < MEMBERS; ++i) {
            members.push(_newcomer());
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
        // One time in 32 nobody draws the seed while its hash is there.
        if (phase == IRoundManager.Phase.Seed) _pass(round, phase, time % 32 == 0 ? 0 : 1);
        else if (phase == IRoundManager.Phase.Challenge) _pass(round, phase, 1);
        else if (phase == IRoundManager.Phase.Commit) _pass(round, phase, 0);
        _poke(round, phase);
    }

    function _openSome(uint256 choice) internal {
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

    function _newcomer() internal returns (address account) {
        account = makeAddr(string.concat("member ", vm.toString(_accounts.length)));
        _accounts.push(account);
        _join(account);
    }

    function _act(uint256 round, IRoundManager.Phase phase, uint256 who, uint256 lies) internal {
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
        if (phase == IRoundManager.Phase.Settle || phase == IRoundManager.Phase.RetrySettle) _settleSome(round, who);
        if (phase == IRoundManager.Phase.Attest) _tryPropose(round);
    }

    function _actOne(uint256 round, IRoundManager.Phase phase, address member, bool isLying) internal {
        (IRoundManager.Entry entry,, uint16 index,) = rounds.trainerOf(round, member);
        if (phase == IRoundManager.Phase.Commit) {
            if (entry == IRoundManager.Entry.None && _mayCommit(round, member)) _commit(round, member);
        } else if (phase == IRoundManager.Phase.Reveal) {
            if (entry == IRoundManager.Entry.Committed) _reveal(round, member);
        } else if (entry == IRoundManager.Entry.Revealed) {
            if (phase == IRoundManager.Phase.Attest) _attestOne(round, index, isLying);
            else _scoreOne(round, phase, index, isLying);
        }
    }

    function _scoreOne(uint256 round, IRoundManager.Phase phase, uint256 index, bool isLying) internal {
        (IRoundManager.Entry first,) = rounds.scoresOf(round, index);
        (IRoundManager.Entry second,) = rounds.retryScoresOf(round, index);
        if (phase == IRoundManager.Phase.ScoreCommit && first == IRoundManager.Entry.None) {
            _commitScores(round, index, _kept(round, index, false, isLying));
        } else if (phase == IRoundManager.Phase.ScoreReveal && first == IRoundManager.Entry.Committed) {
            _revealScores(round, index, _committedWord[round][index][false]);
        } else if (phase == IRoundManager.Phase.RetryCommit && second == IRoundManager.Entry.None) {
            _commitRetry(round, index, _kept(round, index, true, isLying));
        } else if (phase == IRoundManager.Phase.RetryReveal && second == IRoundManager.Entry.Committed) {
            _revealRetry(round, index, _committedWord[round][index][true]);
        }
    }

    function _mayCommit(uint256 round, address member) internal view returns (bool) {
        return registry.isEligible(member, rounds.roundOf(round).openedAt);
    }

    mapping(uint256 round => mapping(uint256 index => mapping(bool retry => uint256))) internal _committedWord;

    function _kept(uint256 round, uint256 index, bool retry, bool isLying) internal returns (uint256 word) {
        word = retry ? _retryWord(round, index) : _captured(round, _word(round, index), index);
        if (isLying) word = uint256(keccak256(abi.encode(word))) >> (256 - 20 * uint256(PANEL));
        _committedWord[round][index][retry] = word;
    }

    /// In every other round the whole panel of one update accepts it, harmful as it is.
    function _captured(uint256 round, uint256 word, uint256 index) internal view returns (uint256) {
        if (_verdictSeed % 2 != 0) return word;
        uint256 n = rounds.roundOf(round).reveals;
        uint256 position = rounds.positionOf(round, index);
        for (uint256 j = 0; j < _verifiers(n); ++j) {
            if (rounds.indexAt(round, (position + 1 + j) % n) != 0) continue;
            word = (word & ~(uint256(0xfffff) << (20 * j))) | ((GAIN_OFFSET + 15_000) << (20 * j));
        }
        return word;
    }

    function _attestOne(uint256 round, uint256 index, bool isLying) internal {
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

    function _revealSlice(uint256 round) internal {
        if (rounds.roundOf(round).seal == IRoundManager.Seal.Committed) _revealBenchmark(round);
    }

    function _settleSome(uint256 round, uint256 who) internal {
        uint256 n = rounds.roundOf(round).reveals;
        for (uint256 index = 0; index < n; ++index) {
            if ((who >> (3 * index)) & 7 == 0) continue;
            _settle(round, index);
        }
    }

    function _tryPropose(uint256 round) internal {
        (bytes32 modelHash, bytes32 cid) = _model(round);
        try rounds.proposeAggregate(round, SECRET, modelHash, cid) {}
        catch (bytes memory reason) {
            _requireSelector(reason, IRoundManager.NoQuorum.selector);
        }
    }

    /// What honest verifiers find: mostly good updates, each kind of bad one now and then.
    function _truth(uint256 index) internal view override returns (uint256) {
        if (index == 0 && _verdictSeed % 2 == 0) return GAIN_OFFSET - 5000; // what the captured panel accepts
        uint256 kind = uint256(keccak256(abi.encode(_verdictSeed, index))) % 12;
        if (kind == 0) return 1;
        if (kind == 1) return 2;
        if (kind == 2) return GAIN_OFFSET - 5000;
        if (kind == 3) return GAIN_OFFSET + 50;
        return super._truth(index);
    }

    // --- time ---------------------------------------------------------------------------------------------------------

    function _pass(uint256 round, IRoundManager.Phase phase, uint256 time) internal {
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

    function _poke(uint256 round, IRoundManager.Phase phase) internal {
        IRoundManager.Phase before = _phase(round);
        uint256 pinned = rounds.roundOf(round).seedBlock;
        try rounds.advance(round) {
            IRoundManager.Phase reached = _phase(round);
            require(_isAllowed(before, reached), "I3: forbidden transition");
            if (reached == IRoundManager.Phase.Finalized) ++finalized;
            if (reached == IRoundManager.Phase.Voided) ++voided;
            if (reached == IRoundManager.Phase.RetryCommit) ++retried;
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

    /// I3: one step by number, the retry left out or not, or Voided from a phase that can void; Seed may stand still to pin
    /// again.
    function _isAllowed(IRoundManager.Phase from, IRoundManager.Phase to) internal pure returns (bool) {
        if (to == IRoundManager.Phase.Voided) {
            return from == IRoundManager.Phase.Commit || from == IRoundManager.Phase.Reveal
                || from == IRoundManager.Phase.Settle || from == IRoundManager.Phase.RetrySettle
                || from == IRoundManager.Phase.Attest;
        }
        if (from == IRoundManager.Phase.Attest) return false; // left by a proposal only
        if (from == IRoundManager.Phase.Seed && to == from) return true;
        if (from == IRoundManager.Phase.Settle && to == IRoundManager.Phase.Attest) return true;
        return uint8(to) == uint8(from) + 1;
    }

    // --- members ------------------------------------------------------------------------------------------------------

    function _join(address account) internal {
        _renewSeats();
        _admit(account);
        granted += GRANT;
    }

    /// No seat expires while a round runs (MembershipHandler lets them).
    function _renewSeats() internal {
        (, uint40 expiresAt) = registry.seatOf(0);
        if (expiresAt > block.timestamp + 100 days) return;
        for (uint256 seat = 0; seat < seats.length; ++seat) {
            vm.prank(timelock);
            registry.setSeat(seat, seats[seat], uint40(block.timestamp + 365 days));
        }
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    /// Everything of `member` in `round` that an act of somebody else must leave alone.
    function _slotsOf(uint256 round, address member) internal view returns (bytes32) {
        (, bytes memory trainer) = address(rounds).staticcall(abi.encodeCall(rounds.trainerOf, (round, member)));
        (IRoundManager.Entry entry,, uint16 index,) = rounds.trainerOf(round, member);
        if (entry != IRoundManager.Entry.Revealed) return keccak256(trainer);
        (, bytes memory scores) = address(rounds).staticcall(abi.encodeCall(rounds.scoresOf, (round, index)));
        (, bytes memory second) = address(rounds).staticcall(abi.encodeCall(rounds.retryScoresOf, (round, index)));
        return keccak256(abi.encode(trainer, scores, second, rounds.ownerOf(round, index)));
    }

    function _phase(uint256 round) internal view returns (IRoundManager.Phase phase) {
        (phase,) = rounds.phaseOf(round);
    }

    function _requireSelector(bytes memory reason, bytes4 expected) internal pure {
        require(bytes4(reason) == expected, "refused for another reason");
    }

    function _max(uint256 a, uint256 b) internal pure returns (uint256) {
        return a > b ? a : b;
    }
}
