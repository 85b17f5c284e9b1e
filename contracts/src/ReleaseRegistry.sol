// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "./interfaces/IGuardian.sol";
import {IReleaseRegistry} from "./interfaces/IReleaseRegistry.sol";
import {IRewardDistributor} from "./interfaces/IRewardDistributor.sol";
import {IRoundManager} from "./interfaces/IRoundManager.sol";
import {OwnershipMath} from "./libraries/OwnershipMath.sol";

/// @title ReleaseRegistry
/// @notice Versions and their owners; the manual is IReleaseRegistry.
contract ReleaseRegistry is IReleaseRegistry {
    // --- bounds -------------------------------------------------------------------------------------------------------

    /// @notice Most benchmarks that are active at one time, the loop bound of `publish`.
    uint256 public constant MAX_BENCHMARKS = 16;
    /// @notice Most scores of one release: retired benchmarks may be among them.
    uint256 public constant MAX_SCORES = 32;
    /// @notice Best score, ppm.
    uint256 public constant BEST_SCORE = 1_000_000;
    /// @notice Largest regression that a deployment can allow, ppm: a tenth.
    uint256 public constant MOST_REGRESSION = 100_000;

    // --- storage ------------------------------------------------------------------------------------------------------

    /// @inheritdoc IReleaseRegistry
    IRoundManager public immutable override roundManager;
    /// @inheritdoc IReleaseRegistry
    IRewardDistributor public immutable override distributor;
    /// @inheritdoc IReleaseRegistry
    IGuardian public immutable override guardian;
    /// @inheritdoc IReleaseRegistry
    address public immutable override timelock;
    /// @inheritdoc IReleaseRegistry
    uint256 public immutable override maxRegression;

    /// @inheritdoc IReleaseRegistry
    uint32 public override count;
    /// @inheritdoc IReleaseRegistry
    uint32 public override latest;
    uint48 private _rolledTo;

    mapping(uint256 release => Release) private _releases;
    mapping(uint256 release => mapping(bytes32 benchmark => uint256 ppmPlusOne)) private _scores;
    mapping(uint256 round => mapping(bytes32 scoresHash => uint32 slots)) private _voters;
    mapping(uint256 round => uint256) private _creditTotals;
    mapping(bytes32 name => Benchmark) private _benchmarks;
    bytes32[] private _active;

    // --- deployment ---------------------------------------------------------------------------------------------------

    /// @param roundManager_ RoundManager, deployed already.
    /// @param distributor_ RewardDistributor of the same rounds.
    /// @param guardian_ Guardian, deployed already.
    /// @param timelock_ TimelockController.
    /// @param maxRegression_ How far a score may fall below the parent's, ppm, at most MOST_REGRESSION.
    constructor(
        IRoundManager roundManager_,
        IRewardDistributor distributor_,
        IGuardian guardian_,
        address timelock_,
        uint256 maxRegression_
    ) {
        _requireWired(address(distributor_.roundManager()), address(roundManager_));
        _requireWired(roundManager_.registry().timelock(), timelock_);
        if (maxRegression_ > MOST_REGRESSION) {
            revert ParameterOutOfBounds("maxRegression", maxRegression_, 0, MOST_REGRESSION);
        }
        // Reverts where it is no guardian: `publish` would then be closed for ever.
        // slither-disable-next-line unused-return
        guardian_.isPaused(IGuardian.Entry.Publish);
        roundManager = roundManager_;
        distributor = distributor_;
        guardian = guardian_;
        timelock = timelock_;
        maxRegression = maxRegression_;
    }

    // --- what anybody does for a release --------------------------------------------------------------------------------

    /// @inheritdoc IReleaseRegistry
    function attestScores(uint256 round, uint8 slot, bytes32 scoresHash) external override {
        _requireFinalized(round);
        // What it attested does not matter, only that it was right.
        // slither-disable-next-line unused-return
        (address attester,, bool isCorrect) = roundManager.attestationOf(round, slot);
        if (msg.sender != attester) revert NotAttester(msg.sender, attester);
        if (!isCorrect) revert NotCorrect(round, slot);
        uint32 voters = _voters[round][scoresHash];
        // The manager refuses slots of 31 and above.
        uint32 bit = uint32(1 << slot);
        if (voters & bit != 0) revert AlreadyAttested(round, slot, scoresHash);

        voters |= bit;
        _voters[round][scoresHash] = voters;
        emit ScoresAttested(round, slot, attester, scoresHash, uint8(OwnershipMath.countBits(voters)));
    }

    /// @inheritdoc IReleaseRegistry
    function rollCredits(uint256 round) external override {
        uint256 next = uint256(_rolledTo) + 1;
        if (round < next) return;
        uint256 total = _creditTotals[next - 1];
        // The caller chooses how many; calls go to contracts of ours.
        for (; next <= round; ++next) {
            total += _finalCreditsOf(next);
            _creditTotals[next] = total;
            emit CreditsRolled(next, total);
        }
        // Rounds that ended fit in 48 bits: each took a transaction at least.
        _rolledTo = uint48(round);
    }

    /// @dev Credits of a round that can gain no more.
    function _finalCreditsOf(uint256 round) private view returns (uint256 amount) {
        IRoundManager.Phase phase = _phaseOf(round);
        if (phase == IRoundManager.Phase.Voided) return 0;
        if (phase != IRoundManager.Phase.Finalized) revert RoundNotEnded(round, phase);
        bool isComplete;
        (amount, isComplete) = distributor.creditsIn(round);
        if (!isComplete) revert ClaimsMissing(round);
    }

    // --- what the community decides -----------------------------------------------------------------------------------

    /// @inheritdoc IReleaseRegistry
    function publish(Candidate calldata candidate) external override returns (uint32 release) {
        _requireTimelock();
        if (guardian.isPaused(IGuardian.Entry.Publish)) revert PublishPaused();
        _requireSuccessor(candidate);
        bytes32 scoresHash = _requireAttestedModel(candidate);
        uint256 creditTotal = creditTotalAt(candidate.round);
        if (creditTotal == 0) revert NoCredits(candidate.round);
        _requireHashes(candidate.notesHash, candidate.notesCid);

        release = count + 1;
        _keepScores(release, candidate.scores);
        _requireNoRegression(release, candidate.parent);
        count = release;
        latest = release;
        if (candidate.parent != 0) _releases[candidate.parent].next = release;
        _releases[release] = Release({
            parent: candidate.parent,
            before: candidate.parent,
            next: 0,
            round: uint48(candidate.round), // rolled, so it fits
            version: candidate.version,
            publishedAt: uint40(block.timestamp),
            isYanked: false,
            modelHash: candidate.modelHash,
            cid: candidate.cid,
            scoresHash: scoresHash,
            notesHash: candidate.notesHash,
            notesCid: candidate.notesCid,
            creditTotal: creditTotal
        });
        emit ReleasePublished(release, candidate.round, candidate, creditTotal);
    }

    /// @inheritdoc IReleaseRegistry
    function yank(uint32 release, bytes32 reasonHash) external override {
        _requireTimelock();
        _requireExists(release);
        Release storage r = _releases[release];
        if (r.isYanked) revert Yanked(release);

        r.isYanked = true;
        (uint32 before, uint32 next) = (r.before, r.next);
        if (before != 0) _releases[before].next = next;
        if (next != 0) _releases[next].before = before;
        else latest = before;
        emit ReleaseYanked(release, reasonHash);
    }

    /// @inheritdoc IReleaseRegistry
    function addBenchmark(bytes32 name, bytes32 contentHash, bytes32 cid) external override {
        _requireTimelock();
        _requireHashes(contentHash, cid);
        if (name == 0) revert ZeroHash(name, cid);
        Standing standing = _benchmarks[name].standing;
        if (standing != Standing.Unknown) revert WrongStanding(name, standing, Standing.Unknown);
        if (_active.length == MAX_BENCHMARKS) revert TooManyBenchmarks(MAX_BENCHMARKS);

        _benchmarks[name] = Benchmark(Standing.Active, contentHash, cid);
        _active.push(name);
        emit BenchmarkAdded(name, contentHash, cid);
    }

    /// @inheritdoc IReleaseRegistry
    function retireBenchmark(bytes32 name) external override {
        _requireTimelock();
        Standing standing = _benchmarks[name].standing;
        if (standing != Standing.Active) revert WrongStanding(name, standing, Standing.Active);

        _benchmarks[name].standing = Standing.Retired;
        uint256 i = 0;
        while (_active[i] != name) ++i;
        _active[i] = _active[_active.length - 1];
        _active.pop();
        emit BenchmarkRetired(name);
    }

    // --- views --------------------------------------------------------------------------------------------------------

    /// @inheritdoc IReleaseRegistry
    function releaseOf(uint256 release) external view override returns (Release memory) {
        _requireExists(release);
        return _releases[release];
    }

    /// @inheritdoc IReleaseRegistry
    function ownershipOf(uint256 release) external view override returns (uint256 round, uint256 creditTotal) {
        _requireExists(release);
        Release storage r = _releases[release];
        return (r.round, r.creditTotal);
    }

    /// @inheritdoc IReleaseRegistry
    function scoreOf(uint256 release, bytes32 benchmark) public view override returns (bool exists, uint32 ppm) {
        uint256 ppmPlusOne = _scores[release][benchmark];
        // At most 1 000 000.
        if (ppmPlusOne != 0) return (true, uint32(ppmPlusOne - 1));
    }

    /// @inheritdoc IReleaseRegistry
    function votesOf(uint256 round, bytes32 scoresHash) public view override returns (uint256 votes, uint256 needed) {
        votes = OwnershipMath.countBits(_voters[round][scoresHash]);
        needed = OwnershipMath.quorumOf(OwnershipMath.countBits(roundManager.roundOf(round).correctSlots));
    }

    /// @inheritdoc IReleaseRegistry
    function votersOf(uint256 round, bytes32 scoresHash) external view override returns (uint32) {
        return _voters[round][scoresHash];
    }

    /// @inheritdoc IReleaseRegistry
    function hashOf(uint256 round, Score[] calldata scores) public view override returns (bytes32) {
        return OwnershipMath.scoresHash(block.chainid, address(this), round, scores);
    }

    /// @inheritdoc IReleaseRegistry
    function benchmarkOf(bytes32 name) external view override returns (Benchmark memory) {
        return _benchmarks[name];
    }

    /// @inheritdoc IReleaseRegistry
    function activeBenchmarks() external view override returns (bytes32[] memory) {
        return _active;
    }

    /// @inheritdoc IReleaseRegistry
    function creditTotalAt(uint256 round) public view override returns (uint256) {
        if (round > _rolledTo) revert CreditsNotRolled(round, _rolledTo);
        return _creditTotals[round];
    }

    /// @inheritdoc IReleaseRegistry
    function rolledTo() external view override returns (uint256 round) {
        return _rolledTo;
    }

    // --- what a release must satisfy ------------------------------------------------------------------------------------

    /// @dev Version, parent and round follow on what is there.
    function _requireSuccessor(Candidate calldata candidate) private view {
        uint256 parent = candidate.parent;
        uint256 parentRound = 0;
        if (parent != 0) {
            _requireExists(parent);
            if (_releases[parent].isYanked) revert Yanked(parent);
            parentRound = _releases[parent].round;
        }
        if (parent != latest) revert NotLatest(parent, latest);
        Version memory last = _releases[count].version;
        if (_packed(candidate.version) <= _packed(last)) revert VersionNotAbove(candidate.version, last);
        if (candidate.round <= parentRound) revert RoundNotLater(candidate.round, parentRound);
    }

    /// @dev The round is Finalized, model and CID are its own, and its attesters voted for the scores.
    function _requireAttestedModel(Candidate calldata candidate) private view returns (bytes32 scoresHash) {
        uint256 round = candidate.round;
        _requireFinalized(round);
        IRoundManager.Round memory r = roundManager.roundOf(round);
        if (candidate.modelHash != r.modelHash || candidate.cid != r.cid) {
            revert NotTheRoundsModel(candidate.modelHash, candidate.cid, r.modelHash, r.cid);
        }
        scoresHash = hashOf(round, candidate.scores);
        (uint256 votes, uint256 needed) = votesOf(round, scoresHash);
        if (votes < needed) revert ScoresNotAttested(scoresHash, votes, needed);
    }

    function _keepScores(uint32 release, Score[] calldata scores) private {
        if (scores.length > MAX_SCORES) revert TooManyScores(scores.length, MAX_SCORES);
        bytes32 previous = 0;
        for (uint256 i = 0; i < scores.length; ++i) {
            Score calldata score = scores[i];
            if (score.benchmark <= previous) revert ScoresNotAscending(score.benchmark, previous);
            if (score.ppm > BEST_SCORE) revert ScoreOutOfBounds(score.benchmark, score.ppm, BEST_SCORE);
            previous = score.benchmark;
            _scores[release][previous] = uint256(score.ppm) + 1;
        }
    }

    /// @dev A benchmark that the parent was not measured by has nothing to fall below.
    function _requireNoRegression(uint32 release, uint32 parent) private view {
        uint256 active = _active.length;
        if (active == 0) revert NoActiveBenchmark();
        for (uint256 i = 0; i < active; ++i) {
            bytes32 benchmark = _active[i];
            (bool exists, uint32 ppm) = scoreOf(release, benchmark);
            if (!exists) revert MissingScore(benchmark);
            (bool isMeasured, uint32 parentPpm) = scoreOf(parent, benchmark);
            uint256 least = OwnershipMath.leastScore(parentPpm, maxRegression);
            if (isMeasured && ppm < least) revert Regressed(benchmark, ppm, least);
        }
    }

    // --- helpers ------------------------------------------------------------------------------------------------------

    function _requireTimelock() private view {
        if (msg.sender != timelock) revert NotTimelock(msg.sender, timelock);
    }

    function _requireExists(uint256 release) private view {
        if (release == 0 || release > count) revert NoSuchRelease(release, count);
    }

    function _requireFinalized(uint256 round) private view {
        IRoundManager.Phase phase = _phaseOf(round);
        if (phase != IRoundManager.Phase.Finalized) revert NotFinalized(round, phase);
    }

    function _phaseOf(uint256 round) private view returns (IRoundManager.Phase phase) {
        // A round that ended has no deadline left to look at.
        // slither-disable-next-line unused-return
        (phase,) = roundManager.phaseOf(round);
    }

    function _requireWired(address actual, address expected) private pure {
        if (actual != expected) revert WiredElsewhere(actual, expected);
    }

    function _requireHashes(bytes32 contentHash, bytes32 cid) private pure {
        if (contentHash == 0 || cid == 0) revert ZeroHash(contentHash, cid);
    }

    function _packed(Version memory version) private pure returns (uint256) {
        return (uint256(version.major) << 32) | (uint256(version.minor) << 16) | version.patch;
    }
}
