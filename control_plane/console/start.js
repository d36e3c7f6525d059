/** The form that starts a task. */

import { Problem, get, idempotencyKey, isAbort, post } from "./api.js";
import { h, say, show } from "./dom.js";
import { words } from "./format.js";
import { button, buttonLink, heading, notice } from "./parts.js";

const MAX_QUERIES = 50;
const HINT = `One a line, up to ${MAX_QUERIES}.`;

export function showStart(view, { signal, title }) {
  title("New task");
  const trouble = notice();
  trouble.element.setAttribute("role", "alert");
  const platforms = h("div", { class: "choices" });
  const objective = h("select", { id: "lead_objective" }, h("option", { value: "" }, "None"));
  const suggestions = h("datalist", { id: "business-types" });
  const queries = h("textarea", { id: "queries", rows: 5, placeholder: "https://example.com", spellcheck: "false", autocapitalize: "off", on: { input: counted } });
  const start = button("Start task", { icon: "play", kind: "primary" });
  start.type = "submit";
  const key = { body: "", value: "" };

  const fields = {
    queries: field("queries", "Web addresses", queries, HINT),
    platforms: group("platforms", "What they are", platforms),
    max_results: field("max_results", "Most leads", numeric("max_results", { min: 1, max: 1_000_000 }), "Empty: all there are."),
    max_parallel: field("max_parallel", "Browsers at once", numeric("max_parallel", { min: 1, max: 50, placeholder: "2" })),
    priority: field("priority", "Priority", select("priority", { low: "Low", normal: "Normal", high: "High" }, "normal"), "Among your own tasks."),
    lead_objective: field("lead_objective", "Objective", objective, "Tunes the score."),
    business_type: field("business_type", "Business types", h("input", { id: "business_type", type: "text", list: "business-types", placeholder: "dentist, clinic" }), "By commas. Leaves out businesses that are known to be others."),
    location: field("location", "Location", h("input", { id: "location", type: "text", placeholder: "Berlin, Germany or 52.52,13.40" }), "Leaves out businesses that are known to be elsewhere."),
    radius_km: field("radius_km", "Radius (km)", numeric("radius_km", { min: 0.1, max: 1000, step: "any" }), "Around a location in coordinates."),
    timeout_s: field("timeout_s", "Time limit (s)", numeric("timeout_s", { min: 1, max: 86_400 }), "Of running; pauses are not counted."),
    queue_timeout_s: field("queue_timeout_s", "Waiting limit (s)", numeric("queue_timeout_s", { min: 1, max: 86_400 }), "For a browser."),
    webhook_url: field("webhook_url", "Webhook", h("input", { id: "webhook_url", type: "url", placeholder: "https://…" }), "Gets a signed POST when the task has ended."),
  };
  const switches = {
    phone_only: toggle("phone_only", "Only leads with a valid phone", false),
    render: toggle("render", "Run the pages’ JavaScript", true),
    respect_robots: toggle("respect_robots", "Respect robots.txt", true),
    enrich_websites: toggle("enrich_websites", "Directories: read each business’s own site too", false),
  };
  const part = (...names) => names.map((name) => fields[name].element);

  const more = h(
    "details",
    { class: "card more" },
    h("summary", {}, "More options"),
    h("div", { class: "fields" }, ...part("max_results", "max_parallel", "priority", "lead_objective", "business_type", "location", "radius_km", "timeout_s", "queue_timeout_s", "webhook_url"), suggestions),
    h("fieldset", { class: "switches" }, h("legend", { class: "unseen" }, "Switches"), ...Object.values(switches).map((each) => each.element)),
  );
  const form = h(
    "form",
    { class: "start", noValidate: true, on: { submit } },
    h("div", { class: "card" }, fields.queries.element, fields.platforms.element),
    more,
    trouble.element,
    h("div", { class: "form-foot" }, buttonLink("Cancel", "#/tasks"), start),
  );
  view.append(heading("New task").element, form);
  load();

  async function load() {
    try {
      const [built, objectives, types] = await Promise.all(["platforms", "lead-objectives", "business-types"].map((list) => get(`/api/filters/${list}`, signal)));
      platforms.replaceChildren(...built.map((name, index) => choice(name, index === 0)));
      objective.append(...objectives.map(({ value, label }) => h("option", { value }, label)));
      suggestions.append(...types.map((value) => h("option", { value })));
    } catch (problem) {
      if (isAbort(problem)) return;
      if (!(problem instanceof Problem)) throw problem;
      trouble.set(`The options could not be loaded: ${problem.message}`);
    }
  }

  function lines() {
    return queries.value.split("\n").map((line) => line.trim()).filter(Boolean);
  }

  function counted() {
    const count = lines().length;
    say(fields.queries.hint, count > 1 ? `${HINT} ${count} so far.` : HINT);
  }

  /** What the API gets: only what was filled in, so that its own defaults hold for the rest. */
  function body() {
    const asked = { queries: lines(), platforms: [...platforms.querySelectorAll("input:checked")].map((box) => box.value) };
    if (!asked.platforms.length) delete asked.platforms;
    for (const name of ["max_results", "max_parallel", "radius_km", "timeout_s", "queue_timeout_s"]) {
      const { value } = fields[name].input;
      if (value !== "") asked[name] = Number(value);
    }
    for (const name of ["priority", "lead_objective", "location", "webhook_url"]) {
      const value = fields[name].input.value.trim();
      if (value) asked[name] = value;
    }
    const types = fields.business_type.input.value.split(",").map((word) => word.trim()).filter(Boolean);
    if (types.length) asked.business_type = types;
    for (const [name, { input }] of Object.entries(switches)) asked[name] = input.checked;
    return asked;
  }

  async function submit(event) {
    event.preventDefault();
    for (const each of Object.values(fields)) each.fail("");
    trouble.set("");
    const bad = Object.values(fields).filter(({ input }) => input?.validity?.badInput);
    for (const each of bad) each.fail("This is not a number.");
    if (bad.length) return reveal(bad);
    if (!lines().length) {
      fields.queries.fail("Enter at least one address.");
      return reveal([fields.queries]);
    }
    const asked = body();
    if (key.body !== JSON.stringify(asked)) Object.assign(key, { body: JSON.stringify(asked), value: idempotencyKey() });
    start.disabled = true;
    try {
      const { task_id: id } = await post("/api/scraper/start", asked, { signal, headers: { "Idempotency-Key": key.value } });
      location.hash = `#/tasks/${id}`;
    } catch (problem) {
      if (isAbort(problem)) return;
      if (!(problem instanceof Problem)) throw problem;
      refused(problem);
    } finally {
      start.disabled = false;
    }
  }

  /** Puts what the API says where it belongs; what has no field stands above the button. */
  function refused(problem) {
    const told = new Map();
    const elsewhere = [];
    for (const { loc, message } of problem.errors) {
      const text = loc[0] === "queries" && loc.length > 1 ? `Line ${loc[1] + 1}: ${message}` : message;
      if (loc[0] in fields) told.set(loc[0], [...(told.get(loc[0]) ?? []), text]);
      else elsewhere.push(`${words(loc[0] ?? "request")}: ${text}`);
    }
    for (const [name, texts] of told) fields[name].fail(texts.join("\n"));
    if (elsewhere.length || !told.size) trouble.set(elsewhere.join("; ") || problem.message);
    reveal([...told.keys()].map((name) => fields[name]));
  }

  function reveal([first]) {
    if (!first) return;
    if (more.contains(first.element)) more.open = true;
    (first.input ?? first.element.querySelector("input")).focus();
  }
}

