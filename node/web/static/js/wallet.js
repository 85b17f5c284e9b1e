// Signing: an EIP-1193 wallet in the browser (found by EIP-6963 or as window.ethereum), or the server's own keystore on a test network.
import * as api from "./api.js";
import { change, get } from "./state.js";

const { ApiError } = api;
const PATIENCE = 120_000; // ms until a transaction that is not mined is reported as such
const STEP = 1_000;

/** Collects the wallets that announce themselves. */
export function discover() {
  const add = (provider, name) => {
    const { wallet } = get();
    if (wallet.providers.some((entry) => entry.provider === provider)) return;
    change({ wallet: { ...wallet, providers: [...wallet.providers, { provider, name }] } });
  };
  addEventListener("eip6963:announceProvider", (event) => add(event.detail.provider, event.detail.info?.name ?? "Wallet"));
  dispatchEvent(new Event("eip6963:requestProvider"));
  if (window.ethereum) add(window.ethereum, "Browser wallet");
  addEventListener("ethereum#initialized", () => add(window.ethereum, "Browser wallet"), { once: true });
}

/** Who would sign now: {kind: "server" | "wallet" | "none", account}. */
export function signer(state = get()) {
  const { viewer } = state.snapshot;
  if (viewer.mode === "sign") return { kind: "server", account: viewer.account };
  if (state.wallet.providers.length > 0) return { kind: "wallet", account: state.wallet.account };
  return { kind: "none", account: null };
}

/** Asks the wallet for an account on this community's chain. */
export async function connect(index = 0) {
  const { wallet, snapshot } = get();
  const entry = wallet.providers[index];
  if (!entry) {
    throw new ApiError(
      "No wallet was found in this browser.",
      "Neither EIP-6963 nor window.ethereum announced one.",
      "Install an EIP-1193 wallet and reload, or vote with `commonweight dao vote`.",
    );
  }
  try {
    const [account] = await entry.provider.request({ method: "eth_requestAccounts" });
    await useChain(entry.provider, snapshot.network.chain_id);
    change({ wallet: { ...get().wallet, chosen: entry, account } });
    if (!entry.watched) watch(entry);
    return account;
  } catch (error) {
    throw advice(error);
  }
}

function watch(entry) {
  entry.watched = true;
  entry.provider.on?.("accountsChanged", ([account = null]) => change({ wallet: { ...get().wallet, account } }));
}

async function useChain(provider, wanted) {
  const hex = `0x${wanted.toString(16)}`;
  if (Number(await provider.request({ method: "eth_chainId" })) === wanted) return;
  try {
    await provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId: hex }] });
  } catch (error) {
    if (error?.code === 4001) throw error;
  }
  const found = Number(await provider.request({ method: "eth_chainId" }));
  if (found !== wanted) {
    throw new ApiError(
      `The wallet is on chain ${found}.`,
      `This community lives on chain ${wanted}; a transaction on another chain would be lost.`,
      `Add or choose the network with chain id ${wanted} in the wallet, then try again.`,
    );
  }
}

/**
 * Carries an action out: the server builds the transactions (and signs them where it holds the keystore), the wallet sends them one after
 * the other. `tell(text)` hears of each step. Returns [{label, hash, block}].
 */
export async function perform(name, body, tell) {
  if (signer().kind === "server") {
    tell("The node's keystore signs and sends …");
    const answer = await api.action(name, body);
    return answer.transactions;
  }
  let { account, chosen } = get().wallet;
  if (!account) {
    tell("Asking the wallet for an account …");
    account = await connect();
    chosen = get().wallet.chosen;
  }
  tell("Asking the contract whether it would accept …");
  const { transactions } = await api.action(name, { ...body, ...sender(account) });
  const done = [];
  try {
    for (const [i, transaction] of transactions.entries()) {
      const part = transactions.length > 1 ? ` (${i + 1} of ${transactions.length})` : "";
      await useChain(chosen.provider, Number(transaction.chainId));
      tell(`Confirm “${transaction.label}” in your wallet${part} …`);
      const { to, data, value } = transaction;
      const hash = await chosen.provider.request({ method: "eth_sendTransaction", params: [{ from: account, to, data, value }] });
      tell(`Sent${part}; waiting for a block …`);
      done.push({ label: transaction.label, hash, block: await mined(chosen.provider, hash) });
    }
  } catch (error) {
    throw advice(error);
  }
  return done;
}

const sender = (account) => ({ from: account.toLowerCase() });

async function mined(provider, hash) {
  const end = Date.now() + PATIENCE;
  while (Date.now() < end) {
    const receipt = await provider.request({ method: "eth_getTransactionReceipt", params: [hash] });
    if (receipt) {
      if (Number(receipt.status) === 1) return Number(receipt.blockNumber);
      throw new ApiError(
        "The transaction was mined, but reverted.",
        `The contract refused it in block ${Number(receipt.blockNumber)}: ${hash}.`,
        "Something changed between your confirmation and the block. Look at the page's present state and try again.",
      );
    }
    await new Promise((resolve) => setTimeout(resolve, STEP));
  }
  throw new ApiError(
    "The transaction is not mined yet.",
    `After two minutes the wallet knows no receipt of ${hash}.`,
    "It may still be: look it up in your wallet before you send it again.",
  );
}

function advice(error) {
  if (error instanceof ApiError) return error;
  const said = error?.message ?? String(error);
  switch (error?.code) {
    case 4001:
      return new ApiError("You declined in your wallet.", "Nothing was sent.", "Try again whenever you like.");
    case 4100:
      return new ApiError(
        "The wallet does not let this page use that account.",
        said,
        "Unlock the wallet and allow this site, then try again.",
      );
    case -32002:
      return new ApiError("Your wallet is already asking you something.", said, "Open the wallet and answer, then try again.");
    case -32000:
    case -32003:
      return new ApiError(
        "The wallet could not send the transaction.",
        said,
        "Mostly the account lacks ether for gas, or the chain cannot be reached.",
      );
    default:
      return new ApiError("The wallet reported an error.", said, "Open the wallet for more, then try again.");
  }
}
