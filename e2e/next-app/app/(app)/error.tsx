"use client";

/** What went wrong on the server is said in its log; pages are told no more than that. */
export default function Failed({ reset }: { error: Error; reset: () => void }) {
  return (
    <section className="card stack" role="alert">
      <h1>That did not work</h1>
      <p>The API did not answer as it should.</p>
      <button type="button" onClick={reset}>
        Try again
      </button>
    </section>
  );
}
