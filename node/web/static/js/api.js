// Requests to the server that served this page. Every failure becomes an ApiError with the three sentences of all messages: what, why, hint.

const TOKEN = "commonweight.token";

export class ApiError extends Error {
  constructor(what, why, hint, status = 0) {
    super(what);
    this.what = what;
    this.why = why;
    this.hint = hint;
    this.status = status;
  }
}

/** Takes the token of the start URL (#token=…) into this tab's storage and out of the address bar. */
export function takeToken() {
  const found = /^#token=([\w-]+)$/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem(TOKEN, found[1]);
  history.replaceState(null, "", location.pathname);
}

async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { Accept: "application/json", ...options.headers }, cache: "no-cache" });
  } catch {
    throw new ApiError(
      "The dashboard's server does not answer.",
      "It was stopped, or the network between you and it is down.",
      "Start it again with `commonweight dashboard`; this page goes on by itself.",
    );
  }
  let body;
  try {
    body = await answer.json();
  } catch {
    body = {};
  }
  if (!answer.ok) {
    throw new ApiError(
      body.what ?? `The server answered ${answer.status}.`,
      body.why ?? "It gave no reason.",
      body.hint ?? "Look at the server's log.",
      answer.status,
    );
  }
  return body;
}

export const snapshot = (sections = null) => request(sections ? `/api/snapshot?sections=${sections.join(",")}` : "/api/snapshot");
export const round = (number) => request(`/api/round/${number}`);
export const explain = (what, id) => request(`/api/explain/${what}/${id}`);

/** Builds (wallet) or sends (local keystore) the transactions of an action. */
export function action(name, body) {
  const headers = { "Content-Type": "application/json" };
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers["X-Commonweight-Token"] = token;
  return request(`/api/actions/${name}`, { method: "POST", headers, body: JSON.stringify(body) });
}
