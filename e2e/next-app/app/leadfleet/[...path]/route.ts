/** Passes the pages' calls on to the API, with the key that the pages do not have. */

import { sessionKey } from "../../../server/session";
import { apiUrl } from "../../../server/settings";

/** What pages may ask. Keys, tenants and the fleet are not among it: a page that was tricked cannot reach them. */
const OPEN = /^api\/(scraper|tasks|filters|export|auth\/stream-token)(\/|$)/;
const UPWARD = /(^|\/)\.\.?(\/|$)/;

const ASKED = ["accept", "content-type", "idempotency-key"];
const ANSWERED = ["content-type", "retry-after", "x-request-id"];
const ANSWER_MS = 30_000;

async function pass(request: Request, { params }: RouteContext<"/leadfleet/[...path]">): Promise<Response> {
  const path = (await params).path.map(encodeURIComponent).join("/");
  if (!OPEN.test(path) || UPWARD.test(path))
    return problem(404, "Not found", `/${path} is not open to pages`);
  const key = await sessionKey();
  if (!key) return problem(401, "Unauthorized", "sign in first");
  if (request.method !== "GET" && !fromOurPage(request))
    return problem(403, "Forbidden", "this call did not come from a page of ours");
  const init: RequestInit = {
    method: request.method,
    headers: { ...chosen(request.headers, ASKED), authorization: `Bearer ${key}` },
    redirect: "manual",
    signal: AbortSignal.any([request.signal, AbortSignal.timeout(ANSWER_MS)]),
  };
  if (request.method === "POST") init.body = await request.text();
  try {
    const answer = await fetch(`${apiUrl()}/${path}${new URL(request.url).search}`, init);
    const headers = { ...chosen(answer.headers, ANSWERED), "cache-control": "no-store" };
    return new Response(answer.body, { status: answer.status, headers });
  } catch {
    return problem(503, "Service unavailable", "the API does not answer; try again", { "retry-after": "1" });
  }
}

export { pass as DELETE, pass as GET, pass as POST };

function fromOurPage({ headers }: Request): boolean {
  const origin = headers.get("origin");
  const host = headers.get("x-forwarded-host") ?? headers.get("host");
  return origin !== null && URL.canParse(origin) && new URL(origin).host === host;
}

function chosen(headers: Headers, names: string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => [[name, headers.get(name) ?? ""]]).filter(([, value]) => value),
  );
}

/** As the API itself would say it (RFC 9457), so that the client understands it. */
function problem(
  status: number,
  title: string,
  detail: string,
  headers: Record<string, string> = {},
): Response {
  const body = JSON.stringify({ type: "about:blank", title, status, detail });
  return new Response(body, { status, headers: { ...headers, "content-type": "application/problem+json" } });
}
