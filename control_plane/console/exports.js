/** Exports: beginning one, its progress, and the files of the last days. */

import { Problem, get, isAbort, post } from "./api.js";
import { Rows, every, h, say, show } from "./dom.js";
import { ago, number, plural, size } from "./format.js";
import { badge, button, buttonLink, dialog, empty, heading, loading, notice } from "./parts.js";

const LIST_POLL_S = 2;
const PROGRESS_POLL_S = 0.4;
const PAGE = 50;
const FORMATS = {
  csv: ["CSV", "For any spreadsheet or CRM"],
  excel: ["Excel", "A workbook with typed columns"],
  json: ["JSON", "One document, all fields"],
  jsonl: ["JSON lines", "A lead a line"],
  parquet: ["Parquet", "For data tools"],
};
const UNFINISHED = new Set(["pending", "running"]);
const WORDS = {
  empty: "No lead matches any more.",
  failed: "The export failed. Begin it again.",
  cancelled: "The export was cancelled.",
  expired: "The file was kept for its time and is gone. Begin it again.",
};

/** Asks for a format, shows the progress and gives the download. `where` and `total` are those of the leads on show. */
export function exportDialog(where, total, signal) {
  const life = new AbortController();
  signal.addEventListener("abort", () => life.abort(), { signal: life.signal });
  const shown = dialog("Export leads", (close) => new Exporting(where, total, close, life.signal).element, { signal });
  return shown.finally(() => life.abort());
}

class Exporting {
  #close;
  #signal;
  #trouble = notice();
  #bar = h("progress", { class: "bar", max: 1, "aria-label": "Rows written" });
  #told = h("p", { class: "export-told", role: "status" });
  #foot = h("footer", { class: "dialog-foot" });

