"""`python -m deploy`: put the contracts on a chain."""

from deploy.command import app

app()
