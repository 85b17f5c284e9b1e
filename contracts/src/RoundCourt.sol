// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {CourtDisputes} from "./court/CourtDisputes.sol";
import {CourtState} from "./court/CourtState.sol";
import {IMemberRegistry} from "./interfaces/IMemberRegistry.sol";
import {IRoundManager} from "./interfaces/IRoundManager.sol";

/// @title RoundCourt
/// @notice Penalties and disputes of rounds; the manual is IRoundCourt.
/// @dev Three parts below this one: CourtState (constants, storage, views), CourtFaults (what the record proves), CourtDisputes.
contract RoundCourt is CourtDisputes {
    /// @param roundManager_ RoundManager, deployed already; names this contract as its court.
    /// @param registry_ MemberRegistry, deployed already; names this contract as its court.
    /// @param p Constants, each within the bounds of CourtState.
    constructor(IRoundManager roundManager_, IMemberRegistry registry_, Params memory p)
        CourtState(roundManager_, registry_, p)
    {}
}
