// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

import {IRevenueSplitter} from "../../src/interfaces/IRevenueSplitter.sol";

/// @notice Tokens that revenue may come in: an honest one, and those that the splitter must survive.
contract PlainToken is ERC20 {
    constructor() ERC20("Plain", "PLN") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @notice Keeps 1 % of every transfer.
contract FeeToken is PlainToken {
    function _update(address from, address to, uint256 amount) internal override {
        if (from == address(0)) {
            super._update(from, to, amount);
            return;
        }
        uint256 fee = amount / 100;
        super._update(from, address(0xfee), fee);
        super._update(from, to, amount - fee);
    }
}

/// @notice Keeps everything, and more: the receiver's balance falls with every transfer to it.
contract ShrinkingToken is PlainToken {
    function _update(address from, address to, uint256 amount) internal override {
        if (from == address(0)) {
            super._update(from, to, amount);
            return;
        }
        super._update(from, address(0xfee), amount);
        if (balanceOf(to) != 0) super._update(to, address(0xfee), 1);
    }
}

/// @notice Says false instead of reverting; moves nothing.
contract FalseToken is PlainToken {
    bool public isBroken;

    function breakIt() external {
        isBroken = true;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return isBroken ? false : super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return isBroken ? false : super.transferFrom(from, to, amount);
    }
}

/// @notice Reverts on every transfer once broken.
contract RevertingToken is PlainToken {
    error Frozen();

    bool public isBroken;

    function breakIt() external {
        isBroken = true;
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (isBroken) revert Frozen();
        super._update(from, to, amount);
    }
}

/// @notice Returns nothing, as some old tokens do.
contract SilentToken {
    mapping(address account => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        _move(msg.sender, to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) external {
        _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// @notice Calls the splitter back from within every transfer, and remembers whether it was let in.
contract ReentrantToken is PlainToken {
    IRevenueSplitter private _splitter;
    bytes private _attack;
    uint256 public attempts;
    uint256 public successes;
    bytes public lastRefusal;

    function arm(IRevenueSplitter splitter, bytes calldata attack) external {
        (_splitter, _attack) = (splitter, attack);
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (_attack.length != 0) {
            ++attempts;
            (bool ok, bytes memory answer) = address(_splitter).call(_attack);
            if (ok) ++successes;
            else lastRefusal = answer;
        }
        super._update(from, to, amount);
    }
}
