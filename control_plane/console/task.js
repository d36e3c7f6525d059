/** One task: its live picture, log, progress, and leads as they come. */

import { Problem, get, isAbort } from "./api.js";
import { Connection } from "./connection.js";
import { ENDED, actions } from "./control.js";
import { every, h, say, show } from "./dom.js";
import { address, clock, duration, number, plural, since } from "./format.js";
import { nameOf, whole } from "./lead.js";
import { Live } from "./live.js";
import { badge, buttonLink, heading, loading, notice, tile } from "./parts.js";

const POLL_S = 5;
const FLUSH_MS = 80; // events are shown together: a task may tell thousands a second
const MAX_LINES = 500;
const MAX_LEADS = 200;
const END_EVENTS = new Set(["task_completed", "task_error", "task_stopped"]);
const HEARING = { connecting: "Connecting", open: "Live", closed: "Closed" };

export function showTask(view, { rest: [id], signal, can, title }) {
  const name = heading("Task");
  const wait = loading(8);
  view.append(name.element, wait);
  const failed = (problem) => {
    if (isAbort(problem)) return;
    if (!(problem instanceof Problem)) throw problem;
    const trouble = notice();
    trouble.set(problem.status === 404 ? "There is no such task. It may be of another tenant, or older than tasks are kept." : problem.message);
    view.replaceChildren(name.element, trouble.element, buttonLink("All tasks", "#/tasks", { icon: "back" }));
  };
  get(`/api/tasks/${encodeURIComponent(id)}`, signal).then((task) => open(view, task, { signal, can, title }), failed).catch(failed);
}

function open(view, first, { signal, can, title }) {
  const id = first.task_id;
  let task = first;
  const state = badge();
  const hearing = badge();
  hearing.element.setAttribute("role", "status");
  const trouble = notice();
  const gap = notice();
  const doing = can("tasks:write") ? actions({ changed: () => refresh(), failed: trouble.set, signal }) : null;
  const head = heading(address(first.queries[0]) || id, doing?.element);
  const tiles = { leads: tile("Leads"), pages: tile("Pages"), units: tile("Units"), time: tile("Duration") };
  const now = h("p", { class: "task-now" });
  const bar = h("progress", { class: "bar", max: 1, value: 0, "aria-label": "Units done" });
  const about = h("p", { class: "muted task-about" });
  const log = new Log();
  const leads = new Found(id);

  const stillThere = async () => {
    try {
      task = await get(`/api/tasks/${encodeURIComponent(id)}`, signal);
    } catch (problem) {
      if (problem.status === 401 || problem.status === 404) throw problem; // anything else may pass
    }
  };
  const streams = can("streams:read");
  const live = streams ? new Live({ task: id, check: stillThere, steerable: can("control"), signal }) : null;

  view.replaceChildren(
    h("a", { class: "crumb", href: "#/tasks" }, "Tasks"),
    head.element,
    h("div", { class: "task-line" }, state.element, hearing.element, about),
    trouble.element,
    gap.element,
    h("dl", { class: "tiles" }, ...Object.values(tiles).map((each) => each.element)),
    bar,
    h("div", { class: "task-grid" }, h("div", { class: "task-main" }, live?.element, now), leads.element, log.element),
  );
  title(address(first.queries[0]) || id);
  head.name.focus({ preventScroll: true });

  let asked = performance.now();
  let last = "";
  let queue = [];
  let timer = 0;
  const behind = () => (last ? `?last_event_id=${last}` : "");
  const connection = new Connection({
    url: () => `/api/scraper/ws/events/${encodeURIComponent(id)}${behind()}`,
    events: () => `/api/scraper/events/${encodeURIComponent(id)}${behind()}`,
    onMessage(data) {
      const event = JSON.parse(data);
      if (event.id) last = event.id; // before it is shown: a socket that comes back at once goes on behind it
      queue.push(event);
      timer ||= setTimeout(flush, FLUSH_MS);
    },
    onState(now, { attempt, delay, sse }) {
      if (now === "open") live?.blocked(sse);
      const over = now === "closed" && ENDED.has(task.status);
      hearing.set(now, over ? "All told" : now === "retrying" ? `Connection lost · attempt ${attempt} in ${(delay / 1000).toFixed(1)} s` : HEARING[now]);
    },
    check: stillThere,
    signal,
  });
  const clock = setInterval(tick, 1000);
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    clearInterval(clock);
  });
  update();
  if (streams) connection.open();
  else trouble.set("Your API key does not permit live pictures and messages (scope streams:read).", "plain");
  const refresh = every(POLL_S, poll, signal);

  async function poll() {
    try {
      task = await get(`/api/tasks/${encodeURIComponent(id)}`, signal);
      asked = performance.now();
      update();
    } catch (problem) {
      if (isAbort(problem)) return;
      if (!(problem instanceof Problem)) throw problem;
    }
  }

  function flush() {
    timer = 0;
    const events = queue;
    queue = [];
    const lines = [];
    const found = [];
    let ended = false;
    for (const event of events) {
      if (event.type === "connected") connection.retryAfter(event.retry_ms);
      else if (event.type === "log") lines.push(event);
      else if (event.type === "result") found.push(event.data);
      else if (event.type === "coordinates") live?.boxes(event);
      else if (event.type === "progress") task = { ...task, ...event };
      else if (event.type === "gap") gap.set("Some messages are older than the fleet keeps them and could not be shown. The leads are all under “Leads”.", "wait");
      else if (event.type.startsWith("task_")) {
        task = { ...task, ...event.data };
        ended ||= END_EVENTS.has(event.type);
      }
    }
    log.add(lines);
    leads.add(found);
    update();
    if (ended) {
      connection.close();
      refresh();
    }
  }

  function update() {
    const units = task.units ?? {};
    const total = Object.values(units).reduce((sum, count) => sum + count, 0);
    const done = ["completed", "failed"].reduce((sum, name) => sum + (units[name] ?? 0), 0);
    state.set(task.status);
    doing?.update(task);
    tiles.leads.set(number(task.total_results), Object.entries(task.progress ?? {}).filter(([, count]) => count).map(([platform, count]) => `${number(count)} ${platform}`).join(" · "));
    tiles.pages.set(number(task.pages), task.pages_left_out ? `${number(task.pages_left_out)} could not be had` : "");
    tiles.units.set(`${number(done)} / ${number(total)}`, task.status === "queued" && task.queue_position !== null ? (task.queue_position ? `${number(task.queue_position)} ahead in the queue` : "next in line") : "");
    tick();
    bar.max = Math.max(1, total);
    bar.value = done;
    say(about, [plural((task.queries ?? []).length, "address", "addresses"), (task.platforms ?? []).join(", "), task.attempt > 1 && `attempt ${task.attempt}`, id].filter(Boolean).join(" · "));
    say(now, task.status === "error" ? task.error : task.current_query && task.status === "running" ? `Now: ${address(task.current_query)}` : "");
    live?.rest(resting(task), task.status === "running");
    leads.total(task.total_results, ENDED.has(task.status));
  }

  function tick() {
    const more = task.status === "running" && task.started_at ? (performance.now() - asked) / 1000 : 0;
    tiles.time.set(duration(task.duration_seconds === null ? null : task.duration_seconds + more), task.started_at ? `since ${since(task.started_at)}` : "not started yet");
  }
}

