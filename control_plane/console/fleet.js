/** Browser nodes and their slots; draining a node. */

import { Problem, get, isAbort, post } from "./api.js";
import { Rows, every, h, say, show } from "./dom.js";
import { address, ago, number, plural, words } from "./format.js";
import { badge, button, confirmed, empty, heading, loading, notice, tile } from "./parts.js";

const POLL_S = 2;
const NODES = 50;
const SLOTS = 500;

export function showFleet(view, { signal, can }) {
  const tiles = { nodes: tile("Nodes up"), slots: tile("Slots"), busy: tile("Busy"), free: tile("Free") };
  const trouble = notice();
  const wait = loading(6);
  const none = empty("No browser node is known", "Start one with “leadfleet up” or the node’s image: it joins by itself and is listed here.");
  const list = h("div", { class: "nodes" });
  const more = h("p", { class: "muted" });
  show(none, false);
  view.append(heading("Fleet").element, h("dl", { class: "tiles" }, ...Object.values(tiles).map((each) => each.element)), trouble.element, wait, none, list, more);

  const failed = (problem) => {
    if (isAbort(problem)) return;
    if (!(problem instanceof Problem)) throw problem;
    trouble.set(problem.message);
  };
  const drain = async (node) => {
    const sure = await confirmed(`Drain ${node}?`, "It takes no new work, finishes or hands back what runs, and leaves the fleet.", "Drain node", signal);
    if (!sure) return;
    try {
      await post(`/api/fleet/nodes/${encodeURIComponent(node)}/drain`);
      refresh();
    } catch (problem) {
      failed(problem);
    }
  };
  const rows = new Rows(list, ({ node }) => node.node_id, () => nodeCard(can("fleet:write") ? drain : null));
  const refresh = every(POLL_S, load, signal);

  async function load() {
    try {
      const [{ nodes, next_cursor: rest }, { slots }] = await Promise.all([get(`/api/fleet/nodes?limit=${NODES}`, signal), get(`/api/fleet/slots?limit=${SLOTS}`, signal)]);
      trouble.set("");
      const count = (states) => slots.filter(({ state }) => states.includes(state)).length;
      const out = count(["broken", "down"]);
      tiles.nodes.set(number(nodes.filter(({ state }) => state === "up").length), nodes.length ? `of ${number(nodes.length)}${rest ? "+" : ""} known` : "");
      tiles.slots.set(number(slots.length), out ? `${number(out)} out of order` : "");
      tiles.free.set(number(count(["free"])));
      tiles.busy.set(number(count(["leased", "releasing"])));
      const byNode = grouped(slots);
      rows.set(nodes.map((node) => ({ node, slots: byNode.get(node.node_id) ?? [] })));
      show(wait, false);
      show(none, !nodes.length);
      say(more, rest ? `The first ${plural(NODES, "node")} are shown. The API lists all: GET /api/fleet/nodes.` : "");
    } catch (problem) {
      failed(problem);
    }
  }
}

function grouped(slots) {
  const groups = new Map();
  for (const slot of slots) groups.set(slot.node_id, [...(groups.get(slot.node_id) ?? []), slot]);
  return groups;
}

function nodeCard(drain) {
  const name = h("h2", {});
  const state = badge();
  const about = h("p", { class: "muted" });
  const list = h("ul", { class: "slots" });
  let id = "";
  const leave = drain && button("Drain", { kind: "small quiet-danger", on: { click: () => drain(id) } });
  const rows = new Rows(list, (slot) => slot.slot_id, slotCard);
  const element = h("section", { class: "card node" }, h("header", { class: "node-head" }, name, state.element, leave), about, list);
  return {
    element,
    update({ node, slots }) {
      id = node.node_id;
      say(name, id);
      state.set(node.state);
      leave?.setAttribute("aria-label", `Drain ${id}`);
      if (leave) leave.disabled = node.state !== "up";
      say(about, [node.browser, `version ${node.version}`, node.labels.join(", "), node.sandbox && `sandbox ${node.sandbox}`, `heard ${ago(node.last_heard_at)}`].filter(Boolean).join(" · "));
      rows.set(slots);
    },
  };
}

function slotCard(slot) {
  const state = badge();
  const work = h("a", { class: "slot-work" });
  const element = h("li", { class: "slot" }, h("span", { class: "slot-name" }, `Slot ${slot.index + 1}`), state.element, work);
  return {
    element,
    update(now) {
      element.dataset.state = now.state;
      state.set(now.state, words(now.state));
      show(work, Boolean(now.task_id));
      if (now.task_id) work.setAttribute("href", `#/tasks/${now.task_id}`);
      say(work, address(now.current) || now.task_id || "");
    },
  };
}
