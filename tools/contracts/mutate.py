"""`make mutation`: does any test notice when a line of a contract is wrong?

    python -m tools.contracts.mutate RewardDistributor [RoundManager …] [--sample 60 --seed 0] [--jobs 2] [--list]

On copies in a temporary folder it first shows that the tests pass on the unchanged source, fail on a source whose functions revert at
once (the canary, in every file), and pass again; only then do mutants count. Each meets the tests that belong to its contract, if it
lives those that `bench.py` calls blinded once more, and if it still lives all others (these two are compiled, and must pass on the
unchanged source, when the first mutant comes to them). Mutants are tried in the order in which a sample would be drawn: a smaller
sample is the beginning of a larger one, and what a stopped run has tried is a sample.
Results go to build/contracts/mutation.json after every mutant; a second run takes up where the first ended.
Exit codes: 0 done, 2 wrong arguments or excuses, 7 the bench is unsound or something is not installed.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import FrameType

from rich.console import Console

from node.protocol.errors import CommonweightError, SetupError
from tools.contracts.bench import Bench, Verdict, is_blinded, stop_all
from tools.contracts.campaign import (
    RESULTS,
    Outcome,
    Record,
    Result,
    Target,
    all_mutants,
    excused,
    fingerprint,
    load_excuses,
    load_target,
    read_records,
    save_record,
)
from tools.contracts.mutants import Mutant, canary
from tools.contracts.solidity import CONTRACTS, syntax_tree

TIMEOUT = 180.0
"""Seconds for one stage; the slowest honest one, all invariants after a whole compilation, takes under 60."""


@dataclass(frozen=True, slots=True)
class Benches:
    """The stages in order, one copy each: the contract's own tests, those blinded among all once more, all others."""

    stages: tuple[Bench, ...]

    @classmethod
    def make(cls, folder: Path, target: Target, timeout: float, contracts: Path = CONTRACTS) -> Benches:
        """Copies below ``folder``; raises as `Bench`."""
        stages = [Bench(folder / "first", target.first, timeout, contracts)]
        tests = (*target.first, *target.rest)
        blinded = [test for test in tests if is_blinded((contracts / test).read_text("utf-8"))]
        if blinded:
            stages.append(Bench(folder / "linked", blinded, timeout, contracts, linked=True))
        if target.rest:
            stages.append(Bench(folder / "rest", target.rest, timeout, contracts))
        return cls(tuple(stages))

    def judge(self, file: str, text: bytes) -> Verdict:
        """What the tests say to ``file`` with that text: the stages in order, until one does not pass.

        Raises:
            SetupError: a stage does not pass on the unchanged source.
        """
        seconds = 0.0
        verdict = Verdict("survived", "", 0.0)
        for stage in self.stages:
            if not stage.has_passed:
                self._must_pass(stage, "before any change")
            verdict = stage.try_with(file, text)
            seconds += verdict.seconds
            if verdict.outcome != "survived":
                break
        return Verdict(verdict.outcome, verdict.by, seconds)

    def prove(self, files: Iterable[str], contracts: Path = CONTRACTS) -> None:
        """Passes unchanged, catches a canary in every file, passes again.

        Raises:
            SetupError: one of these is not so, and no result could be believed.
        """
        self._must_pass(self.stages[0], "before any change")
        files = list(files)
        with_functions = 0
        for file in files:
            try:
                text = canary((contracts / file).read_bytes(), syntax_tree(contracts, file))
            except ValueError:
                continue  # only types and constants
            with_functions += 1
            caught = self.judge(file, text)
            if caught.outcome != "killed":
                raise SetupError(
                    f"No test noticed that every function of {file} reverts ({caught.outcome}: {caught.by}).",
                    why="The tests do not use this file, or the copy is not what they run.",
                    hint="Look at contracts/tools/mutation.toml.",
                )
        if not with_functions:
            raise SetupError(f"No function to put a canary in: {', '.join(files)}.", hint="Name a contract with code.")
        for stage in self.stages:
            if stage.has_passed:
                self._must_pass(stage, "after the canary was taken out")

    def moved(self, old: Path, new: Path) -> Benches:
        """The same benches after their folder was copied."""
        return Benches(tuple(stage.at(new / stage.path.relative_to(old)) for stage in self.stages))

    @staticmethod
    def _must_pass(stage: Bench, when: str) -> None:
        verdict = stage.run()
        if verdict.outcome != "survived":
            raise SetupError(
                f"The tests do not pass on the unchanged source, {when} ({verdict.outcome}: {verdict.by}).",
                why="Perhaps a test depends on the optimizer, on gas, or on many fuzz runs.",
                hint="Run `FOUNDRY_OPTIMIZER=false FOUNDRY_FUZZ_RUNS=32 .bin/forge test` in contracts/.",
            )
        stage.has_passed = True


def choose(found: Sequence[Mutant], equivalent: set[str], sample: int | None, seed: int) -> list[Mutant]:
    """All but the equivalent, or ``sample`` of them; in the order drawn with ``seed``, of which a sample is the beginning.

    The order is that of all mutants: one excused later leaves it, and moves no other.
    """
    drawn = list(found)
    random.Random(seed).shuffle(drawn)  # noqa: S311  # a sample, not a secret
    return [mutant for mutant in drawn if mutant.id not in equivalent][:sample]


def reusable(old: Record | None, source: str, tests: str) -> dict[str, Result]:
    """Earlier results that still hold: same sources; and, unless it was killed or refused by the compiler, same tests.

    Tests only ever join, so what they killed they still kill; where one was weakened, run with ``--fresh``.
    """
    if old is None:
        return {}
    lasting: tuple[Outcome, ...] = ("killed", "invalid")
    return {
        key: one
        for key, one in old.results.items()
        if one.source == source and (one.tests == tests or one.outcome in lasting)
    }


