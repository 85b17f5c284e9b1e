"""Child processes for what is dangerous or foreign to asyncio: libp2p and Kubo; and the supervisor that keeps them up."""
