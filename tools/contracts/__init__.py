"""What judges the contracts: mutation testing and the report. `docs/contracts/README.md` says how they are used."""
