import { sleep } from "./backoff.js";
import { LeadfleetError } from "./errors.js";
import type { CallOptions, Http } from "./http.js";
import type { ExportRequest, ExportView } from "./schemas.js";

export type ExportFormat = NonNullable<ExportRequest["format"]>;

/** A `where` that an address can carry; other members of `Where` go by their names too. */
export interface FlatWhere {
  task_id?: string;
  q?: string;
  city?: string;
  country?: string;
  platform?: string;
  date_from?: string;
  date_to?: string;
  has_phone?: "true" | "false";
}

/** The export ended without a file: nothing matched, it failed, was cancelled, or its file has expired. */
export class ExportFailed extends LeadfleetError {
  override readonly name = "ExportFailed";

  constructor(readonly export_: ExportView) {
    super(
      export_.status === "empty"
        ? "no lead matches, so there is no file"
        : (export_.error ?? `the export ${export_.export_id} is ${export_.status}: ask for it again`),
    );
  }
}

export interface WaitOptions extends CallOptions {
  /** Called with each look at it. */
  onProgress?: (view: ExportView) => void;
}

/** An export whose file can be fetched: `url` is presigned, needs no key, and is good until `expires_at`. */
export type ReadyExport = ExportView & { status: "ready"; url: string };

const FIRST_LOOK_MS = 200;
const SLOWEST_LOOK_MS = 2_000;

/** Files of leads. */
export class Exports {
  /** @internal */
  constructor(private readonly http: Http) {}

  /** Begin an export. The same request again is the same export, so it may be sent again. */
  create(request: ExportRequest = {}, options: CallOptions = {}): Promise<ExportView> {
    return this.http.post("/api/export", { ...options, body: request, idempotent: true });
  }

  /** An export: how far it is, and its `url` once it is ready. */
  get(exportId: string, options: CallOptions = {}): Promise<ExportView> {
    return this.http.get("/api/export/{export_id}", { ...options, path: { export_id: exportId } });
  }

  /** Wait until an export is ready. Throws `ExportFailed` when it will not be. */
  async wait(exportId: string, { onProgress, ...options }: WaitOptions = {}): Promise<ReadyExport> {
    for (let pause = FIRST_LOOK_MS; ; pause = Math.min(SLOWEST_LOOK_MS, pause * 2)) {
      const view = await this.get(exportId, options);
      onProgress?.(view);
      if (isReady(view)) return view;
      if (view.status !== "pending" && view.status !== "running") throw new ExportFailed(view);
      await sleep(pause, options.signal);
    }
  }

  /** End an export that is not ready. */
  cancel(exportId: string, options: CallOptions = {}): Promise<ExportView> {
    const path = { export_id: exportId };
    return this.http.post("/api/export/{export_id}/cancel", { ...options, path, idempotent: true });
  }
}

function isReady(view: ExportView): view is ReadyExport {
  return view.status === "ready" && typeof view.url === "string";
}
