import type { LogEvent } from "@leadfleet/client";
import { memo } from "react";

/** The latest lines, newest first. */
export function Log({ lines }: { lines: readonly LogEvent[] }) {
  return (
    <section className="card" aria-labelledby="log">
      <h2 id="log">Log</h2>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be scrollable with keys */}
      <ol className="log scrolls" aria-labelledby="log" tabIndex={0}>
        {lines.toReversed().map((line) => (
          <Line key={line.id} line={line} />
        ))}
      </ol>
    </section>
  );
}

const Line = memo(function Line({ line }: { line: LogEvent }) {
  return (
    <li data-level={line.level} data-id={line.id}>
      <time dateTime={line.timestamp}>{line.timestamp.slice(11, 19)}</time> <span>{line.message}</span>
    </li>
  );
});
