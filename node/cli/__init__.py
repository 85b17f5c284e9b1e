"""`commonweight`: the command line of operators, members and auditors. One module per group of commands.

Every command has ``--json`` and ``--help``; errors end with the exit codes of `node.protocol.errors`, tracebacks appear with
``--verbose`` only. What takes long to import (web3, torch) is imported by the commands that need it.
"""

from __future__ import annotations

import sys

from node import console
from node.cli import (  # noqa: F401 - registers the commands
    audit,
    dao,
    dashboard,
    dispute,
    experiment,
    explain,
    guideline,
    join,
    keys,
    node,
    ownership,
    privacy,
    release,
    rounds,
)
from node.cli.base import app, is_verbose
from node.protocol.errors import CommonweightError, TransactionReverted


def main() -> None:
    """Entry point: run a command and turn our errors into messages and exit codes."""
    try:
        app()
    except CommonweightError as error:
        if isinstance(error, TransactionReverted):
            from node.advice import explained

            error = explained(error)
        console.fail(error, verbose=is_verbose(), as_json="--json" in sys.argv)
