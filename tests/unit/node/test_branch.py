"""Following a chain that replaces its newest blocks: the state is always one branch's, whole, and old work is not taken for done."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from node.branch import KEPT, Branch
from node.ports import Head
from node.protocol.errors import ChainError
from node.protocol.state import State, apply
from node.protocol.types import Address, ChainEvent


def mint(name: str, number: int) -> ChainEvent:
    """A block's only event: what the state keeps of it tells blocks and their order apart."""
    a = {"from": Address("0x" + "0" * 40), "to": Address(f"0x{ord(name):040x}"), "value": 3**number}
    return ChainEvent("ContributionToken", "Transfer", a, number, number, name.encode(), 0)


class Forked:
    """A chain of named blocks, one event each, that can be cut and continued otherwise."""

    def __init__(self, blocks: str) -> None:
        self.blocks = blocks
        self.lag = 0
        self.pruned = 0
        self.reads: list[tuple[int, int]] = []
        self.on_events: list[str] = []

    async def head(self) -> Head:
        number = len(self.blocks) - 1 - self.lag
        return Head(number, number, self._hash(number))

    def _hash(self, number: int) -> bytes:
        return self.blocks[: number + 1].encode()  # commits to all before it

    async def block_hash(self, number: int) -> bytes | None:
        return self._hash(number) if self.pruned <= number <= len(self.blocks) - 1 - self.lag else None

    async def events(self, first: int, last: int) -> Sequence[ChainEvent]:
        self.reads.append((first, last))
        if self.on_events:
            self.blocks = self.on_events.pop()
        return [mint(self.blocks[number], number) for number in range(first, min(last, len(self.blocks) - 1) + 1)]


def branch_of(chain: Forked, undone: list[int] | None = None) -> Branch:
    told = undone if undone is not None else []
    return Branch(chain, 0, State(), lambda: told.append(1))  # type: ignore[arg-type]  # what it needs of the port


def expected(blocks: str) -> State:
    state = State()
    for number, name in enumerate(blocks):
        state = apply(state, mint(name, number))
    return state


async def test_new_blocks_are_read_once() -> None:
    chain = Forked("abc")
    branch = branch_of(chain)
    await branch.advance()
    await branch.advance()
    chain.blocks += "de"
    await branch.advance()
    assert branch.state == expected("abcde")
    assert chain.reads == [(0, 2), (3, 4)]


async def test_replaced_blocks_are_undone() -> None:
    chain, undone = Forked("ab"), list[int]()
    branch = branch_of(chain, undone)
    for blocks in ("ab", "abc", "abcd"):
        chain.blocks = blocks
        await branch.advance()
    chain.blocks = "abXYZ"
    await branch.advance()
    assert branch.state == expected("abXYZ")
    assert chain.reads[-1] == (2, 4)
    assert undone == [1]


async def test_a_shorter_branch_is_noticed() -> None:
    chain, undone = Forked("a"), list[int]()
    branch = branch_of(chain, undone)
    for blocks in ("a", "ab", "abcd"):
        chain.blocks = blocks
        await branch.advance()
    chain.blocks = "aX"
    await branch.advance()
    assert branch.state == expected("aX")
    assert undone == [1]


async def test_an_endpoint_that_lags_changes_nothing() -> None:
    chain, undone = Forked("a"), list[int]()
    branch = branch_of(chain, undone)
    for blocks in ("a", "ab", "abcd"):
        chain.blocks = blocks
        await branch.advance()
    chain.lag = 3
    await branch.advance()
    assert branch.state == expected("abcd")
    chain.lag, chain.blocks = 0, "abcde"
    await branch.advance()
    assert branch.state == expected("abcde")
    assert undone == []
    assert chain.reads[-1] == (4, 4)


async def test_an_endpoint_that_serves_no_old_blocks_is_believed() -> None:
    chain, undone = Forked("ab"), list[int]()
    branch = branch_of(chain, undone)
    await branch.advance()
    chain.blocks, chain.pruned = "abcd", 3
    await branch.advance()
    assert branch.state == expected("abcd")
    assert undone == []


async def test_everything_is_read_again_where_nothing_kept_is_left() -> None:
    chain = Forked("ab")
    branch = branch_of(chain)
    await branch.advance()
    chain.blocks = "XYZ"
    await branch.advance()
    assert branch.state == expected("XYZ")
    assert chain.reads[-1] == (0, 2)


async def test_a_change_while_events_are_read_is_an_error_and_mended_by_the_next_turn() -> None:
    chain = Forked("ab")
    branch = branch_of(chain)
    await branch.advance()
    chain.blocks = "abcd"
    chain.on_events = ["abXY"]
    with pytest.raises(ChainError, match="replaced while"):
        await branch.advance()
    assert branch.state == expected("ab")
    await branch.advance()
    assert branch.state == expected("abXY")


async def test_only_so_many_states_are_kept() -> None:
    chain = Forked("a")
    branch = branch_of(chain)
    for _ in range(KEPT + 20):
        chain.blocks += "b"
        await branch.advance()
    assert len(branch._points) == KEPT
    chain.blocks = "aX" + "y" * len(chain.blocks)
    await branch.advance()
    assert branch.state == expected(chain.blocks)
    assert chain.reads[-1] == (0, len(chain.blocks) - 1)


@pytest.mark.parametrize("seed", range(20))
async def test_any_history_of_forks_ends_in_the_state_of_its_last_branch(seed: int) -> None:
    random_ = random.Random(seed)
    chain = Forked("a")
    branch = branch_of(chain)
    for _ in range(60):
        if random_.random() < 0.3:
            chain.blocks = chain.blocks[: random_.randint(1, len(chain.blocks))]
        chain.blocks += "".join(random_.choice("klmnop") for _ in range(random_.randint(0, 4)))
        chain.lag = random_.choice((0, 0, min(2, len(chain.blocks) - 1)))
        await branch.advance()
    chain.lag = 0
    chain.blocks += "z" * 300  # a chain that stays shorter than what was seen could be an endpoint that lags
    await branch.advance()
    assert branch.state == expected(chain.blocks)
