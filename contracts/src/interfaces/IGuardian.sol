// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

interface IGuardian {
    enum Entry {
        Join,
        OpenRound,
        Lock,
        Publish
    }

    function isPaused(Entry entry) external view returns (bool);
}
