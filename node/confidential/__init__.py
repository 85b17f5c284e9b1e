"""Who may read an update, and when: sealed bundles, and sums of which nobody sees a term. Pure: bytes in, bytes out."""
