/** Parts that several views share: icons, badges, notices, empty states, dialogs. */

import { h, say, show } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  tasks: "M4 6h2m3 0h11M4 12h2m3 0h11M4 18h2m3 0h11",
  leads: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm-7.5 8c.8-3.6 3.7-5.5 7.5-5.5s6.7 1.9 7.5 5.5",
  exports: "M12 4v11m-4-4 4 4 4-4M5 19h14",
  fleet: "M4 5h16v5H4zm0 9h16v5H4zM7.5 7.5h.01M7.5 16.5h.01",
  health: "M3 12h4l2.5-6 4.5 12 2.5-6H21",
  plus: "M12 5v14M5 12h14",
  pause: "M8.5 5.5v13m7-13v13",
  play: "M8 5.5v13l10.5-6.5z",
  stop: "M6.5 6.5h11v11h-11z",
  close: "M6 6l12 12M18 6 6 18",
  back: "M14 6l-6 6 6 6",
  next: "M10 6l6 6-6 6",
  full: "M4 9V4h5m6 0h5v5m0 6v5h-5m-6 0H4v-5",
  wheel: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-7a2 2 0 1 0 0-4 2 2 0 0 0 0 4Zm-2-2H3.2m10.8 0h6.8M12 14v7",
  phone: "M6 4h3l1.5 4.5-2 1.5a11 11 0 0 0 5.5 5.5l1.5-2L20 15v3a2 2 0 0 1-2 2A14 14 0 0 1 4 6a2 2 0 0 1 2-2Z",
  out: "M10 5H5v14h5m4-10 3 3-3 3m3-3H9",
  filter: "M4 6h16M7 12h10m-7 6h4",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm5-2 4 4",
};

/** A drawing beside words; by itself it says nothing. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", "aria-hidden": "true", class: `icon icon-${name}` })) {
    svg.setAttribute(key, value);
  }
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon; `label` is what it is called, shown unless `bare`. */
export function button(label, { icon: drawing, kind = "", bare = false, ...props } = {}) {
  return h(
    "button",
    { type: "button", class: `button ${kind}${bare ? " bare" : ""}`, "aria-label": bare ? label : null, title: bare ? label : null, ...props },
    drawing && icon(drawing),
    bare ? null : h("span", {}, label),
  );
}

/** A link that looks like a button. */
export function buttonLink(label, href, { icon: drawing, kind = "", ...props } = {}) {
  return h("a", { class: `button ${kind}`, href, ...props }, drawing && icon(drawing), h("span", {}, label));
}

const TONES = {
  running: "live", up: "good", ready: "good", completed: "good", valid: "good", healthy: "good", hot: "good",
  queued: "wait", pending: "wait", paused: "wait", warm: "wait", possible: "wait", draining: "wait", degraded: "wait",
  error: "bad", failed: "bad", down: "bad", invalid: "bad", unhealthy: "bad", stalled: "bad",
  leased: "live", releasing: "wait", broken: "bad", open: "good", retrying: "wait", connecting: "wait",
};

/** A state as a coloured word; `set(word)` changes it. */
export function badge(word = "", label = word) {
  const element = h("span", { class: "badge" });
  const set = (state, text = state) => {
    element.dataset.tone = TONES[state] ?? "plain";
    say(element, text);
  };
  set(word, label);
  return { element, set };
}

/** A number under its name. */
export function tile(name, note = "") {
  const value = h("dd", { class: "tile-value" }, "–");
  const below = h("dd", { class: "tile-note" }, note);
  const element = h("div", { class: "tile" }, h("dt", {}, name), value, below);
  const set = (text, more = note) => {
    say(value, text);
    say(below, more);
  };
  return { element, set };
}

/** A place for what went wrong: it is there, empty, from the start, so that screen readers hear of changes. */
export function notice() {
  const element = h("div", { class: "notice", role: "status", hidden: true });
  const set = (text, kind = "bad") => {
    element.dataset.kind = kind;
    say(element, text);
    show(element, Boolean(text));
  };
  return { element, set };
}

/** What stands where a list would, if there is nothing in it. */
export function empty(title, text, ...actions) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), h("p", {}, text), ...actions);
}

/** Grey lines of the size of what is being loaded. */
export function loading(lines = 4) {
  return h(
    "div",
    { class: "loading", role: "status", "aria-label": "Loading" },
    ...Array.from({ length: lines }, () => h("span", { class: "bone" })),
  );
}

/** The head of a view: its title, which takes the focus when the view opens, and what can be done. */
export function heading(title, ...actions) {
  const name = h("h1", { tabIndex: -1 }, title);
  return { element: h("header", { class: "head" }, name, h("div", { class: "actions" }, ...actions)), name };
}

/**
 * A modal dialog over the page. `build(close)` returns its content; the promise resolves to what `close` was given, or
 * null when it was left, or when `signal` aborts.
 */
export function dialog(title, build, { signal, wide = false } = {}) {
  return new Promise((resolve) => {
    const name = h("h2", { id: "dialog-title" }, title);
    const element = h("dialog", { class: wide ? "dialog wide" : "dialog", "aria-labelledby": "dialog-title" });
    let result = null;
    const close = (value = null) => {
      result = value;
      element.close();
    };
    const leave = () => close();
    signal?.addEventListener("abort", leave);
    element.append(
      h("header", { class: "dialog-head" }, name, button("Close", { icon: "close", bare: true, on: { click: leave } })),
      ...[build(close)].flat(),
    );
    element.addEventListener("click", ({ target, clientX: x, clientY: y }) => {
      const { left, top, right, bottom } = element.getBoundingClientRect();
      if (target === element && (x < left || x > right || y < top || y > bottom)) close(); // on the backdrop
    });
    element.addEventListener("close", () => {
      signal?.removeEventListener("abort", leave);
      element.remove();
      resolve(result);
    });
    document.body.append(element);
    element.showModal();
  });
}

/** Asks before something that cannot be undone; resolves to whether to go on. */
export async function confirmed(title, text, action, signal) {
  const answer = await dialog(
    title,
    (close) => [
      h("p", {}, text),
      h(
        "footer",
        { class: "dialog-foot" },
        button("Cancel", { autofocus: true, on: { click: () => close() } }),
        button(action, { kind: "danger", on: { click: () => close(true) } }),
      ),
    ],
    { signal },
  );
  return answer === true;
}
