"use client";

import { useRouter } from "next/navigation";
import { startTransition } from "react";

/** What went wrong on the server is said in its log; pages are told no more than that. */
export default function Failed({ reset }: { error: Error; reset: () => void }) {
  const router = useRouter();
  const again = () =>
    startTransition(() => {
      router.refresh();
      reset();
    });
  return (
    <section className="card stack" role="alert">
      <h1>That did not work</h1>
      <p>The API did not answer as it should.</p>
      <div>
        <button type="button" onClick={again}>
          Try again
        </button>
      </div>
    </section>
  );
}
