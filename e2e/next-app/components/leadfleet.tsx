"use client";

import { LeadfleetClient } from "@leadfleet/client";
import { useRouter } from "next/navigation";
import { createContext, type ReactNode, useContext, useMemo } from "react";

const Client = createContext<LeadfleetClient | undefined>(undefined);

/** One client for all pages: it calls our own server, which has the key, and streams from the API itself. */
export function LeadfleetProvider({ streamUrl, children }: { streamUrl: string; children: ReactNode }) {
  const router = useRouter();
  const client = useMemo(
    () =>
      new LeadfleetClient({
        baseUrl: "/leadfleet",
        streamUrl,
        fetch: async (input, init) => {
          const answer = await fetch(input, init);
          if (answer.status === 401) router.replace("/sign-in");
          return answer;
        },
      }),
    [streamUrl, router],
  );
  return <Client value={client}>{children}</Client>;
}

export function useLeadfleet(): LeadfleetClient {
  const client = useContext(Client);
  if (!client) throw new Error("useLeadfleet needs a LeadfleetProvider above it");
  return client;
}
