/** Who is there, and which view the address asks for. */

import { Problem, SIGNED_OUT, get, post } from "./api.js";
import { h, say } from "./dom.js";
import { showExports } from "./exports.js";
import { showFleet } from "./fleet.js";
import { showHealth } from "./health.js";
import { showLeads } from "./leads.js";
import { button, icon } from "./parts.js";
import { showSignIn } from "./signin.js";
import { showStart } from "./start.js";
import { showTask } from "./task.js";
import { showTasks } from "./tasks.js";

const PLACES = [
  { name: "tasks", label: "Tasks", scope: "tasks:read", show: showTasks },
  { name: "leads", label: "Leads", scope: "leads:read", show: showLeads },
  { name: "exports", label: "Exports", scope: "exports:read", show: showExports },
  { name: "fleet", label: "Fleet", scope: "fleet:read", show: showFleet },
  { name: "health", label: "Health", scope: null, show: showHealth },
];

const root = document.getElementById("app");
let session = null;

/** Views get `(main, {rest, query, signal, can, title})` and end all they began when `signal` aborts. */
class Session {
  #view = new AbortController();
  #life = new AbortController();
  #links = new Map();
  #main = h("main", { id: "main", class: "main" });
  #scopes;

  constructor(me) {
    this.#scopes = new Set(me.scopes);
    const links = PLACES.filter((place) => this.#can(place.scope)).map((place) => {
      const link = h("a", { href: `#/${place.name}` }, icon(place.name), h("span", {}, place.label));
      this.#links.set(place.name, link);
      return h("li", {}, link);
    });
    root.replaceChildren(
      h("a", { class: "skip", href: "#main", on: { click: (event) => this.#skip(event) } }, "Skip to content"),
      h(
        "div",
        { class: "shell" },
        h(
          "aside",
          { class: "side" },
          h("a", { class: "brand", href: "#/tasks" }, h("img", { src: "/console/icon.svg", alt: "", width: "28", height: "28" }), h("span", {}, "Leadfleet")),
          h("nav", { "aria-label": "Console" }, h("ul", {}, ...links)),
          h(
            "div",
            { class: "who" },
            h("span", { class: "who-name", title: "tenant" }, me.tenant),
            button("Sign out", { icon: "out", bare: true, on: { click: () => this.#leave() } }),
          ),
        ),
        this.#main,
      ),
    );
    window.addEventListener("hashchange", () => this.#go(), { signal: this.#life.signal });
    window.addEventListener(SIGNED_OUT, () => signedOut("Your session has ended. Sign in again to go on."), { signal: this.#life.signal });
    this.#go();
  }

  end() {
    this.#life.abort();
    this.#view.abort();
  }

  #can(scope) {
    return scope === null || this.#scopes.has(scope);
  }

  #go() {
    this.#view.abort();
    this.#view = new AbortController();
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    const [name, ...rest] = path.split("/").map(decoded);
    const place = PLACES.find((each) => each.name === (name || "tasks")) ?? PLACES[0];
    for (const [each, link] of this.#links) {
      if (each === place.name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const shown = place.name !== "tasks" || !rest.length ? place.show : rest[0] === "new" ? showStart : showTask;
    const view = h("div", { class: `view view-${place.name}` });
    this.#main.replaceChildren(view);
    const said = {
      rest,
      query: new URLSearchParams(query),
      signal: this.#view.signal,
      can: (scope) => this.#can(scope),
      title: (text) => say(document.head.querySelector("title"), `${text} · Leadfleet`),
    };
    said.title(place.label);
    shown(view, said);
    window.scrollTo(0, 0);
    view.querySelector("h1")?.focus({ preventScroll: true });
  }

  #skip(event) {
    event.preventDefault();
    this.#main.querySelector("h1")?.focus();
  }

  async #leave() {
    try {
      await post("/api/auth/logout");
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
    }
    signedOut("You are signed out.");
  }
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // an address that somebody mistyped names nothing
  }
}

function signedOut(reason) {
  session?.end();
  session = null;
  for (const open of document.querySelectorAll("dialog")) open.remove();
  showSignIn(root, reason, begin);
}

async function begin() {
  try {
    session = new Session(await get("/api/auth/me"));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) signedOut("");
    else showUnreachable(problem);
  }
}

function showUnreachable(problem) {
  const again = button("Try again", { kind: "primary", on: { click: begin } });
  root.replaceChildren(h("main", { class: "signin" }, h("div", { class: "card signin-card" }, h("h1", {}, "Leadfleet does not answer"), h("p", { role: "alert" }, problem.message), again)));
  again.focus();
}

begin();
