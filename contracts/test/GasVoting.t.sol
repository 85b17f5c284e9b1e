// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {Guardian} from "../src/Guardian.sol";
import {VotingVault} from "../src/VotingVault.sol";
import {ICommunityGovernor} from "../src/interfaces/ICommunityGovernor.sol";
import {IGuardian} from "../src/interfaces/IGuardian.sol";
import {Community} from "./utils/Community.sol";
import {IFullGovernor, IFullTimelock} from "./utils/VotingDoubles.sol";

/// @notice Gas of the voting half, kept in `snapshots/GasVotingTest.json`, beside the real registry and token.
/// @dev As in Gas.t.sol: every call is measured as a transaction of its own.
/// forge-config: default.isolate = true
contract GasVotingTest is Community {
    Guardian private _guardian;
    VotingVault private _vault;
    IFullTimelock private _timelock;
    IFullGovernor private _governor;
    address private _watch = makeAddr("guardian's account");

    address[] private _targets = new address[](1);
    uint256[] private _values = new uint256[](1);
    bytes[] private _calldatas = new bytes[](1);

    function setUp() public {
        _deploy(_defaults());
        _admitMany(12);
        uint256 nonce = vm.getNonce(address(this));
        address[] memory proposers = new address[](1);
        address[] memory executors = new address[](1);
        proposers[0] = _next(nonce + 3);
        _guardian = new Guardian(_watch, uint40(block.timestamp) + 365 days, _next(nonce + 2));
        _vault = new VotingVault(token, registry, _guardian, 10_000e18, 14 days);
        _timelock = IFullTimelock(
            vm.deployCode(
                "TimelockController.sol:TimelockController",
                abi.encode(uint256(2 days), proposers, executors, address(0))
            )
        );
        ICommunityGovernor.Settings memory s = ICommunityGovernor.Settings(1 days, 5 days, 2 days, 10, 100e18, 5_000e18);
        bytes4[] memory selectors = new bytes4[](1);
        _targets[0] = address(_guardian);
        selectors[0] = IGuardian.replace.selector;
        _governor = IFullGovernor(
            payable(vm.deployCode(
                    "CommunityGovernor.sol:CommunityGovernor",
                    abi.encode(_vault, _timelock, _guardian, s, _targets, selectors)
                ))
        );
        _calldatas[0] = abi.encodeCall(IGuardian.replace, (members[0]));
        for (uint256 i = 0; i < members.length; ++i) {
            vm.prank(address(distributor));
            token.mint(members[i], 100_000e18);
            vm.prank(members[i]);
            token.approve(address(_vault), type(uint256).max);
        }
    }

    /// forge-config: default.isolate = true
    function test_gasOfTheVault() public {
        _lock(0, 9_000e18);
        skip(12);
        _lock(1, 9_000e18);
        _under("lock: first", 260_000);
        skip(12);
        _lock(1, 9_000e18);
        _under("lock: more", 140_000);
        skip(12);
        vm.prank(members[1]);
        _vault.delegate(members[0]);
        _under("delegate: to another", 110_000);
        skip(12);
        vm.prank(members[1]);
        _vault.unlock(5_000e18);
        _under("unlock", 110_000);
        skip(14 days);
        vm.prank(members[1]);
        _vault.withdraw();
        _under("withdraw", 60_000);
    }

    /// forge-config: default.isolate = true
    function test_gasOfTheGovernor() public {
        for (uint256 i = 0; i < members.length; ++i) {
            _lock(i, 9_000e18);
            skip(12);
        }
        bytes32 hash = keccak256("text");
        vm.prank(members[0]);
        uint256 id = _governor.propose(_targets, _values, _calldatas, "text");
        _under("propose: one call", 130_000);
        skip(1 days + 1);
        vm.prank(members[1]);
        _governor.castVote(id, 1);
        _under("castVote: first", 130_000);
        vm.prank(members[2]);
        _governor.castVote(id, 1);
        _under("castVote: reaches the quorum", 130_000);
        vm.prank(members[3]);
        _governor.castVote(id, 1);
        _under("castVote: later", 110_000);
        skip(5 days);
        _governor.queue(_targets, _values, _calldatas, hash);
        _under("queue: one call", 160_000);
        skip(2 days);
        _governor.execute(_targets, _values, _calldatas, hash);
        _under("execute: one call", 150_000);
        vm.prank(members[0]);
        _guardian.pause(IGuardian.Entry.Lock, uint40(block.timestamp) + 1 days);
        _under("pause", 60_000);
    }

    /// EIP-170, and a committed size.
    function test_votingCodeSizesFit() public {
        address[3] memory deployed = [address(_governor), address(_vault), address(_guardian)];
        string[3] memory names = ["CommunityGovernor", "VotingVault", "Guardian"];
        for (uint256 i = 0; i < deployed.length; ++i) {
            assertLe(deployed[i].code.length, 24_576, names[i]);
            vm.snapshotValue(string.concat("size: ", names[i]), deployed[i].code.length);
        }
    }

    function _lock(uint256 member, uint96 amount) private {
        vm.prank(members[member]);
        _vault.lock(amount);
    }

    /// Keeps the last call's gas in the snapshot, and below the design's target.
    function _under(string memory name, uint256 target) private {
        assertLe(vm.snapshotGasLastCall(name), target, name);
    }
}