/** Why a task shows no picture; empty when it should. */
function resting(task) {
  if (ENDED.has(task.status)) return task.status === "error" ? "The task has failed." : `The task is ${task.status}.`;
  if (task.status === "paused") return "Paused. It goes on where it was when you resume it.";
  return "";
}

/** The last lines of the log; follows its end unless one has scrolled up. */
class Log {
  #list = h("ol", { class: "log", tabIndex: 0, "aria-label": "Log" });
  #none = h("p", { class: "panel-none" }, "Nothing has been logged yet.");

  constructor() {
    this.element = h("section", { class: "card flush panel panel-log" }, h("h2", {}, "Log"), this.#none, this.#list);
  }

  add(lines) {
    if (!lines.length) return;
    show(this.#none, false);
    const list = this.#list;
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    list.append(
      ...lines.slice(-MAX_LINES).map(({ timestamp, level, message }) =>
        h("li", { data: { level } }, h("time", { datetime: timestamp }, clock(timestamp)), level === "info" ? null : h("b", {}, level), h("span", {}, message)),
      ),
    );
    while (list.childElementCount > MAX_LINES) list.firstElementChild.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }
}

/** The newest leads, each once although it may be found on several pages. */
class Found {
  #list = h("ol", { class: "found", tabIndex: 0, "aria-label": "Leads, newest first" });
  #none = h("p", { class: "panel-none" }, "Leads appear here as they are found.");
  #rows = new Map();
  #all;

  constructor(task) {
    this.#all = h("a", { class: "panel-link", href: `#/leads?task_id=${encodeURIComponent(task)}` }, "All leads");
    this.element = h("section", { class: "card flush panel panel-leads" }, h("h2", {}, "Leads", this.#all), this.#none, this.#list);
  }

  total(count, ended) {
    say(this.#none, ended ? "No leads were found." : "Leads appear here as they are found.");
    say(this.#all, count ? `All ${number(count)} with filters` : "Filters and export");
  }

  add(leads) {
    if (!leads.length) return;
    show(this.#none, false);
    for (const lead of leads.slice(-MAX_LEADS)) {
      this.#rows.get(lead.lead_id)?.remove();
      const row = foundRow(whole(lead));
      this.#rows.delete(lead.lead_id);
      this.#rows.set(lead.lead_id, row);
      this.#list.prepend(row);
    }
    for (const [id, row] of this.#rows) {
      if (this.#rows.size <= MAX_LEADS) break;
      row.remove();
      this.#rows.delete(id);
    }
  }
}

function foundRow(lead) {
  const [phone] = lead.phones;
  return h(
    "li",
    { data: { lead: lead.lead_id } },
    h("span", { class: "score", data: { band: lead.score_band ?? "cold" }, title: "score" }, number(lead.score)),
    h("span", { class: "found-who" }, h("strong", {}, nameOf(lead)), h("span", { class: "row-about" }, [lead.address?.city, address(lead.website)].filter(Boolean).join(" · "))),
    h("span", { class: "found-how" }, h("span", { class: "phone-number" }, phone ? (phone.international ?? phone.raw) : ""), h("span", { class: "row-about" }, lead.emails[0] ?? "")),
  );
}
