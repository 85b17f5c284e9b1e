"""What members of the DAO do: proposals as values, voting power explained, releases from candidate to folder.

Pure but for the modules that take a `desk.Desk`, which holds the chain.
"""
