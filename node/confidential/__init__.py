"""Who may read an update, and when: encrypted bundles, and sums of which nobody sees a term. Pure: bytes in, bytes out."""
