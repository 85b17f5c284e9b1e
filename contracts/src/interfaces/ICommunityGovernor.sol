// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IGuardian} from "./IGuardian.sol";
import {IVotingVault} from "./IVotingVault.sol";

/// @title ICommunityGovernor
/// @notice How the community decides: what CommunityGovernor adds to OpenZeppelin's Governor.
/// @dev A proposal waits `votingDelay`, is voted on for `votingPeriod` (prolonged where the quorum came late), and, where more
/// votes are for than against and the quorum was reached, waits in the timelock. Votes may be split (fractional
/// counting). The quorum is a share of all units at the vote's start, and at least `quorumFloor`, so that the first
/// members to lock a handful of tokens cannot decide alone.
///
/// A proposal may only call (target, selector) pairs of a list that is fixed at deployment, and five settings of the governor
/// itself, each within half and double its first value. The list cannot name the token, the timelock, the vault or
/// the governor. So no proposal can mint, move tokens, change a role, shorten the timelock, or widen its own reach.
///
/// Assumptions. Safety: `vault` counts votes; the listed functions are safe to be called by a majority. Liveness: members that
/// hold the quorum vote; a guardian can cancel until it expires.
interface ICommunityGovernor {
    /// @notice First values of the settings, and what bounds them for good.
    struct Settings {
        uint48 votingDelay; // seconds from proposal to the vote's start
        uint32 votingPeriod; // seconds of a vote
        uint48 lateExtension; // seconds that a vote lasts at least after its quorum was reached
        uint8 quorumPercent; // of all units at the vote's start
        uint96 proposalThreshold; // votes that a proposer needs
        uint96 quorumFloor; // units, whatever the total; never changes
    }

    /// @notice `selector` of `target` may be called by proposals; emitted at deployment only.
    event Allowed(address indexed target, bytes4 indexed selector);

    /// @notice Thrown when a proposal calls what is not on the list.
    error NotAllowed(address target, bytes4 selector);
    /// @notice Thrown when a setting would leave its bounds.
    error SettingOutOfBounds(uint256 value, uint256 least, uint256 most);
    /// @notice Thrown when a vote, its extension and the timelock would together last as long as the vault's unlock delay.
    error VoteOutlastsLock(uint256 duration, uint256 unlockDelay);

    /// @notice Thrown at deployment when targets and selectors differ in number.
    error BadList(uint256 targets, uint256 selectors);
    /// @notice Thrown at deployment when the list names a target that no proposal may ever call, or a pair twice.
    error ForbiddenTarget(address target, bytes4 selector);
    /// @notice Thrown at deployment when delay, period, extension, quorum or floor is zero, or a quorum could exceed the whole.
    error BadSettings(Settings settings);
    /// @notice Thrown at deployment when guardian, vault and timelock do not name each other, or the timelock not this governor.
    error WiredElsewhere(address actual, address expected);

    /// @notice Whether a proposal may call `selector` of `target`.
    function isAllowed(address target, bytes4 selector) external view returns (bool);
    /// @notice Least quorum, in units.
    function quorumFloor() external view returns (uint256);
    /// @notice First settings: each stays within half (rounded up) and double of them.
    function firstSettings() external view returns (Settings memory);
    /// @notice Where votes come from; the same as `token()`.
    function vault() external view returns (IVotingVault);
    /// @notice Who may cancel; the same as `proposalGuardian()`, which never changes.
    function guardian() external view returns (IGuardian);
}
