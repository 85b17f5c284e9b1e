"""Roles: pure deciders. Each looks at a `View` and answers with the `Action`s that are due now; the driver carries them out.

Deciding twice gives the same answer, and an action already under way or done is recognised by its key, so a restart, a lost
event or a repeated poll can neither skip a duty nor do it twice.
"""
