"""Shared by the simulation's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from node.protocol.errors import TransactionReverted
from node.sim.scripted import Community

Refused = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def community() -> Community:
    return Community(5)


@pytest.fixture
def refused() -> Refused:
    """``with refused("WrongPhase", 2, 1):`` the contract refuses with this error, and these arguments where given."""

    @contextmanager
    def expect(error: str, *arguments: object) -> Iterator[None]:
        with pytest.raises(TransactionReverted) as caught:
            yield
        assert caught.value.error == error
        assert arguments in {(), caught.value.arguments}

    return expect
