"""`python -m node.cli`: the same as `commonweight`."""

from node.cli import main

main()
