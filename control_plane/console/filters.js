/** The filters of the leads view: what is chosen, as the address keeps it and as controls with counts show it. */

import { h, show } from "./dom.js";
import { number, words } from "./format.js";
import { button, loading } from "./parts.js";

const TYPING_MS = 250;

/** Facets that are counted, in the order in which they are shown. */
export const FACETS = [
  { name: "score_band", label: "Score" },
  { name: "phone_validity", label: "Phone" },
  { name: "city", label: "City" },
  { name: "category", label: "Category" },
  { name: "country", label: "Country" },
  { name: "platform", label: "Source" },
];

const TEXTS = ["q", "task_id", "score_min", "date_from", "date_to"];
const SWITCHES = { has_phone: "Has a phone", has_email: "Has an e-mail", has_website: "Has a website" };

/** What an address asks for: texts, switches, and lists of values by facet. */
export function readFilters(query) {
  return {
    ...Object.fromEntries(TEXTS.map((name) => [name, query.get(name) ?? ""])),
    ...Object.fromEntries(Object.keys(SWITCHES).map((name) => [name, query.get(name) === "true"])),
    ...Object.fromEntries(FACETS.map(({ name }) => [name, query.getAll(name)])),
  };
}

/** The query of an address that asks for the same. */
export function writeFilters(chosen, sort) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(chosen)) {
    for (const each of [value].flat()) if (each !== "" && each !== false) query.append(name, each);
  }
  query.set("sort", sort);
  return query;
}

/** The controls. They change `chosen` and call `changed()`. */
export class Filters {
  #chosen;
  #changed;
  #lists = new Map();
  #inputs = new Map();
  #task;
  #timer = 0;
  #wait = loading(9);
  #facets;

  constructor(chosen, changed) {
    this.#chosen = chosen;
    this.#changed = changed;
    const search = this.#input("q", "Search", { type: "search", placeholder: "Name, street or category" });
    this.#task = h("div", { class: "filter-task", hidden: !chosen.task_id }, h("span", {}, "One task only"), button("All tasks", { icon: "close", kind: "small", on: { click: () => this.#drop() } }));
    this.#facets = h("div", { class: "card" }, this.#wait, ...FACETS.map((facet) => this.#facet(facet)));
    this.element = h(
      "aside",
      { class: "filters", id: "filters", "aria-label": "Filters" },
      h("div", { class: "card" }, search, this.#task, h("fieldset", { class: "filter-group" }, h("legend", {}, "Contact"), ...Object.entries(SWITCHES).map(([name, label]) => this.#switch(name, label)))),
      this.#facets,
      h("div", { class: "card filter-ranges" }, this.#input("score_min", "Score at least", { type: "number", min: "0", max: "100", placeholder: "0" }), this.#input("date_from", "Seen from", { type: "date" }), this.#input("date_to", "Seen until", { type: "date" })),
      button("Clear filters", { kind: "wide", on: { click: () => this.clear() } }),
    );
  }

  /** Shows or hides the controls where there is no room for both them and the leads. */
  toggle(opener) {
    const open = this.element.classList.toggle("open");
    opener.setAttribute("aria-expanded", String(open));
  }

  clear() {
    for (const name of TEXTS) this.#chosen[name] = "";
    for (const name of Object.keys(SWITCHES)) this.#chosen[name] = false;
    for (const { name } of FACETS) this.#chosen[name] = [];
    for (const [name, input] of this.#inputs) {
      if (name in SWITCHES) input.checked = false;
      else input.value = "";
    }
    show(this.#task, false);
    this.#changed();
  }

  /** New counts by facet. What is chosen stays in the list although nothing may match it any more. */
  fill(facets) {
    show(this.#wait, false);
    let counting = false;
    for (const { name } of FACETS) {
      const { list, group } = this.#lists.get(name);
      const focused = list.contains(document.activeElement) ? document.activeElement.value : null;
      const counted = (facets[name] ?? []).filter(({ value }) => value !== null && value !== "");
      const missing = this.#chosen[name].filter((value) => !counted.some((each) => String(each.value) === value));
      const all = [...counted, ...missing.map((value) => ({ value, count: 0 }))];
      list.replaceChildren(...all.map(({ value, count }) => this.#option(name, String(value), count)));
      show(group, all.length > 0);
      counting ||= all.length > 0;
      if (focused !== null) [...list.querySelectorAll("input")].find(({ value }) => value === focused)?.focus();
    }
    show(this.#facets, counting); // without leads there is nothing to count
  }

  #facet({ name, label }) {
    const list = h("div", { class: "facet-list" });
    const group = h("fieldset", { class: "filter-group", hidden: true }, h("legend", {}, label), list);
    this.#lists.set(name, { list, group });
    return group;
  }

  #option(name, value, count) {
    const toggled = ({ target }) => {
      const others = this.#chosen[name].filter((each) => each !== value);
      this.#chosen[name] = target.checked ? [...others, value] : others;
      this.#changed();
    };
    const input = h("input", { type: "checkbox", value, checked: this.#chosen[name].includes(value), on: { change: toggled } });
    const label = ["score_band", "phone_validity", "platform"].includes(name) ? words(value) : value;
    return h("label", { class: "facet" }, input, h("span", { class: "facet-name" }, label), h("span", { class: "facet-count" }, number(count)));
  }

  #switch(name, label) {
    const input = h("input", { type: "checkbox", checked: this.#chosen[name], on: { change: () => this.#set(name, input.checked) } });
    this.#inputs.set(name, input);
    return h("label", { class: "facet" }, input, h("span", { class: "facet-name" }, label));
  }

  #input(name, label, props) {
    const typed = () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => input.checkValidity() && this.#set(name, input.value.trim()), TYPING_MS);
    };
    const input = h("input", { id: `filter-${name}`, value: this.#chosen[name], ...props, on: { input: typed } });
    this.#inputs.set(name, input);
    return h("div", { class: "field" }, h("label", { htmlFor: `filter-${name}` }, label), input);
  }

  #set(name, value) {
    if (this.#chosen[name] === value) return;
    this.#chosen[name] = value;
    this.#changed();
  }

  #drop() {
    show(this.#task, false);
    this.#set("task_id", "");
  }
}
