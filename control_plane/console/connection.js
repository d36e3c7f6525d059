/** A WebSocket that comes back: exponential backoff with full jitter, a heartbeat, and a state to show. */

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;
const PING_MS = 10_000;
const SILENCE_MS = 25_000; // two pings and their pongs may be late
const CLOSED_BY_US = 1000;

export class Connection {
  #options;
  #socket = null;
  #attempt = 0;
  #retryMs = 0;
  #timer = 0;
  #heard = 0;
  #wanted = false;

  /**
   * `url()` is asked anew for every attempt; `onMessage(data)` gets texts and Blobs; `onState(state, detail)` gets
   * `connecting`, `open`, `retrying` (`{attempt, delay}` in ms) and `closed`. `check()` is awaited after an attempt that
   * failed before it was open, since a browser does not tell why: a rejection ends the connection. Ends with `signal`.
   */
  constructor(options) {
    this.#options = options;
    const { signal } = options;
    signal.addEventListener("abort", () => this.close());
    window.addEventListener("online", () => this.#hurry(), { signal });
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
    this.#socket?.close(CLOSED_BY_US);
    this.#socket = null;
    this.#options.onState("closed", {});
  }

  #connect() {
    this.#options.onState("connecting", {});
    const url = new URL(this.#options.url(), location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.#socket = new WebSocket(url));
    let opened = false;
    socket.addEventListener("open", () => {
      opened = true;
      this.#attempt = 0;
      this.#heard = performance.now();
      this.#options.onState("open", {});
      this.#beat(socket);
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      this.#heard = performance.now();
      if (data === '{"type":"pong"}') return;
      this.#options.onMessage(data);
    });
    socket.addEventListener("close", () => {
      if (socket === this.#socket) this.#lost(opened);
    });
  }

  /** What the server says about when to come back after its end. */
  retryAfter(milliseconds) {
    this.#retryMs = milliseconds;
  }

  #beat(socket) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (socket !== this.#socket) return;
      if (performance.now() - this.#heard > SILENCE_MS) {
        this.#drop();
        return;
      }
      socket.send("ping");
      this.#beat(socket);
    }, PING_MS);
  }

  /** Gives the socket up without waiting for the other side's goodbye, which may never come. */
  #drop() {
    const socket = this.#socket;
    if (!socket) return;
    this.#lost(true);
    socket.close();
  }

  async #lost(opened) {
    clearTimeout(this.#timer);
    this.#socket = null;
    if (!this.#wanted) return;
    const most = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#attempt);
    const delay = opened && this.#retryMs ? this.#retryMs : Math.random() * most;
    this.#attempt += 1;
    this.#options.onState("retrying", { attempt: this.#attempt, delay });
    if (!opened && !(await this.#mayGoOn())) return;
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

  #hurry() {
    if (!this.#wanted || this.#socket || document.hidden) return;
    clearTimeout(this.#timer);
    this.#again();
  }

  #again() {
    if (this.#wanted && !this.#socket) this.#connect();
  }
}
