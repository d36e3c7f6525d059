/** All leads of the tenant, or of one task: filters with counts, sorting, pages, and the way to an export. */

import { Problem, isAbort, post } from "./api.js";
import { h, say, show } from "./dom.js";
import { exportDialog } from "./exports.js";
import { FACETS, Filters, readFilters, writeFilters } from "./filters.js";
import { address, ago, number, webAddress } from "./format.js";
import { nameOf, showLead, whole } from "./lead.js";
import { button, buttonLink, empty, heading, loading, notice } from "./parts.js";

const PAGE = 50;
const SORTS = {
  "-last_seen_at": "Seen last", "-score": "Best score", name: "Name", city: "City", "-rating": "Best rating",
  "-review_count": "Most reviews", "-fit": "Best fit", "-first_seen_at": "Newest",
};
const COLUMNS = [
  { label: "Name", sort: ["name", "-name"] },
  { label: "Phone" },
  { label: "E-mail" },
  { label: "City", sort: ["city", "-city"] },
  { label: "Score", sort: ["-score", "score"] },
  { label: "Seen", sort: ["-last_seen_at", "last_seen_at"] },
];

export function showLeads(view, { query, signal, can }) {
  const chosen = readFilters(query);
  let sort = query.get("sort") ?? "-last_seen_at";
  let cursors = [null];
  let asking = new AbortController();
  let total = 0;
  let following = null;
  signal.addEventListener("abort", () => asking.abort());

  const exporting = can("exports:write") && button("Export", { icon: "exports", kind: "primary", disabled: true, on: { click: () => exportDialog(whereOf(chosen), total, signal) } });
  const trouble = notice();
  const count = h("p", { class: "result-count", role: "status" });
  const sorting = h("select", { id: "sort", on: { change: () => resort(sorting.value) } }, ...Object.entries(SORTS).map(([value, label]) => h("option", { value }, label)));
  const heads = COLUMNS.map(({ label, sort: orders }) => h("th", { scope: "col" }, orders ? h("button", { type: "button", class: "sorter", on: { click: () => resort(orders[0] === sort ? orders[1] : orders[0]) } }, label) : label));
  const body = h("tbody");
  const table = h("table", { class: "table leads" }, h("caption", { class: "unseen" }, "Leads"), h("thead", {}, h("tr", {}, ...heads)), body);
  const wait = loading(8);
  const none = empty("No lead matches", "Take a filter away, or start a task that finds more.", button("Clear filters", { on: { click: () => filters.clear() } }));
  const nothing = empty("No leads yet", "They appear here as soon as a task has found some.", can("tasks:write") && buttonLink("Start a task", "#/tasks/new", { icon: "plus", kind: "primary" }));
  const range = h("span", { class: "muted" });
  const before = button("Previous", { icon: "back", on: { click: () => turn(-1) } });
  const after = button("Next", { icon: "next", kind: "trailing", on: { click: () => turn(1) } });
  const pager = h("nav", { class: "pager", "aria-label": "Pages of leads" }, range, before, after);
  for (const each of [table, none, nothing, pager]) show(each, false);

  const filters = new Filters(chosen, () => changed());
  const opener = button("Filters", { icon: "filter", kind: "filters-opener", "aria-expanded": "false", "aria-controls": "filters", on: { click: () => filters.toggle(opener) } });
  view.append(
    heading("Leads", exporting).element,
    h(
      "div",
      { class: "leads-grid" },
      filters.element,
      h(
        "div",
        { class: "leads-main" },
        h("div", { class: "result-bar" }, opener, count, h("span", { class: "sorting" }, h("label", { class: "muted", htmlFor: "sort" }, "Sort"), sorting)),
        trouble.element,
        h("div", { class: "card flush results" }, wait, none, nothing, table, pager),
      ),
    ),
  );
  changed();

  function changed() {
    cursors = [null];
    load({ counting: true });
  }

  function resort(to) {
    sort = to;
    cursors = [null];
    load({ counting: false });
  }

  function turn(by) {
    if (by < 0) cursors.pop();
    else cursors.push(following);
    load({ counting: false }).then(() => table.scrollIntoView({ block: "nearest" }));
  }

  async function load({ counting }) {
    asking.abort();
    asking = new AbortController();
    const { signal: current } = asking;
    if (!(sort in SORTS)) sorting.value = "";
    else sorting.value = sort;
    history.replaceState(null, "", `#/leads?${writeFilters(chosen, sort)}`);
    table.setAttribute("aria-busy", "true");
    const where = whereOf(chosen);
    const page = { where, sort: [sort], limit: PAGE, ...(cursors.at(-1) ? { cursor: cursors.at(-1) } : {}) };
    try {
      const [found, facets] = await Promise.all([
        post("/api/filters/leads", page, { signal: current }),
        counting ? post("/api/filters/facets", { where, fields: FACETS.map(({ name }) => name), limit: 8 }, { signal: current }) : null,
      ]);
      trouble.set("");
      if (facets) filters.fill(facets.facets);
      fill(found);
    } catch (problem) {
      if (isAbort(problem)) return;
      if (!(problem instanceof Problem)) throw problem;
      trouble.set(problem.message);
      show(wait, false);
    }
    table.removeAttribute("aria-busy");
  }

  function fill(found) {
    total = found.total;
    const first = (cursors.length - 1) * PAGE;
    body.replaceChildren(...found.items.map((lead) => leadRow(whole(lead), signal)));
    say(count, `${number(total)} ${total === 1 ? "lead" : "leads"} · ${number(Math.round(found.took_ms))} ms`);
    show(wait, false);
    const filtered = Object.keys(whereOf(chosen)).length > 0;
    show(none, !total && filtered);
    show(nothing, !total && !filtered);
    show(table, total > 0);
    show(pager, total > PAGE);
    say(range, `${number(first + 1)}–${number(first + found.items.length)} of ${number(total)}`);
    before.disabled = cursors.length === 1;
    following = found.next_cursor;
    after.disabled = !following;
    if (exporting) exporting.disabled = !total;
    for (const [index, { sort: orders }] of COLUMNS.entries()) {
      const at = orders?.indexOf(sort) ?? -1;
      if (at < 0) heads[index].removeAttribute("aria-sort");
      else heads[index].setAttribute("aria-sort", sort.startsWith("-") ? "descending" : "ascending");
    }
  }
}

