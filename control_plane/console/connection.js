/**
 * A WebSocket that comes back: exponential backoff with full jitter, a heartbeat, and a state to show. Where WebSockets are
 * blocked, Server-Sent Events.
 */

import { readEvents } from "./sse.js";

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;
const PING_MS = 10_000;
const SILENCE_MS = 25_000; // two pings and their pongs may be late
const OPEN_WITHIN_MS = 10_000; // of each way; a network may answer with nothing at all
const CLOSED_BY_US = 1000;
const BLOCKED_AFTER = 2; // sockets refused in a row while events came: none is tried again until the network changes

export class Connection {
  #options;
  #line = null; // a WebSocket, or what ends a stream of events
  #blocked = 0;
  #attempt = 0;
  #retryMs = 0;
  #timer = 0;
  #heard = 0;
  #wanted = false;

  /**
   * `url()` is asked anew for every attempt, and so is `events()`, if there are Server-Sent Events of the same; `onMessage(data)`
   * gets texts and Blobs; `onState(state, detail)` gets `connecting`, `open` (`{sse}`), `retrying` (`{attempt, delay}` in ms) and
   * `closed`. `check()` is awaited after an attempt that
   * failed before it was open, since a browser does not tell why: a rejection ends the connection. Ends with `signal`.
   */
  constructor(options) {
    this.#options = options;
    const { signal } = options;
    signal.addEventListener("abort", () => this.close());
    window.addEventListener("online", () => this.#newNetwork(), { signal });
    window.addEventListener("offline", () => this.#drop(), { signal });
    document.addEventListener("visibilitychange", () => this.#hurry(), { signal });
  }

  open() {
    if (this.#wanted || this.#options.signal.aborted) return;
    this.#wanted = true;
    this.#connect();
  }

  close() {
    if (!this.#wanted) return;
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#line?.close(CLOSED_BY_US);
    this.#line = null;
    this.#options.onState("closed", {});
  }

  #connect() {
    this.#options.onState("connecting", {});
    if (this.#blocked < BLOCKED_AFTER) this.#overSocket();
    else this.#overEvents();
  }

  #overSocket() {
    const url = new URL(this.#options.url(), location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.#line = new WebSocket(url));
    let opened = false;
    const failed = () => {
      if (opened || !this.#options.events) this.#lost(opened);
      else this.#overEvents(); // blocked, refused, or no server at all: this attempt tells which
    };
    this.#timer = setTimeout(() => {
      if (opened || socket !== this.#line) return;
      failed(); // first, since a socket that is replaced is not listened to any more
      socket.close();
    }, OPEN_WITHIN_MS);
    socket.addEventListener("open", () => {
      opened = true;
      this.#blocked = 0;
      this.#opened(socket, { sse: false });
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#line) return;
      this.#heard = performance.now();
      if (data === '{"type":"pong"}') return;
      this.#options.onMessage(data);
    });
    socket.addEventListener("close", () => {
      if (socket === this.#line) failed();
    });
  }

  async #overEvents() {
    const ending = new AbortController();
    const line = (this.#line = { close: () => ending.abort() });
    let opened = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => ending.abort(), OPEN_WITHIN_MS);
    try {
      await readEvents(this.#options.events(), {
        onOpen: () => {
          opened = true;
          this.#blocked += 1;
          this.#opened(line, { sse: true });
        },
        onMessage: (text) => line === this.#line && this.#options.onMessage(text),
        onRetry: (milliseconds) => this.retryAfter(milliseconds),
        onHeard: () => (this.#heard = performance.now()),
        signal: ending.signal,
      });
    } catch {
      // how it ended makes no difference: if it was refused, `check` hears why
    }
    if (line === this.#line) this.#lost(opened);
  }

  #opened(line, detail) {
    this.#attempt = 0;
    this.#heard = performance.now();
    this.#options.onState("open", detail);
    this.#beat(line);
  }

  /** What the server says about when to come back after its end. */
  retryAfter(milliseconds) {
    this.#retryMs = milliseconds;
  }

  #beat(line) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (line !== this.#line) return;
      if (performance.now() - this.#heard > SILENCE_MS) {
        this.#drop();
        return;
      }
      line.send?.("ping"); // a stream of events has a comment now and then by itself
      this.#beat(line);
    }, PING_MS);
  }

  /** Gives the line up without waiting for the other side's goodbye, which may never come. */
  #drop() {
    const line = this.#line;
    if (!line) return;
    this.#lost(true);
    line.close();
  }

  async #lost(opened) {
    clearTimeout(this.#timer);
    this.#line = null;
    if (!this.#wanted) return;
    const most = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempt);
    const delay = opened && this.#retryMs ? this.#retryMs : Math.random() * most;
    this.#attempt += 1;
    this.#options.onState("retrying", { attempt: this.#attempt, delay });
    if (!opened && (!(await this.#mayGoOn()) || this.#line)) return; // who came back meanwhile was in a hurry
    this.#timer = setTimeout(() => this.#again(), delay);
  }

  async #mayGoOn() {
    try {
      await this.#options.check();
    } catch {
      this.close();
    }
    return this.#wanted;
  }

  #newNetwork() {
    this.#blocked = 0;
    this.#hurry();
  }

  #hurry() {
    if (!this.#wanted || this.#line || document.hidden) return;
    clearTimeout(this.#timer);
    this.#again();
  }

  #again() {
    if (this.#wanted && !this.#line) this.#connect();
  }
}
