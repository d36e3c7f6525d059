/** Where this server reaches the API. */
export function apiUrl(): string {
  return process.env.LEADFLEET_URL ?? "http://localhost:8000";
}

/** Where browsers reach it: for streams, which carry tokens of their own. */
export function streamUrl(): string {
  return process.env.LEADFLEET_STREAM_URL ?? apiUrl();
}
