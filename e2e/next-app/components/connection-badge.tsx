import type { ConnectionState } from "@leadfleet/client";

/** How the stream of events is doing, in words. */
export function ConnectionBadge({ connection }: { connection: ConnectionState }) {
  return (
    <span className="badge" role="status" aria-label="Connection" data-connection={connection.name}>
      {wordsFor(connection)}
    </span>
  );
}

function wordsFor(connection: ConnectionState): string {
  switch (connection.name) {
    case "connecting":
      return "Connecting…";
    case "open":
      return "Live";
    case "retrying":
      return "Connection lost, retrying…";
    case "gap":
      return "Catching up…";
    case "closed":
      return connection.error ? "Disconnected" : "Ended";
  }
}
