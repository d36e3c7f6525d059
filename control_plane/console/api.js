/** Calls of the API under the session cookie. */

/** An answer that is not the one asked for: `status` is 0 when there was none; `errors` are `{loc, message}` by field. */
export class Problem extends Error {
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status;
    this.errors = errors;
  }
}

/** Fires when a call was refused because the session has ended. */
export const SIGNED_OUT = "leadfleet:signed-out";

const ANSWER_WITHIN_MS = 30_000; // a leads view that is not built by then was answered with 503 before

const SENTENCES = {
  0: "The control plane does not answer. Check the connection; this page keeps trying.",
  403: "Your API key does not permit this.",
};

/** A JSON call; resolves to the answer's body. Raises Problem, and AbortError when `signal` was aborted. */
export async function call(method, path, { body, headers = {}, signal, accept = [] } = {}) {
  const answer = await reach(path, {
    method,
    signal,
    headers: { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.ok || accept.includes(answer.status)) return bodyOf(answer);
  const problem = await problemOf(answer);
  if (problem.status === 401 && !headers.Authorization) window.dispatchEvent(new Event(SIGNED_OUT));
  throw problem;
}

export const get = (path, signal) => call("GET", path, { signal });
export const post = (path, body, options = {}) => call("POST", path, { body, ...options });

/** Turns an API key into the session cookie, by a one-time link that is made with it. The key itself is not kept. */
export async function signIn(key) {
  const link = await post("/api/auth/console-link", undefined, { headers: { Authorization: `Bearer ${key}` } });
  const opened = await reach(new URL(link.url).pathname, { redirect: "manual" });
  if (opened.type !== "opaqueredirect") throw await problemOf(opened);
}

/** A random key under which a start that is sent twice is one task. */
export function idempotencyKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Whether an error only says that its view has been left. */
export const isAbort = (error) => error?.name === "AbortError";

async function reach(path, options) {
  const limit = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
  try {
    return await fetch(path, { credentials: "same-origin", cache: "no-store", ...options, signal });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem(0, SENTENCES[0]);
  }
}

async function bodyOf(answer) {
  try {
    return await answer.json();
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem(0, "The answer could not be read: it was cut off, or something else than Leadfleet answered.");
  }
}

async function problemOf(answer) {
  let said = {};
  try {
    said = await answer.json();
  } catch {
    // a proxy in between answers in its own words
  }
  const detail = said.detail ?? SENTENCES[answer.status] ?? `The control plane answered ${answer.status}.`;
  return new Problem(answer.status, detail, said.errors ?? []);
}
