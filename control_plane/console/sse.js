/** Server-Sent Events, for where WebSockets are blocked. */

/**
 * Reads one stream until it ends: resolves then, rejects when it was refused or breaks. Read with `fetch`, since `EventSource`
 * hides both why it was refused and that it fell silent. `onHeard()` is called for every sign of life.
 */
export async function readEvents(url, { onOpen, onMessage, onRetry, onHeard, signal }) {
  const answer = await fetch(url, { headers: { Accept: "text/event-stream" }, credentials: "same-origin", cache: "no-store", signal });
  if (!answer.ok || !answer.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new Error(`no events: ${answer.status}`);
  onOpen();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onHeard();
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const line of blocks.join("\n").split("\n")) {
      if (line.startsWith("data: ")) onMessage(line.slice(6)); // a message of ours is one line of JSON
      else if (line.startsWith("retry: ")) onRetry(Number(line.slice(7)));
    }
  }
}
