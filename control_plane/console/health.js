/** Whether the control plane and what it leans on are well. */

import { Problem, call, isAbort } from "./api.js";
import { Rows, every, h, say, show } from "./dom.js";
import { words } from "./format.js";
import { badge, heading, loading, notice } from "./parts.js";

const POLL_S = 3;
const NOT_WELL = 503;
const ABOUT = {
  valkey: ["Valkey", "Queue, leases and streams"],
  nodes: ["Browser nodes", "They visit the pages"],
  leads: ["Leads store", "Filters and exports read it"],
  enrichment: ["Enrichment", "A model that judges leads, where one is set"],
  storage: ["Object storage", "Leads and exports lie in it"],
  dispatch: ["Dispatch", "Units find the slots that are free for them"],
};
const SENTENCES = {
  healthy: "Everything works.",
  degraded: "Something is missing. What runs goes on as far as it can.",
  unhealthy: "The fleet cannot work right now.",
};

export function showHealth(view, { signal }) {
  const trouble = notice();
  const state = badge();
  const sentence = h("p", { class: "health-sentence" });
  const replica = h("p", { class: "muted" });
  const wait = loading(6);
  const list = h("ul", { class: "components" });
  const overall = h("section", { class: "card health-overall", hidden: true, role: "status" }, state.element, h("div", {}, sentence, replica));
  view.append(heading("Health", h("a", { class: "button", href: "/docs" }, "API description")).element, trouble.element, overall, wait, list);

  const rows = new Rows(list, ([name]) => name, componentCard);
  every(
    POLL_S,
    async () => {
      try {
        const health = await call("GET", "/api/health", { signal, accept: [NOT_WELL] });
        trouble.set("");
        overall.dataset.status = health.status;
        state.set(health.status, words(health.status));
        say(sentence, SENTENCES[health.status]);
        say(replica, `Told by replica ${health.replica}`);
        rows.set(Object.entries(health.components));
        show(overall, true);
        show(wait, false);
      } catch (problem) {
        if (isAbort(problem)) return;
        if (!(problem instanceof Problem)) throw problem;
        trouble.set(problem.message);
      }
    },
    signal,
  );
}

function componentCard([name]) {
  const [label, about] = ABOUT[name] ?? [words(name), ""];
  const state = badge();
  const more = h("p", { class: "muted" });
  const element = h("li", { class: "card component" }, h("div", { class: "component-head" }, h("h2", {}, label), state.element), h("p", { class: "hint" }, about), more);
  return {
    element,
    update([, component]) {
      state.set(component.status, words(component.status));
      const rest = Object.entries(component).filter(([key, value]) => key !== "status" && ["string", "number"].includes(typeof value));
      say(more, rest.map(([key, value]) => (key === "ms" ? `answers in ${value} ms` : key === "up" ? `${value} up` : `${words(key)}: ${value}`)).join(" · "));
    },
  };
}
