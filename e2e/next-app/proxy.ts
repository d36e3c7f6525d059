import { type NextRequest, NextResponse } from "next/server";
import { streamUrl } from "./server/settings";

/** The policy of every page: what is scraped can be no script, and nothing is fetched but from us and the API. */
export function proxy(request: NextRequest): NextResponse {
  const nonce = Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64");
  const api = new URL(streamUrl()).origin;
  const policy = [
    "default-src 'self'",
    `script-src 'nonce-${nonce}' 'strict-dynamic'${process.env.NODE_ENV === "development" ? " 'unsafe-eval'" : ""}`,
    "style-src 'self' 'unsafe-inline'", // the heights of a table that shows a part of its rows
    `connect-src 'self' ${api} ${api.replace(/^http/, "ws")}`,
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "object-src 'none'",
  ].join("; ");
  const headers = new Headers(request.headers);
  headers.set("Content-Security-Policy", policy); // where Next finds the nonce for its own scripts
  const answer = NextResponse.next({ request: { headers } });
  answer.headers.set("Content-Security-Policy", policy);
  return answer;
}

export const config = { matcher: "/((?!leadfleet/|_next/|icon).*)" };
