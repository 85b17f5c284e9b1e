// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {IRoundManager} from "../../src/interfaces/IRoundManager.sol";
import {Community} from "./Community.sol";

/// @notice A community in which the panel of any update can be made to lie about it, and jurors to vote for the lie.
abstract contract Liars is Community {
    struct Lie {
        uint256 field;
        uint256 liars; // the first ones of the panel
    }

    /// What is true of an update; 0: the usual.
    mapping(uint256 index => uint256 field) internal _fieldOf;
    mapping(uint256 index => Lie) internal _firstLie;
    mapping(uint256 index => Lie) internal _retryLie;
    /// Jurors that vote for this instead of the truth; 0: honest.
    mapping(address juror => uint256 ballot) internal _bought;

    function _truth(uint256 index) internal view virtual override returns (uint256) {
        uint256 field = _fieldOf[index];
        return field == 0 ? super._truth(index) : field;
    }

    function _word(uint256 round, uint256 index) internal view virtual override returns (uint256) {
        return _wordWith(round, index, _firstLie, 0);
    }

    function _retryWord(uint256 round, uint256 index) internal view virtual override returns (uint256) {
        return _wordWith(round, index, _retryLie, _verifiers(rounds.roundOf(round).reveals));
    }

    function _wordWith(uint256 round, uint256 index, mapping(uint256 => Lie) storage lies, uint256 skipped)
        private
        view
        returns (uint256 word)
    {
        uint256 n = rounds.roundOf(round).reveals;
        uint256 k = _verifiers(n);
        uint256 position = rounds.positionOf(round, index) + skipped;
        for (uint256 j = 0; j < k; ++j) {
            uint256 scored = rounds.indexAt(round, (position + 1 + j) % n);
            uint256 field = j < lies[scored].liars ? lies[scored].field : _truth(scored);
            word |= field << (20 * j);
        }
    }

    /// The first `liars` of the panel of `index` write `field` about it.
    function _lie(uint256 index, uint256 field, uint256 liars) internal {
        _firstLie[index] = Lie(field, liars);
    }

    /// The same for its second panel.
    function _lieAgain(uint256 index, uint256 field, uint256 liars) internal {
        _retryLie[index] = Lie(field, liars);
    }

    function _ballot(uint256 id, address juror) internal view virtual override returns (uint256) {
        uint256 bought = _bought[juror];
        return bought == 0 ? super._ballot(id, juror) : bought;
    }

    /// Verifier j of the panel of `index`: the owner at position p − 1 − j, of the second one at p − k − 1 − j.
    function _verifier(uint256 round, uint256 index, uint256 j, bool retry) internal view returns (address) {
        uint256 n = rounds.roundOf(round).reveals;
        uint256 position = rounds.positionOf(round, index) + n - 1 - j;
        if (retry) position -= _verifiers(n);
        position = rounds.indexAt(round, position % n);
        return rounds.ownerOf(round, position);
    }

    function _statusOf(uint256 round, uint256 index) internal view returns (IRoundManager.UpdateStatus status) {
        (status,,,,) = rounds.resultOf(round, index);
    }

    function _assertVerdict(uint256 round, uint256 index, IRoundManager.UpdateStatus expected, string memory label)
        internal
        view
    {
        assertEq(uint256(_statusOf(round, index)), uint256(expected), label);
    }
}
