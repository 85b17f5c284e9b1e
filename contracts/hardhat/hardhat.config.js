// Hardhat's node alone: no compiler, no tasks. What can be chosen at start comes by environment from deploy/hardhat.py.
"use strict";

module.exports = {
  networks: {
    hardhat: {
      chainId: Number(process.env.COMMONWEIGHT_CHAIN_ID || "31337"),
      hardfork: "cancun", // as Anvil runs, and the oldest that OpenZeppelin 5.7 compiles for
      accounts: { mnemonic: process.env.COMMONWEIGHT_MNEMONIC, count: Number(process.env.COMMONWEIGHT_ACCOUNTS || "10") },
      mining: { auto: true, interval: 1000 * Number(process.env.COMMONWEIGHT_BLOCK_TIME || "1") }, // at once, and an empty block each second, so that time passes on chain too
    },
  },
};
