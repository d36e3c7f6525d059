/** Taking the wheel of a task's browser, holding it, and giving it back. See docs/decisions/0014-takeover.md. */

import { Problem, get, isAbort } from "./api.js";
import { h, say, show } from "./dom.js";
import { duration } from "./format.js";
import { LEAVE_CHORD, bindHand } from "./hand.js";
import { button } from "./parts.js";

const PING_MS = 10_000;
const SILENCE_MS = 25_000;
const LAST_CALL_S = 60;
const [CLOSED_BY_US, ENDED, LIMIT, TAKEN, REVOKED] = [1000, 4000, 4008, 4009, 1008];

const REFUSALS = {
  held: "Somebody else has the wheel. Try again when they have left.",
  no_browser: "No browser works on this task right now. Try again in a moment.",
  free: "The wheel is free, and could not be had: something may block WebSockets.",
};

/**
 * `elements` are for the bar below the picture; `offer(can)` says whether there is something to steer. The person steers on
 * `canvas`, which lies in `stage`; `at(x, y)` says which point of the picture one of the window is. `changed(state)` hears
 * of `free`, `asking` and `held`, `trouble(text, kind)` why the wheel was refused or lost. Ends with `signal`.
 */
export class Wheel {
  #options;
  #take = button("Take the wheel", { icon: "wheel", kind: "small wheel-take", hidden: true, on: { click: () => this.#ask() } });
  #give = button("Give it back", { kind: "small primary", hidden: true, on: { click: () => this.#leave() } });
  #said = h("span", { class: "wheel-said", role: "status" });
  #left = h("span", { class: "wheel-left" });
  #whose = h("span", {});
  #hint = h("span", { class: "wheel-hint", hidden: true }, this.#whose, h("kbd", {}, LEAVE_CHORD), " gives the wheel back.");
  #field;
  #socket = null;
  #binding = null; // ends with the hold
  #offered = false;
  #state = "free";
  #until = 0;
  #limit = 0;
  #heard = 0;
  #asked = 0;

  constructor(options) {
    this.#options = options;
    this.#field = h("textarea", {
      class: "wheel-field",
      "aria-label": `Keys typed here go to the page in the picture. ${LEAVE_CHORD.replaceAll("+", " ")} gives the wheel back.`,
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      hidden: true,
    });
    options.stage.append(this.#field);
    this.#field.addEventListener("focus", () => say(this.#whose, "Keys you press go to the page, Tab and Escape too. "));
    this.#field.addEventListener("blur", () => say(this.#whose, "Press on the picture to type into the page. "));
    this.elements = [this.#said, this.#left, this.#hint, this.#take, this.#give];
    const clock = setInterval(() => this.#tick(), 1000);
    options.signal.addEventListener("abort", () => {
      clearInterval(clock);
      this.#leave();
    });
  }

  /** Has keys go to the page, if the wheel is held. */
  focus() {
    if (this.#state === "held") this.#field.focus({ preventScroll: true });
  }

  offer(can) {
    this.#offered = can;
    if (!can) this.#leave();
    this.#show();
  }

  #ask() {
    const { task, trouble } = this.#options;
    trouble("");
    const url = new URL(`/api/scraper/ws/control/${encodeURIComponent(task)}`, location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.#socket = new WebSocket(url));
    let held = false;
    this.#turn("asking");
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      this.#heard = performance.now();
      const told = JSON.parse(data);
      if (told.type !== "connected") return;
      held = true;
      this.#hold(told.limit_s);
    });
    socket.addEventListener("close", ({ code }) => {
      if (socket !== this.#socket) return;
      this.#end();
      if (held) trouble(this.#loss(code), code === LIMIT || code === ENDED ? "wait" : "bad");
      else this.#explain();
    });
  }

  #hold(seconds) {
    const { canvas, at, signal } = this.#options;
    this.#limit = seconds;
    this.#until = performance.now() + seconds * 1000;
    this.#asked = performance.now();
    this.#turn("held");
    this.#binding = new AbortController();
    bindHand({
      canvas,
      at,
      field: this.#field,
      say: (message) => this.#socket?.readyState === WebSocket.OPEN && this.#socket.send(JSON.stringify(message)),
      leave: () => this.#leave(),
      signal: AbortSignal.any([signal, this.#binding.signal]),
    });
    this.focus();
  }

  /** Gives it back. */
  #leave() {
    const socket = this.#socket;
    if (!socket) return;
    this.#binding?.abort(); // before the socket goes: what is pressed is let go of
    this.#socket = null;
    socket.close(CLOSED_BY_US);
    this.#end();
  }

  #end() {
    this.#socket = null;
    this.#binding?.abort();
    this.#binding = null;
    const here = this.#options.stage.parentElement;
    const focused = here?.contains(document.activeElement);
    this.#turn("free");
    if (focused && !this.#take.hidden) this.#take.focus({ preventScroll: true });
  }

  #loss(code) {
    if (code === ENDED) return "The task has ended, and the wheel with it.";
    if (code === LIMIT) return `The wheel may be held for ${duration(this.#limit)} at a time. The unit goes on; take the wheel again if you need it.`;
    if (code === TAKEN) return "The wheel is not yours any more: somebody else has it.";
    if (code === REVOKED) return "Your API key was revoked.";
    return "The connection was lost, and the wheel with it. The unit goes on; take the wheel again if you need it.";
  }

  /** A browser does not say why a WebSocket was refused: asking does. */
  async #explain() {
    const { task, trouble, signal } = this.#options;
    try {
      const { state, detail } = await get(`/api/scraper/control/${encodeURIComponent(task)}`, signal);
      trouble(REFUSALS[state] ?? detail, "wait");
    } catch (problem) {
      if (isAbort(problem)) return;
      if (!(problem instanceof Problem)) throw problem;
      trouble(`The wheel could not be had: ${problem.message}`);
    }
  }

  #turn(state) {
    this.#state = state;
    this.#show();
    this.#tick();
    this.#options.changed(state);
  }

  #show() {
    const held = this.#state === "held";
    show(this.#take, this.#offered && !held);
    this.#take.disabled = this.#state === "asking";
    for (const element of [this.#give, this.#hint, this.#left, this.#field]) show(element, held);
    if (!held) say(this.#said, this.#state === "asking" ? "Taking the wheel …" : "");
  }

  /** The time that is left is shown every second and told to screen readers once, when it gets short. */
  #tick() {
    if (this.#state !== "held") return;
    const now = performance.now();
    const left = Math.max(0, Math.ceil((this.#until - now) / 1000));
    say(this.#said, left <= LAST_CALL_S && this.#limit > LAST_CALL_S ? "You have the wheel, for less than a minute" : "You have the wheel");
    say(this.#left, `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")} left`);
    if (now - this.#heard > SILENCE_MS) {
      const socket = this.#socket;
      this.#end();
      socket?.close();
      this.#options.trouble(this.#loss(0));
    } else if (now - this.#asked > PING_MS) {
      this.#asked = now;
      if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send("ping");
    }
  }
}
