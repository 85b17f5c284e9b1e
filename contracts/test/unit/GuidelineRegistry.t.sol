// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.34;

import {GuidelineRegistry} from "../../src/GuidelineRegistry.sol";
import {IGuidelineRegistry} from "../../src/interfaces/IGuidelineRegistry.sol";
import {TestBase} from "../utils/TestBase.sol";

contract GuidelineRegistryTest is TestBase {
    address private _timelock = makeAddr("timelock");
    GuidelineRegistry private _guidelines;
    IGuidelineRegistry.Scoring private _founding = IGuidelineRegistry.Scoring(300, 100, 1000, 20_000);

    function setUp() public {
        vm.warp(1_800_000_000);
        _guidelines = _create(_founding);
    }

    function _document(uint256 kind, uint256 revision) private pure returns (IGuidelineRegistry.Document memory) {
        return IGuidelineRegistry.Document(
            keccak256(abi.encode("document", kind, revision)), keccak256(abi.encode("cid", kind, revision))
        );
    }

    function _documents() private pure returns (IGuidelineRegistry.Document[4] memory documents) {
        for (uint256 kind = 0; kind < 4; ++kind) {
            documents[kind] = _document(kind, 1);
        }
    }

    function _create(IGuidelineRegistry.Scoring memory scoring) private returns (GuidelineRegistry) {
        return new GuidelineRegistry(_timelock, _documents(), keccak256("guideline"), keccak256("cid"), scoring);
    }

    function _amend(IGuidelineRegistry.Kind kind, uint256 revision) private {
        IGuidelineRegistry.Document memory document = _document(uint256(kind), revision);
        bytes32 combined = keccak256(abi.encode("guideline", kind, revision));
        vm.prank(_timelock);
        _guidelines.amend(kind, document.contentHash, document.cid, combined, keccak256(abi.encode(combined)));
    }

    function _assertDocument(uint256 epoch, uint256 kind, uint256 revision) private view {
        IGuidelineRegistry.Document memory actual = _guidelines.documentOf(epoch, IGuidelineRegistry.Kind(kind));
        IGuidelineRegistry.Document memory expected = _document(kind, revision);
        assertEq(actual.contentHash, expected.contentHash, "hash");
        assertEq(actual.cid, expected.cid, "cid");
    }

    function _assertScoring(IGuidelineRegistry.Scoring memory a, IGuidelineRegistry.Scoring memory b) private pure {
        assertEq(abi.encode(a), abi.encode(b), "scoring");
    }

    // --- deployment ---------------------------------------------------------------------------------------------------

    function test_deployment_isEpochOne() public view {
        (uint32 epoch, bytes32 guidelineHash, IGuidelineRegistry.Scoring memory scoring) = _guidelines.current();
        assertEq(epoch, 1, "counts from 1");
        assertEq(guidelineHash, keccak256("guideline"), "hash");
        _assertScoring(scoring, _founding);
        IGuidelineRegistry.Epoch memory e = _guidelines.epochOf(1);
        assertEq(e.guidelineCid, keccak256("cid"), "cid");
        assertEq(e.since, 1_800_000_000, "since");
        assertEq(_guidelines.timelock(), _timelock, "timelock");
        for (uint256 kind = 0; kind < 4; ++kind) {
            assertEq(e.revisions[kind], 1, "first revisions");
            _assertDocument(1, kind, 1);
        }
    }

    function test_deployment_emits() public {
        uint32[4] memory revisions = [uint32(1), 1, 1, 1];
        for (uint256 kind = 0; kind < 4; ++kind) {
            IGuidelineRegistry.Document memory document = _document(kind, 1);
            vm.expectEmit();
            emit IGuidelineRegistry.DocumentAmended(
                IGuidelineRegistry.Kind(kind), 1, document.contentHash, document.cid
            );
        }
        vm.expectEmit();
        emit IGuidelineRegistry.EpochBegun(1, keccak256("guideline"), keccak256("cid"), _founding, revisions);
        _create(_founding);
    }

    function test_deployment_RevertWhen_zero() public {
        IGuidelineRegistry.Document[4] memory documents = _documents();
        vm.expectRevert(IGuidelineRegistry.ZeroTimelock.selector);
        new GuidelineRegistry(address(0), documents, keccak256("guideline"), keccak256("cid"), _founding);
        vm.expectRevert(_zeroHash(0, keccak256("cid")));
        new GuidelineRegistry(_timelock, documents, 0, keccak256("cid"), _founding);
        vm.expectRevert(_zeroHash(keccak256("guideline"), 0));
        new GuidelineRegistry(_timelock, documents, keccak256("guideline"), 0, _founding);
        documents[3].cid = 0;
        vm.expectRevert(_zeroHash(documents[3].contentHash, 0));
        new GuidelineRegistry(_timelock, documents, keccak256("guideline"), keccak256("cid"), _founding);
    }

    function _zeroHash(bytes32 contentHash, bytes32 cid) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IGuidelineRegistry.ZeroHash.selector, contentHash, cid);
    }

    // --- amend --------------------------------------------------------------------------------------------------------

    function test_amend_RevertWhen_notTimelock() public {
        bytes memory refusal = abi.encodeWithSelector(IGuidelineRegistry.NotTimelock.selector, address(this), _timelock);
        vm.expectRevert(refusal);
        _guidelines.amend(IGuidelineRegistry.Kind.Data, "a", "b", "c", "d");
        vm.expectRevert(refusal);
        _guidelines.setScoring(IGuidelineRegistry.Scoring(1, 1, 1, 1));
    }

    function test_amend_RevertWhen_zero() public {
        for (uint256 which = 0; which < 4; ++which) {
            bytes32[4] memory given = [bytes32("a"), "b", "c", "d"];
            given[which] = 0;
            vm.expectRevert(which < 2 ? _zeroHash(given[0], given[1]) : _zeroHash(given[2], given[3]));
            vm.prank(_timelock);
            _guidelines.amend(IGuidelineRegistry.Kind.Data, given[0], given[1], given[2], given[3]);
        }
    }

    function test_amend_RevertWhen_nothingChanges() public {
        bytes32 inForce = _document(0, 1).contentHash;
        vm.expectRevert(abi.encodeWithSelector(IGuidelineRegistry.SameHash.selector, inForce, inForce));
        vm.prank(_timelock);
        _guidelines.amend(IGuidelineRegistry.Kind.Data, inForce, "b", "c", "d");
        bytes32 combined = keccak256("guideline");
        vm.expectRevert(abi.encodeWithSelector(IGuidelineRegistry.SameHash.selector, combined, combined));
        vm.prank(_timelock);
        _guidelines.amend(IGuidelineRegistry.Kind.Data, "a", "b", combined, "d");
    }

    function test_amend_makesAnEpochAndKeepsThePast() public {
        skip(5 days);
        uint32[4] memory revisions = [uint32(1), 1, 2, 1];
        IGuidelineRegistry.Document memory document = _document(2, 2);
        bytes32 combined = keccak256(abi.encode("guideline", IGuidelineRegistry.Kind.Update, 2));
        vm.expectEmit(address(_guidelines));
        emit IGuidelineRegistry.DocumentAmended(IGuidelineRegistry.Kind.Update, 2, document.contentHash, document.cid);
        vm.expectEmit(address(_guidelines));
        emit IGuidelineRegistry.EpochBegun(2, combined, keccak256(abi.encode(combined)), _founding, revisions);
        _amend(IGuidelineRegistry.Kind.Update, 2);
        (uint32 epoch, bytes32 guidelineHash, IGuidelineRegistry.Scoring memory scoring) = _guidelines.current();
        assertEq(epoch, 2, "a new one");
        assertEq(guidelineHash, combined, "in force");
        _assertScoring(scoring, _founding);
        assertEq(_guidelines.epochOf(2).guidelineCid, keccak256(abi.encode(combined)), "cid");
        assertEq(_guidelines.epochOf(2).since, 1_800_000_000 + 5 days, "since");
        for (uint256 kind = 0; kind < 4; ++kind) {
            _assertDocument(1, kind, 1);
            _assertDocument(2, kind, kind == 2 ? 2 : 1);
        }
        assertEq(_guidelines.epochOf(1).guidelineHash, keccak256("guideline"), "the past stays");
        assertEq(_guidelines.epochOf(1).since, 1_800_000_000, "the past stays");
    }

    function test_amend_countsRevisionsOfEachKind() public {
        _amend(IGuidelineRegistry.Kind.Data, 2);
        _amend(IGuidelineRegistry.Kind.Versioning, 2);
        _amend(IGuidelineRegistry.Kind.Data, 3);
        uint32[4] memory revisions = _guidelines.epochOf(4).revisions;
        assertEq(abi.encode(revisions), abi.encode([uint32(3), 1, 1, 2]), "revisions");
        assertEq(
            _guidelines.revisionOf(IGuidelineRegistry.Kind.Data, 2).contentHash, _document(0, 2).contentHash, "second"
        );
        _assertDocument(3, 0, 2);
        _assertDocument(4, 0, 3);
    }

    /// A former revision may come back: it only must differ from the one in force.
    function test_amend_mayGoBack() public {
        _amend(IGuidelineRegistry.Kind.Data, 2);
        _amend(IGuidelineRegistry.Kind.Data, 1);
        _assertDocument(3, 0, 1);
        assertEq(_guidelines.epochOf(3).revisions[0], 3, "as a new revision");
    }

    // --- scoring ------------------------------------------------------------------------------------------------------

    function test_setScoring_makesAnEpochAndKeepsTheDocuments() public {
        _amend(IGuidelineRegistry.Kind.Architecture, 2);
        skip(1 days);
        IGuidelineRegistry.Scoring memory next = IGuidelineRegistry.Scoring(400, 150, 2000, 30_000);
        IGuidelineRegistry.Epoch memory before = _guidelines.epochOf(2);
        vm.expectEmit(address(_guidelines));
        emit IGuidelineRegistry.EpochBegun(3, before.guidelineHash, before.guidelineCid, next, before.revisions);
        vm.prank(_timelock);
        _guidelines.setScoring(next);
        (uint32 epoch, bytes32 guidelineHash, IGuidelineRegistry.Scoring memory scoring) = _guidelines.current();
        assertEq(epoch, 3, "epoch");
        assertEq(guidelineHash, before.guidelineHash, "the file stays");
        _assertScoring(scoring, next);
        _assertScoring(_guidelines.epochOf(2).scoring, _founding);
        assertEq(_guidelines.epochOf(3).since, 1_800_000_000 + 1 days, "since");
        _assertDocument(3, 1, 2);
    }

    function test_setScoring_RevertWhen_nothingChanges() public {
        vm.expectRevert(abi.encodeWithSelector(IGuidelineRegistry.SameScoring.selector, _founding));
        vm.prank(_timelock);
        _guidelines.setScoring(_founding);
    }

    /// One number that differs is a change, whichever it is.
    function test_setScoring_everyNumberCounts() public {
        IGuidelineRegistry.Scoring[4] memory next = [
            IGuidelineRegistry.Scoring(301, 100, 1000, 20_000),
            IGuidelineRegistry.Scoring(301, 101, 1000, 20_000),
            IGuidelineRegistry.Scoring(301, 101, 1001, 20_000),
            IGuidelineRegistry.Scoring(301, 101, 1001, 20_001)
        ];
        for (uint256 i = 0; i < 4; ++i) {
            vm.prank(_timelock);
            _guidelines.setScoring(next[i]);
            _assertScoring(_guidelines.epochOf(i + 2).scoring, next[i]);
        }
    }

    function _outside(bytes32 name, uint256 value, uint256 least) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IGuidelineRegistry.ParameterOutOfBounds.selector, name, value, least, 524_287);
    }

    function test_I17_setScoring_RevertWhen_outOfBounds() public {
        _refuse(IGuidelineRegistry.Scoring(524_288, 100, 1000, 20_000), _outside("tau", 524_288, 0));
        _refuse(IGuidelineRegistry.Scoring(300, 0, 1000, 20_000), _outside("deltaMin", 0, 1));
        _refuse(IGuidelineRegistry.Scoring(300, 524_288, 1000, 600_000), _outside("deltaMin", 524_288, 1));
        _refuse(IGuidelineRegistry.Scoring(300, 100, 0, 20_000), _outside("harmMin", 0, 1));
        _refuse(IGuidelineRegistry.Scoring(300, 100, 524_288, 20_000), _outside("harmMin", 524_288, 1));
        _refuse(IGuidelineRegistry.Scoring(300, 100, 1000, 99), _outside("gainCap", 99, 100));
        _refuse(IGuidelineRegistry.Scoring(300, 100, 1000, 524_288), _outside("gainCap", 524_288, 100));
    }

    function _refuse(IGuidelineRegistry.Scoring memory scoring, bytes memory refusal) private {
        vm.expectRevert(refusal);
        vm.prank(_timelock);
        _guidelines.setScoring(scoring);
        vm.expectRevert(refusal);
        _create(scoring);
    }

    function test_I17_setScoring_takesTheBoundsThemselves() public {
        vm.startPrank(_timelock);
        _guidelines.setScoring(IGuidelineRegistry.Scoring(0, 1, 1, 1));
        _guidelines.setScoring(IGuidelineRegistry.Scoring(524_287, 524_287, 524_287, 524_287));
        vm.stopPrank();
        assertEq(_guidelines.epochOf(3).scoring.gainCap, 524_287, "most");
    }

    /// I17: accepted exactly where within the bounds.
    function testFuzz_I17_setScoring(uint24 tau, uint24 deltaMin, uint24 harmMin, uint24 gainCap, bool isSmall) public {
        if (isSmall) {
            (tau, deltaMin) = (tau % 524_290, deltaMin % 524_290);
            (harmMin, gainCap) = (harmMin % 524_290, gainCap % 524_290);
        }
        IGuidelineRegistry.Scoring memory next = IGuidelineRegistry.Scoring(tau, deltaMin, harmMin, gainCap);
        bool isWithin = tau <= 524_287 && deltaMin >= 1 && deltaMin <= 524_287 && harmMin >= 1 && harmMin <= 524_287
            && gainCap >= deltaMin && gainCap <= 524_287;
        if (!isWithin) vm.expectPartialRevert(IGuidelineRegistry.ParameterOutOfBounds.selector);
        vm.prank(_timelock);
        _guidelines.setScoring(next);
        (uint32 epoch,, IGuidelineRegistry.Scoring memory scoring) = _guidelines.current();
        assertEq(epoch, isWithin ? 2 : 1, "epoch");
        _assertScoring(scoring, isWithin ? next : _founding);
    }

    // --- views --------------------------------------------------------------------------------------------------------

    function test_views_RevertWhen_thereIsNone() public {
        vm.expectRevert(abi.encodeWithSelector(IGuidelineRegistry.NoSuchEpoch.selector, 0, 1));
        _guidelines.epochOf(0);
        vm.expectRevert(abi.encodeWithSelector(IGuidelineRegistry.NoSuchEpoch.selector, 2, 1));
        _guidelines.epochOf(2);
        vm.expectRevert(abi.encodeWithSelector(IGuidelineRegistry.NoSuchEpoch.selector, 2, 1));
        _guidelines.documentOf(2, IGuidelineRegistry.Kind.Data);
        IGuidelineRegistry.Kind kind = IGuidelineRegistry.Kind.Update;
        vm.expectRevert(abi.encodeWithSelector(IGuidelineRegistry.NoSuchRevision.selector, kind, 0, 1));
        _guidelines.revisionOf(kind, 0);
        vm.expectRevert(abi.encodeWithSelector(IGuidelineRegistry.NoSuchRevision.selector, kind, 2, 1));
        _guidelines.revisionOf(kind, 2);
    }
}