class Campaign:
    """The mutants of one target, tried and recorded.

    Args:
        target: what is mutated.
        options: of the command line.
        console: where progress goes.
        contracts: folder of the contracts.
    """

    def __init__(
        self, target: Target, options: argparse.Namespace, console: Console, contracts: Path = CONTRACTS
    ) -> None:
        self._target = target
        self._options = options
        self._console = console
        self._contracts = contracts
        self._source = fingerprint(contracts, ["src/**/*.sol"])
        self._tests = fingerprint(contracts, ["test/**/*.sol"])
        self._texts = {file: (contracts / file).read_bytes() for file in target.files}

    def run(self) -> Record:
        """Try what has no result yet.

        Raises:
            SetupError: the bench is unsound, or something is not installed.
            ConfigError: the excuses do not fit, or the results file is broken.
        """
        target, options = self._target, self._options
        found = all_mutants(target, self._contracts)
        equivalent = excused(found, load_excuses(self._contracts), target, self._contracts)
        chosen = choose(found, equivalent, options.sample, options.seed)
        kept = {} if options.fresh else reusable(read_records(options.out).get(target.name), self._source, self._tests)
        record = Record(target.name, list(target.files), seed=options.seed, source=self._source)
        record.generated, record.chosen, record.equivalent = len(found), len(chosen), len(equivalent)
        record.results = {one.id: kept[one.id] for one in chosen if one.id in kept}
        waiting = [one for one in chosen if one.id not in kept]
        self._console.print(
            f"{target.name}: {len(found)} mutants, {len(equivalent)} equivalent, {len(chosen)} chosen, {len(waiting)} to try"
        )
        if waiting:
            with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
                self._try_all(waiting, record, self._benches(Path(folder)))
        save_record(record, options.out)
        return record

    def _benches(self, folder: Path) -> SimpleQueue[Benches]:
        """One proven bench for each job."""
        target = self._target
        self._console.print(f"  proving the bench: {len(target.first)} test files first, then {len(target.rest)} …")
        first = Benches.make(folder / "0", target, self._options.timeout, self._contracts)
        first.prove(target.files, self._contracts)
        free: SimpleQueue[Benches] = SimpleQueue()
        free.put(first)
        for number in range(1, self._options.jobs):  # copies of what is compiled: each then compiles its mutants only
            shutil.copytree(folder / "0", folder / str(number), symlinks=True)
            free.put(first.moved(folder / "0", folder / str(number)))
        return free

    def _try_all(self, waiting: Sequence[Mutant], record: Record, free: SimpleQueue[Benches]) -> None:
        def attempt(mutant: Mutant) -> Result:
            benches = free.get()
            try:
                verdict = benches.judge(mutant.file, mutant.apply(self._texts[mutant.file]))
            finally:
                free.put(benches)
            return Result(mutant, verdict.outcome, verdict.by, round(verdict.seconds, 2), self._source, self._tests)

        with ThreadPoolExecutor(self._options.jobs) as pool:
            pending = {pool.submit(attempt, mutant) for mutant in waiting}
            try:
                while pending:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        result = future.result()
                        record.results[result.mutant.id] = result
                        _tell(result, self._console)
                    save_record(record, self._options.out)
            finally:
                for future in pending:
                    future.cancel()


def _tell(result: Result, console: Console) -> None:
    mutant = result.mutant
    style = {"survived": "bold red", "timeout": "yellow"}.get(result.outcome, "dim")
    change = f"{_short(mutant.original)} → {_short(mutant.mutated)}"
    console.print(
        f"  {result.outcome:<8} {mutant.file}:{mutant.line} {mutant.operator:<10} {change}  ({result.seconds:.1f} s, {result.by})",
        style=style,
        markup=False,
        highlight=False,
    )


def _short(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= 60 else one_line[:57] + "…"


def summary(record: Record) -> str:
    """One line of a campaign's result."""
    score = "no mutant compiled" if record.score is None else f"score {record.score:.1f} %"
    counts = ", ".join(f"{record.count(one)} {one}" for one in ("killed", "timeout", "survived", "invalid"))
    return f"{record.target}: {score} of {len(record.results)} ({counts}); {record.equivalent} equivalent left out"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.contracts.mutate", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("contracts", nargs="+", metavar="CONTRACT")
    parser.add_argument("--sample", type=int, default=None, help="only so many, drawn at random; default all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at once; each takes a processor")
    parser.add_argument("--fresh", action="store_true", help="believe no earlier result")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds for one stage of tests")
    parser.add_argument("--out", type=Path, default=RESULTS, help="results file")
    options = parser.parse_args(arguments)
    if options.jobs < 1 or (options.sample is not None and options.sample < 1):
        parser.error("--jobs and --sample count from 1")
    return options


def _stop(number: int, _frame: FrameType | None) -> None:
    """Ends as the shell expects, with forge ended and the copies removed."""
    stop_all()
    sys.exit(128 + number)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    options = parse(arguments)
    signal.signal(signal.SIGTERM, _stop)
    console = Console(width=160) if not sys.stdout.isatty() else Console()
    try:
        for name in options.contracts:
            target = load_target(name)
            if options.list:
                for one in all_mutants(target):
                    console.print(
                        f"{one.id} {one.file}:{one.line} {one.operator} {_short(one.original)} → {_short(one.mutated)}",
                        markup=False,
                    )
            else:
                console.print(summary(Campaign(target, options, console).run()))
    except CommonweightError as error:
        Console(stderr=True).print(f"error: {error}", markup=False)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
