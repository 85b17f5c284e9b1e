// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IGovernor} from "@openzeppelin/contracts/governance/IGovernor.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

import {ICommunityGovernor} from "../../src/interfaces/ICommunityGovernor.sol";
import {IMemberRegistry} from "../../src/interfaces/IMemberRegistry.sol";
import {IVotingVault} from "../../src/interfaces/IVotingVault.sol";

/// @notice All of CommunityGovernor that tests call. Importing the contract itself would compile the tests, and every
/// contract in them, by the governor's compiler profile.
interface IFullGovernor is IGovernor, ICommunityGovernor {
    function setVotingDelay(uint48 value) external;
    function setVotingPeriod(uint32 value) external;
    function setProposalThreshold(uint256 value) external;
    function updateQuorumNumerator(uint256 value) external;
    function setLateQuorumVoteExtension(uint48 value) external;
    function setProposalGuardian(address value) external;
    function updateTimelock(address value) external;
    function relay(address target, uint256 value, bytes calldata data) external payable;
    function quorumNumerator() external view returns (uint256);
    function lateQuorumVoteExtension() external view returns (uint48);
    function proposalGuardian() external view returns (address);
    function timelock() external view returns (address);
    function usedVotes(uint256 proposalId, address account) external view returns (uint256);
    function proposalVotes(uint256 proposalId)
        external
        view
        returns (uint256 againstVotes, uint256 forVotes, uint256 abstainVotes);
}

/// @notice What tests call of OpenZeppelin's TimelockController. It comes with the governor's profile, so that its artifact
/// has one name.
interface IFullTimelock is IAccessControl {
    function schedule(
        address target,
        uint256 value,
        bytes calldata data,
        bytes32 predecessor,
        bytes32 salt,
        uint256 delay
    ) external;
    function executeBatch(
        address[] calldata targets,
        uint256[] calldata values,
        bytes[] calldata payloads,
        bytes32 predecessor,
        bytes32 salt
    ) external payable;
    function updateDelay(uint256 newDelay) external;
    function getMinDelay() external view returns (uint256);
    function DEFAULT_ADMIN_ROLE() external view returns (bytes32);
    function PROPOSER_ROLE() external view returns (bytes32);
    function CANCELLER_ROLE() external view returns (bytes32);
    function EXECUTOR_ROLE() external view returns (bytes32);
}

/// @notice The two answers of a registry that the vault asks for, set at will: also Banned.
contract RegistryDouble {
    address public token;
    mapping(address account => IMemberRegistry.Status) public statusOf;

    function setToken(address token_) external {
        token = token_;
    }

    function set(address account, IMemberRegistry.Status status) external {
        statusOf[account] = status;
    }
}

/// @notice What proposals call: one function that the list names, one that it does not.
contract Noticeboard {
    address public immutable timelock;
    uint256 public notice;
    uint256 public secret;

    error NotTimelock(address caller);

    constructor(address timelock_) {
        timelock = timelock_;
    }

    function post(uint256 notice_) external payable {
        if (msg.sender != timelock) revert NotTimelock(msg.sender);
        notice = notice_;
    }

    function postSecret(uint256 secret_) external {
        if (msg.sender != timelock) revert NotTimelock(msg.sender);
        secret = secret_;
    }
}

/// @notice A token that takes a fee, refuses, or calls the vault back in the middle of a transfer.
contract HostileToken is ERC20 {
    enum Mode {
        Honest,
        Fee,
        Refuse,
        Silent,
        Lock,
        Withdraw,
        Unlock
    }

    Mode public mode;
    IVotingVault public vault;
    bool private _entered;

    constructor() ERC20("Hostile", "H") {}

    function setUp(Mode mode_, IVotingVault vault_) external {
        mode = mode_;
        vault = vault_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    /// The token is a member itself and calls back in its own name.
    function act(bytes calldata data) external {
        (bool isDone, bytes memory answer) = address(vault).call(data);
        require(isDone, string(answer));
    }

    function approveVault() external {
        _approve(address(this), address(vault), type(uint256).max);
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        _before();
        return super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        _before();
        if (mode == Mode.Silent) return true;
        if (mode == Mode.Fee) {
            _burn(from, amount / 100);
            amount -= amount / 100;
        }
        return super.transferFrom(from, to, amount);
    }

    function _before() private {
        require(mode != Mode.Refuse, "refused");
        if (_entered) return;
        _entered = true;
        if (mode == Mode.Lock) vault.lock(1e18);
        if (mode == Mode.Withdraw) vault.withdraw();
        if (mode == Mode.Unlock) vault.unlock(1e18);
        _entered = false;
    }
}