/** The API's `where` of what is chosen. */
function whereOf(chosen) {
  const where = {};
  for (const [name, value] of Object.entries(chosen)) {
    if (Array.isArray(value) ? value.length : value !== "" && value !== false) where[name] = value;
  }
  return where;
}

function leadRow(lead, signal) {
  const [phone] = lead.phones;
  const more = lead.phones.length > 1 && h("span", { class: "muted" }, ` +${lead.phones.length - 1}`);
  const nothing = () => h("span", { class: "muted nothing" }, "–");
  const name = nameOf(lead);
  const site = webAddress(lead.website);
  return h(
    "tr",
    {},
    h(
      "td",
      { class: "row-title" },
      h("button", { type: "button", class: "row-name", on: { click: () => showLead(lead.lead_id, name, signal) } }, name),
      site ? h("a", { class: "row-about", href: site, rel: "noopener noreferrer", target: "_blank" }, address(lead.website)) : h("span", { class: "row-about" }, lead.categories[0] ?? ""),
    ),
    h("td", { data: { label: "Phone" } }, phone ? h("span", {}, h("span", { class: "phone-number", data: { validity: phone.validation_status }, title: phone.validation_status }, phone.international ?? phone.raw), more) : nothing()),
    h("td", { class: "row-mail", data: { label: "E-mail" } }, lead.emails[0] ?? nothing()),
    h("td", { data: { label: "City" } }, [lead.address?.city, lead.address?.country].filter(Boolean).join(", ") || nothing()),
    h("td", { data: { label: "Score" } }, h("span", { class: "score", data: { band: lead.score_band ?? "cold" } }, number(lead.score))),
    h("td", { class: "muted", data: { label: "Seen" } }, ago(lead.last_seen_at)),
  );
}
