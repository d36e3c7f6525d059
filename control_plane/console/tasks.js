/** The tenant's tasks: how many are in which state, how long a new one would wait, and the list. */

import { Problem, get, isAbort } from "./api.js";
import { actions } from "./control.js";
import { Rows, every, h, say, show } from "./dom.js";
import { address, ago, duration, number, plural } from "./format.js";
import { badge, button, buttonLink, empty, heading, loading, notice, tile } from "./parts.js";

const PAGE = 25;
const POLL_S = 2;
const STATES = ["", "running", "queued", "paused", "completed", "stopped", "error"];

export function showTasks(view, { query, signal, can }) {
  const state = STATES.includes(query.get("status")) ? query.get("status") : "";
  let offset = Math.max(0, Number.parseInt(query.get("offset"), 10) || 0);

  const head = heading("Tasks", can("tasks:write") && buttonLink("New task", "#/tasks/new", { icon: "plus", kind: "primary" }));
  const tiles = { running: tile("Running"), pending: tile("Waiting"), completed: tile("Completed"), wait: tile("Wait for a new task") };
  const trouble = notice();
  const body = h("tbody");
  const table = h(
    "table",
    { class: "table tasks" },
    h("caption", { class: "unseen" }, "Tasks, newest first"),
    h("thead", {}, h("tr", {}, ...["Task", "State", "Leads", "Pages", "Started", "Duration"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col" }, h("span", { class: "unseen" }, "Actions")))),
    body,
  );
  const none = state
    ? empty(`No task is ${state}`, "Tasks in other states are under “All”.")
    : empty("No tasks yet", "Give Leadfleet web addresses: its browsers visit them, and the leads they find arrive here.", can("tasks:write") && buttonLink("Start the first task", "#/tasks/new", { kind: "primary" }));
  const wait = loading();
  const range = h("span", { class: "muted", role: "status" });
  const before = button("Newer", { icon: "back", on: { click: () => page(-PAGE) } });
  const after = button("Older", { icon: "next", kind: "trailing", on: { click: () => page(PAGE) } });
  const pager = h("nav", { class: "pager", "aria-label": "Pages of tasks" }, range, before, after);
  show(table, false);
  show(none, false);
  show(pager, false);

  view.append(
    head.element,
    h("dl", { class: "tiles" }, ...Object.values(tiles).map((each) => each.element)),
    h("nav", { class: "tabs", "aria-label": "Tasks by state" }, ...STATES.map((each) => h("a", { href: each ? `#/tasks?status=${each}` : "#/tasks", "aria-current": each === state ? "true" : null }, each ? badgeWord(each) : "All"))),
    trouble.element,
    h("div", { class: "card flush" }, wait, none, table, pager),
  );

  const rows = new Rows(body, (task) => task.task_id, (task) => taskRow(task, can, () => refresh(), trouble, signal));
  const refresh = every(POLL_S, load, signal);

  function page(by) {
    offset = Math.max(0, offset + by);
    refresh();
  }

  async function load() {
    const asked = new URLSearchParams({ limit: PAGE, offset });
    if (state) asked.set("status", state);
    try {
      const [list, queue] = await Promise.all([get(`/api/tasks?${asked}`, signal), get("/api/tasks/queue/status", signal)]);
      trouble.set("");
      fill(list, queue);
    } catch (problem) {
      if (isAbort(problem)) return;
      if (!(problem instanceof Problem)) throw problem;
      trouble.set(problem.message);
    }
  }

  function fill(list, queue) {
    const eta = queue.estimated_wait_time_seconds;
    tiles.running.set(number(queue.running), queue.paused ? `${number(queue.paused)} paused` : "");
    tiles.pending.set(number(queue.pending), queue.queued_units ? `${plural(queue.queued_units, "unit")} in the fleet’s queue` : "");
    tiles.completed.set(number(queue.completed), queue.failed ? `${number(queue.failed)} failed` : "");
    tiles.wait.set(eta === null ? "Unknown" : eta < 1 ? "No wait" : duration(eta), eta === null ? "no slot serves right now" : "");
    rows.set(list.tasks);
    show(wait, false);
    show(none, !list.tasks.length);
    show(table, list.tasks.length > 0);
    show(pager, list.total > PAGE);
    say(range, `${number(offset + 1)}–${number(offset + list.tasks.length)} of ${number(list.total)}`);
    before.disabled = offset === 0;
    after.disabled = offset + PAGE >= list.total;
  }
}

const badgeWord = (state) => state.charAt(0).toUpperCase() + state.slice(1);

function taskRow(task, can, changed, trouble, signal) {
  const name = h("a", { class: "row-name", href: `#/tasks/${task.task_id}` });
  const about = h("span", { class: "row-about" });
  const state = badge();
  const place = h("span", { class: "row-about" });
  const cells = { leads: h("td", { class: "num", data: { label: "Leads" } }), pages: h("td", { class: "num", data: { label: "Pages" } }), started: h("td", { data: { label: "Started" } }), took: h("td", { class: "num", data: { label: "Duration" } }) };
  const doing = can("tasks:write") ? actions({ bare: true, changed, failed: trouble.set, signal }) : null;
  const element = h("tr", {}, h("td", { class: "row-title" }, name, about), h("td", { class: "row-state" }, state.element, place), ...Object.values(cells), h("td", { class: "row-actions" }, doing?.element));
  return {
    element,
    update(now) {
      say(name, address(now.queries[0]) || now.task_id);
      const more = now.queries.length > 1 ? `and ${number(now.queries.length - 1)} more · ` : "";
      say(about, `${more}${now.platforms.join(", ")}`);
      state.set(now.status);
      say(place, now.status === "queued" && now.queue_position !== null ? (now.queue_position ? `${plural(now.queue_position, "unit")} ahead` : "next in line") : now.status === "error" ? (now.error ?? "") : "");
      say(cells.leads, number(now.total_results));
      say(cells.pages, number(now.pages));
      say(cells.started, now.started_at ? ago(now.started_at) : "not yet");
      say(cells.took, duration(now.duration_seconds));
      doing?.update(now);
    },
  };
}
