"use client";

import { ProblemError } from "@leadfleet/client";
import { useRouter } from "next/navigation";
import { type FormEvent, useState } from "react";
import { useLeadfleet } from "./leadfleet";

interface Trouble {
  readonly field: string;
  readonly text: string;
}

const FIELDS = ["queries", "max_results"];

export function StartForm({ platforms }: { platforms: string[] }) {
  const client = useLeadfleet();
  const router = useRouter();
  const [busy, setBusy] = useState(false);
  const [troubles, setTroubles] = useState<Trouble[]>([]);

  async function start(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const most = Number(form.get("max_results"));
    setBusy(true);
    try {
      const { task_id } = await client.tasks.start({
        queries: lines(String(form.get("queries"))),
        platforms: [String(form.get("platform"))],
        ...(most && { max_results: most }),
      });
      router.push(`/tasks/${task_id}`);
    } catch (error) {
      setTroubles(troublesOf(error));
      setBusy(false);
    }
  }

  const of = (field: string) => troubles.filter((trouble) => trouble.field === field);
  return (
    <form onSubmit={start} className="card stack" aria-labelledby="start" noValidate>
      <h1 id="start">Find leads</h1>
      <label className="field">
        Web addresses or search words, one a line
        <textarea
          name="queries"
          rows={4}
          spellCheck={false}
          aria-invalid={of("queries").length > 0}
          aria-describedby="queries-trouble"
        />
      </label>
      <Troubles id="queries-trouble" troubles={of("queries")} />
      <div className="row fields">
        <label className="field">
          What they are
          <select name="platform" defaultValue="website">
            {platforms.map((platform) => (
              <option key={platform}>{platform}</option>
            ))}
          </select>
        </label>
        <label className="field">
          Most leads
          <input
            name="max_results"
            type="number"
            min={1}
            placeholder="no limit"
            aria-invalid={of("max_results").length > 0}
            aria-describedby="max_results-trouble"
          />
        </label>
        <button type="submit" className="primary" disabled={busy}>
          Start
        </button>
      </div>
      <Troubles id="max_results-trouble" troubles={of("max_results")} />
      <Troubles id="other-trouble" troubles={troubles.filter(({ field }) => !FIELDS.includes(field))} />
    </form>
  );
}

function Troubles({ id, troubles }: { id: string; troubles: Trouble[] }) {
  return (
    <div id={id} role="alert">
      {troubles.map(({ text }) => (
        <p key={text} className="problem">
          {text}
        </p>
      ))}
    </div>
  );
}

function lines(text: string): string[] {
  return text.split("\n").flatMap((line) => line.trim() || []);
}

/** What the API says is wrong, at the field where it is wrong. */
function troublesOf(error: unknown): Trouble[] {
  if (error instanceof ProblemError && error.errors.length) {
    return error.errors.map(({ loc = [], message = error.detail }) => {
      const [field, line] = loc;
      return {
        field: String(field),
        text: typeof line === "number" ? `Line ${line + 1}: ${message}` : message,
      };
    });
  }
  if (error instanceof ProblemError) return [{ field: "", text: error.detail }];
  return [{ field: "", text: "The server does not answer. Try again in a moment." }];
}
