"""The dashboard: what happened and what is due as JSON (pure `views`), a small server, and acts that a wallet or a local key signs."""
