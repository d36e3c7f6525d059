"use client";

import { ExportFailed, type ExportFormat, type ExportView, ProblemError } from "@leadfleet/client";
import { useEffect, useRef, useState } from "react";
import { useLeadfleet } from "./leadfleet";

const FORMATS: Record<ExportFormat, string> = {
  csv: "CSV",
  excel: "Excel",
  json: "JSON",
  jsonl: "JSON Lines",
  parquet: "Parquet",
};

type Step = { view?: ExportView; problem?: string; busy?: boolean };

/** A file of all leads of the task. Its link is presigned: it needs no key, and the file does not pass through us. */
export function ExportPanel({ taskId, leads }: { taskId: string; leads: number }) {
  const client = useLeadfleet();
  const asking = useRef<AbortController>(null);
  const [format, setFormat] = useState<ExportFormat>("csv");
  const [{ view, problem, busy = false }, setStep] = useState<Step>({});
  useEffect(() => () => asking.current?.abort(), []);

  async function prepare() {
    asking.current?.abort();
    asking.current = new AbortController();
    const { signal } = asking.current;
    setStep({ busy: true });
    try {
      const { export_id } = await client.exports.create({ format, where: { task_id: [taskId] } }, { signal });
      const onProgress = (view: ExportView) => setStep({ view, busy: true });
      setStep({ view: await client.exports.wait(export_id, { signal, onProgress }) });
    } catch (error) {
      if (!signal.aborted) setStep({ problem: reasonOf(error) });
    }
  }

  return (
    <section className="card stack" aria-labelledby="export">
      <h2 id="export">Export</h2>
      <div className="row fields">
        <label className="field">
          Format
          <select value={format} onChange={(event) => setFormat(event.target.value as ExportFormat)}>
            {Object.entries(FORMATS).map(([value, name]) => (
              <option key={value} value={value}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <button
          type="button"
          className="primary"
          disabled={busy || leads === 0}
          onClick={() => void prepare()}
        >
          Prepare file
        </button>
        <p role="status">
          {busy && `Preparing… ${(view?.rows ?? 0).toLocaleString("en")} rows`}
          {!busy && view?.url && (
            <a href={view.url} download>
              Download {view.rows.toLocaleString("en")} leads ({FORMATS[view.format as ExportFormat]})
            </a>
          )}
        </p>
      </div>
      {problem && (
        <p role="alert" className="problem">
          {problem}
        </p>
      )}
    </section>
  );
}

function reasonOf(error: unknown): string {
  if (error instanceof ProblemError) return error.detail;
  if (error instanceof ExportFailed) return error.message;
  return "The server does not answer. Try again in a moment.";
}
