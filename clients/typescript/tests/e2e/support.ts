import { type ClientOptions, LeadfleetClient, type StreamEvent } from "@leadfleet/client";
import { inject } from "vitest";
import { WebSocket } from "ws";

export const stack = inject("stack");

/** A client behind the proxy, as a page behind a load balancer. */
export function newClient(options: Partial<ClientOptions> = {}): LeadfleetClient {
  return new LeadfleetClient({ baseUrl: stack.url, apiKey: stack.key, WebSocket, ...options });
}

/** Have something happen to the stack: a method of `Commands` in `tests/stack_for_clients.py`. */
export async function command<T = null>(...line: [string, ...unknown[]]): Promise<T> {
  const response = await fetch(stack.control, { method: "POST", body: JSON.stringify(line) });
  const answer = (await response.json()) as { ok: T } | { error: string };
  if ("error" in answer) throw new Error(`${line.join(" ")}: ${answer.error}`);
  return answer.ok;
}

/** The ids that a client saw, gaps aside. */
export function idsOf(events: readonly StreamEvent[]): string[] {
  return events.filter((event) => event.type !== "gap").map((event) => event.id);
}

let sites = 0;

/** The address of a site that no other test visits; it has six pages. */
export function newSite(): string {
  sites += 1;
  return `http://client-${Date.now() % 100_000}${sites}.site.test/`;
}

/** A promise that a callback fulfils. */
export class Signalled<T = void> {
  resolve: (value: T) => void = () => {};
  readonly promise = new Promise<T>((resolve) => {
    this.resolve = resolve;
  });
}