  constructor(where, total, close, signal) {
    this.#close = close;
    this.#signal = signal;
    const formats = Object.entries(FORMATS).map(([value, [label, about]], index) =>
      h("label", { class: "choice" }, h("input", { type: "radio", name: "format", value, checked: index === 0 }), h("span", {}, h("strong", {}, label), h("span", { class: "hint" }, about))),
    );
    const bom = h("input", { type: "checkbox" });
    const e164 = h("input", { type: "checkbox" });
    const csv = h(
      "div",
      { class: "switches" },
      h("label", { class: "switch" }, bom, h("span", {}, "Byte order mark, for old Excel")),
      h("label", { class: "switch" }, e164, h("span", {}, "Phones for machines (+4930123456)")),
    );
    const begin = button("Begin export", { kind: "primary" });
    begin.type = "submit";
    const form = h(
      "form",
      {
        on: {
          submit: (event) => {
            event.preventDefault();
            const format = new FormData(form).get("format");
            const options = format === "csv" ? { bom: bom.checked, phone_format: e164.checked ? "e164" : "international" } : {};
            this.#begin({ format, where, ...options });
          },
          change: () => show(csv, new FormData(form).get("format") === "csv"),
        },
      },
      h("p", {}, `${plural(total, "lead")} with the filters that are set.`),
      h("fieldset", { class: "choices" }, h("legend", { class: "unseen" }, "Format"), ...formats),
      csv,
      h("footer", { class: "dialog-foot" }, button("Cancel", { on: { click: () => close() } }), begin),
    );
    this.element = h("div", { class: "exporting" }, this.#trouble.element, form);
  }

  async #begin(body) {
    try {
      const view = await post("/api/export", body, { signal: this.#signal });
      this.#trouble.set("");
      this.element.replaceChildren(this.#trouble.element, this.#told, this.#bar, this.#foot);
      this.#follow(view);
    } catch (problem) {
      this.#fail(problem);
    }
  }

  #follow(first) {
    const over = new AbortController();
    this.#signal.addEventListener("abort", () => over.abort(), { signal: over.signal });
    const path = `/api/export/${encodeURIComponent(first.export_id)}`;
    const cancel = button("Cancel export", { kind: "quiet-danger", on: { click: () => post(`${path}/cancel`, undefined, { signal: this.#signal }).catch((problem) => this.#fail(problem)) } });
    this.#foot.replaceChildren(cancel);
    this.#progress(first);
    every(
      PROGRESS_POLL_S,
      async () => {
        try {
          const view = await get(path, over.signal);
          this.#trouble.set("");
          this.#progress(view);
          if (UNFINISHED.has(view.status)) return;
          over.abort();
          this.#finish(view);
        } catch (problem) {
          this.#fail(problem);
        }
      },
      over.signal,
    );
  }

  #progress({ rows, total }) {
    if (total) Object.assign(this.#bar, { max: total, value: rows });
    say(this.#told, total ? `${number(rows)} of ${number(total)} rows` : "Preparing the export …");
  }

  #finish(view) {
    const ready = view.status === "ready";
    show(this.#bar, ready);
    if (ready) this.#bar.value = this.#bar.max;
    say(this.#told, ready ? `${plural(view.rows, "row")}, ${size(view.bytes)}. The file is ready.` : (view.error ?? WORDS[view.status]));
    const file = ready && buttonLink("Download", view.url, { icon: "exports", kind: "primary", download: true });
    this.#foot.replaceChildren(...[button("Close", { on: { click: () => this.#close() } }), file].filter(Boolean));
    (file || this.#foot.firstChild).focus();
  }

  #fail(problem) {
    if (isAbort(problem)) return;
    if (!(problem instanceof Problem)) throw problem;
    this.#trouble.set(problem.message);
  }
}

export function showExports(view, { signal, can }) {
  const trouble = notice();
  const wait = loading();
  const body = h("tbody");
  const table = h("table", { class: "table exports", hidden: true }, h("caption", { class: "unseen" }, "Exports, newest first"), h("thead", {}, h("tr", {}, ...["Format", "State", "Rows", "Size", "Begun"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, h("span", { class: "unseen" }, "Actions")))), body);
  const none = empty("No exports yet", "Filter the leads you want and choose Export. Files stay here until they expire.", can("leads:read") && buttonLink("To the leads", "#/leads", { kind: "primary" }));
  show(none, false);
  view.append(heading("Exports").element, trouble.element, h("div", { class: "card flush" }, wait, none, table));

  const failed = (problem) => {
    if (isAbort(problem)) return;
    if (!(problem instanceof Problem)) throw problem;
    trouble.set(problem.message);
  };
  const rows = new Rows(body, (each) => each.export_id, (each) => exportRow(each, { can, signal, failed, changed: () => refresh() }));
  const refresh = every(
    LIST_POLL_S,
    async () => {
      try {
        const { items } = await get(`/api/export?limit=${PAGE}`, signal);
        trouble.set("");
        rows.set(items);
        show(wait, false);
        show(none, !items.length);
        show(table, items.length > 0);
      } catch (problem) {
        failed(problem);
      }
    },
    signal,
  );
}

function exportRow(first, { can, signal, failed, changed }) {
  const path = `/api/export/${encodeURIComponent(first.export_id)}`;
  const state = badge();
  const bar = h("progress", { class: "bar small", max: 1, "aria-label": "Rows written" });
  const [rows, bytes, begun] = ["Rows", "Size", "Begun"].map((label) => h("td", { data: { label } }));
  const fetchFile = async () => {
    try {
      const { url } = await get(path, signal);
      if (url) location.assign(url);
      else changed();
    } catch (problem) {
      failed(problem);
    }
  };
  const download = button("Download", { icon: "exports", kind: "small", on: { click: fetchFile } });
  const cancel = button("Cancel", { kind: "small quiet-danger", on: { click: () => post(`${path}/cancel`, undefined, { signal }).then(changed, failed) } });
  const element = h("tr", {}, h("td", { class: "row-title" }, h("span", { class: "row-name" }, FORMATS[first.format][0]), h("span", { class: "row-about" }, first.export_id)), h("td", { class: "row-state" }, state.element, bar), rows, bytes, begun, h("td", { class: "row-actions" }, download, cancel));
  return {
    element,
    update(now) {
      state.set(now.status);
      show(bar, UNFINISHED.has(now.status));
      if (now.total) Object.assign(bar, { max: now.total, value: now.rows });
      say(rows, now.total && UNFINISHED.has(now.status) ? `${number(now.rows)} of ${number(now.total)}` : number(now.rows));
      say(bytes, now.bytes ? size(now.bytes) : "–");
      say(begun, ago(now.created_at));
      show(download, now.status === "ready");
      show(cancel, UNFINISHED.has(now.status) && can("exports:write"));
    },
  };
}
