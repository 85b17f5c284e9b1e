"""One port a file: chain (web3), gossip (libp2p), blobs (Kubo), trainer (torch), signer (keystore), clock. They never import each other."""
