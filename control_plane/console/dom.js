/** Building the page node by node. Nothing here takes markup: what was scraped is only ever text. */

/**
 * An element. `props` may hold `class`, `data` (an object), `on` (listeners by event), properties of the element and
 * attributes; null and false leave one out. Children are nodes or text; null and false are left out.
 */
export function h(name, props = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") element.className = value;
    else if (key === "data") Object.assign(element.dataset, value);
    else if (key === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (key in element && !key.includes("-") && typeof value !== "string") element[key] = value;
    else if (key === "value") element.value = value;
    else element.setAttribute(key === "htmlFor" ? "for" : key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets what an element says, if it is not what it says already: an unchanged node is not announced again. */
export function say(element, text) {
  const words = text ?? "";
  if (element.textContent !== String(words)) element.textContent = words;
}

/** Shows or hides. */
export function show(element, shown) {
  element.hidden = !shown;
}

/**
 * The children of an element as a list of items that changes: each item keeps its element, and with it focus and
 * selection, for as long as it is in the list.
 */
export class Rows {
  #parent;
  #key;
  #make;
  #rows = new Map();

  /** `make(item)` returns `{element, update(item)}`. */
  constructor(parent, key, make) {
    this.#parent = parent;
    this.#key = key;
    this.#make = make;
  }

  set(items) {
    const old = this.#rows;
    this.#rows = new Map();
    let next = this.#parent.firstElementChild;
    for (const item of items) {
      const key = this.#key(item);
      const row = old.get(key) ?? this.#make(item);
      old.delete(key);
      row.update(item);
      this.#rows.set(key, row);
      if (row.element === next) next = next.nextElementSibling;
      else this.#parent.insertBefore(row.element, next);
    }
    for (const row of old.values()) row.element.remove();
  }
}

/**
 * Runs `step` now and `seconds` after it has ended, while the page is looked at, until `signal` aborts. Returns a
 * function that runs it at once.
 */
export function every(seconds, step, signal) {
  let timer = 0;
  let busy = false;
  let again = false;
  const run = async () => {
    clearTimeout(timer);
    if (signal.aborted || document.hidden) return;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    try {
      await step();
    } finally {
      busy = false;
    }
    if (signal.aborted) return;
    timer = setTimeout(run, again ? 0 : seconds * 1000);
    again = false;
  };
  document.addEventListener("visibilitychange", run, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  run();
  return run;
}
