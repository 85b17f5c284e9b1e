"""The gate before publishing, and the ledger of what noise spent: how a node sees to it that its own update gives nothing away.

A node sets a part of its rows aside and never trains on it (`Rows.held_out`). After training, and before anything is committed, it tries on
its own update what a member of the round could try (`learning.privacy.encoder_audit`): are the rows that it trained on told apart from
those it did not? An update that fails is not published. Not committing costs the round's reward and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from node.protocol.errors import LeakFound, SetupError
from node.store import write_atomic

if TYPE_CHECKING:  # imports torch
    from learning.models.encoder import Checkpoint, Encoder
    from learning.privacy.accountant import Spending
    from learning.tasks.code_search import Pair

log = logging.getLogger("commonweight.privacy")

AUDIT_ROWS = 128
"""Members and held-out rows that the gate looks at, each: enough to see an AUC of 0.8 beyond 0.7, and cheaper than training."""
SHARE = 6
"""One row in so many is held out, up to `AUDIT_ROWS`."""
LEDGER = "privacy.json"


@dataclass(frozen=True, slots=True)
class PrivacySettings:
    """What an operator decides about the gate.

    Attributes:
        audit: whether there is one.
        max_auc: limit of membership inference's AUC (`learning.privacy.audit.Limits`).
        max_tpr: limit of its true-positive rate at 1 % false positives.
        ledger: file that records what noise spent; None keeps none.
    """

    audit: bool = False
    max_auc: float = 0.75
    max_tpr: float = 0.4
    ledger: Path | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """A node's rows: those it trains on, those it never does, and where secrets were found (such rows are in neither)."""

    training: list[Pair]
    held_out: list[Pair]
    secrets: dict[int, str]


def split(pairs: Sequence[Pair]) -> Rows:
    """Set rows with secrets aside, and then the last sixth in the hidden order of `learning.local_training.round_window`, 128 at most.

    The order follows the rows' own hashes, so a row stays on its side over restarts, and members and held-out rows are alike in kind.
    With too few rows to judge anything by, nothing is held out.
    """
    from learning.privacy.audit import MIN_ROWS  # noqa: PLC0415 - the learning room is the worker thread's
    from learning.privacy.secrets import secret_rows  # noqa: PLC0415

    secrets = secret_rows(pairs)
    for where in secrets.values():
        log.warning("not trained on, as it seems to hold a secret: %s", where)
    clean = [pair for position, pair in enumerate(pairs) if position not in secrets]
    ordered = sorted(clean, key=lambda p: hashlib.sha256(f"{p.query}\0{p.code}".encode()).digest())
    count = min(AUDIT_ROWS, len(ordered) // SHARE)
    if count < MIN_ROWS:
        return Rows(ordered, [], secrets)
    return Rows(ordered[:-count], ordered[-count:], secrets)


def require_publishable(
    model: Encoder,
    checkpoint: Checkpoint,
    window: Sequence[Pair],
    held_out: Sequence[Pair],
    update: Mapping[str, NDArray[np.float32]],
    *,
    settings: PrivacySettings,
) -> dict[str, float]:
    """Audit our own update; figures worth showing.

    Args:
        model: this process's encoder.
        checkpoint: parent of the update.
        window: rows it was trained on.
        held_out: rows it was not.
        update: what training gave.
        settings: the operator's limits.

    Raises:
        LeakFound: it must not be published; says which figure, and what to do.
    """
    from learning.privacy.audit import MIN_ROWS, Limits  # noqa: PLC0415
    from learning.privacy.encoder_audit import EncoderAudit  # noqa: PLC0415

    members = list(window)[:AUDIT_ROWS]
    if min(len(members), len(held_out)) < MIN_ROWS:
        log.warning("the update was not audited: %d rows and %d held out are too few", len(members), len(held_out))
        return {"audited": 0.0}
    began = process_time()
    limits = Limits(max_auc=settings.max_auc, max_tpr=settings.max_tpr)
    findings = EncoderAudit(model, checkpoint, members, held_out, limits).membership(update)
    failed = [str(one) for one in findings if one.verdict == "fail"]
    if failed:
        raise LeakFound(
            f"Our own update gives away what it was trained on, so it is not published: {'; '.join(failed)}.",
            why="It learned its rows by heart: too many passes over too few rows, or steps that are too large.",
            hint="Add repositories, or propose fewer epochs, a smaller learning_rate or noise; privacy.max_auc is the limit. This "
            "round costs its reward and nothing else; the next one is tried again.",
        )
    worst = max(one.estimate.value for one in findings if one.estimate is not None and one.measure == "AUC")
    return {"audited": 1.0, "audit_auc": worst, "audit_cpu_seconds": process_time() - began}


def record(path: Path | None, spending: Spending, delta: float) -> dict[str, float]:
    """Write one noisy training into the ledger, before its outcome is used; ε of this round and of all.

    Raises:
        SetupError: the ledger is damaged, or cannot be written.
    """
    from learning.privacy.accountant import Ledger, epsilon  # noqa: PLC0415

    ledger = (Ledger() if path is None else read(path)).with_entry(spending)
    totals = ledger.epsilons(delta)
    if path is not None:
        value = ledger.to_json() | {"delta": delta, "epsilon": totals}
        write_atomic(path, json.dumps(value, indent=1).encode())
    return {"epsilon": epsilon([spending], delta), "epsilon_total": totals[spending.unit], "delta": delta}


def read(path: Path) -> Any:
    """The ledger of a file; an empty one where there is none.

    Raises:
        SetupError: it is damaged: what was spent must not be forgotten.
    """
    from learning.errors import SpecError  # noqa: PLC0415
    from learning.privacy.accountant import Ledger  # noqa: PLC0415

    try:
        return Ledger.from_json(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Ledger()
    except (SpecError, ValueError, AttributeError) as error:
        raise SetupError(
            f"The privacy ledger {path} cannot be read.", why=str(error)[:200], hint="Restore it from a backup."
        ) from error


def totals(path: Path) -> Mapping[str, Any] | None:
    """What a status says of the ledger, as last computed: ε of all rounds by unit, δ, number of noisy trainings; None without any."""
    try:
        value = json.loads(path.read_bytes())
        return {"epsilon": value["epsilon"], "delta": value["delta"], "trainings": len(value["spendings"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return {"error": f"{path} cannot be read"}