/** A labelled control with a hint and a place for what is wrong with it. */
function field(name, label, input, hint = "") {
  const error = h("p", { class: "field-error", id: `${name}-error`, hidden: true });
  input.setAttribute("aria-describedby", `${name}-error ${name}-hint`);
  const below = h("p", { class: "hint", id: `${name}-hint` }, hint);
  const element = h("div", { class: "field" }, h("label", { htmlFor: name }, label), input, error, below);
  return { element, input, hint: below, fail: (text) => failed(error, text, input) };
}

function group(name, label, choices) {
  const error = h("p", { class: "field-error", id: `${name}-error`, hidden: true });
  const element = h("fieldset", { class: "field", "aria-describedby": `${name}-error` }, h("legend", {}, label), choices, error);
  return { element, input: null, fail: (text) => failed(error, text, element) };
}

function failed(error, text, input) {
  say(error, text);
  show(error, Boolean(text));
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

const ABOUT = { website: "Company sites: each is read for its contacts", directory: "Listings: their entries become leads" };

function choice(name, checked) {
  return h(
    "label",
    { class: "choice" },
    h("input", { type: "checkbox", name: "platforms", value: name, checked }),
    h("span", {}, h("strong", {}, words(name)), h("span", { class: "hint" }, ABOUT[name] ?? "")),
  );
}

function numeric(name, limits) {
  return h("input", { id: name, type: "number", inputmode: "decimal", ...Object.fromEntries(Object.entries(limits).map(([key, value]) => [key, String(value)])) });
}

function select(name, options, chosen) {
  return h("select", { id: name }, ...Object.entries(options).map(([value, label]) => h("option", { value, selected: value === chosen }, label)));
}

function toggle(name, label, checked) {
  const input = h("input", { type: "checkbox", id: name, checked });
  return { element: h("label", { class: "switch" }, input, h("span", {}, label)), input };
}
