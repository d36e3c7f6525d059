/** What a task's browser shows, on a canvas, and the phones that stand on it as boxes. */

import { Connection } from "./connection.js";
import { h, say, show } from "./dom.js";
import { plural } from "./format.js";
import { button, icon } from "./parts.js";

const FPS = 15;
const QUALITY = 70;
const SAME_PX = 1.5; // of scrolling: positions are told in fractions of a pixel
const RATE_OVER_MS = 2000;

/** The stage; `boxes(event)` takes `coordinates` events, `rest(text)` says why there is no picture. Ends with `signal`. */
export class Live {
  #canvas = h("canvas", { class: "live-canvas", width: 1280, height: 720, role: "img", "aria-label": "Live picture of the task’s browser" });
  #layer = h("div", { class: "live-boxes" });
  #veil = h("div", { class: "live-veil" }, h("p", {}, "Waiting for a browser …"));
  #rate = h("span", { class: "live-rate" });
  #stage;
  #caption = null; // of the frame whose JPEG comes next
  #waiting = null; // the newest frame that is not drawn yet
  #drawing = false;
  #shown = null; // the caption of the frame on the canvas
  #told = new Map(); // the last `coordinates` by unit and tab
  #drawn = "";
  #times = [];
  #resting = true;
  #connection;

  constructor({ task, check, signal }) {
    this.#stage = h("div", { class: "live-stage" }, this.#canvas, this.#layer, this.#veil);
    const full = button("Full screen", { icon: "full", bare: true, on: { click: () => this.#fullScreen() } });
    this.element = h("section", { class: "card flush live", "aria-label": "Live picture" }, this.#stage, h("div", { class: "live-bar" }, h("span", { class: "live-dot" }), this.#rate, full));
    this.#connection = new Connection({
      url: () => `/api/scraper/ws/frames/${encodeURIComponent(task)}?fps=${FPS}&quality=${QUALITY}`,
      onMessage: (data) => this.#hear(data),
      onState: (state) => state !== "open" && this.#slow(),
      check,
      signal,
    });
    const resized = new ResizeObserver(() => this.#place());
    resized.observe(this.#stage);
    const clock = setInterval(() => this.#measure(), 1000);
    signal.addEventListener("abort", () => {
      resized.disconnect();
      clearInterval(clock);
    });
    document.addEventListener("visibilitychange", () => this.#look(), { signal });
  }

  /** Looks, or stops looking and says why: nobody captures for a task that has ended or a page that is hidden. */
  rest(text) {
    this.#resting = Boolean(text);
    say(this.#veil.firstChild, text || "Waiting for a browser …");
    this.#look();
    this.#unveil();
  }

  boxes({ data }) {
    const key = `${data.unit} ${data.tab}`;
    this.#told.delete(key);
    this.#told.set(key, data);
    if (this.#told.size > 64) this.#told.delete(this.#told.keys().next().value);
    this.#mark();
  }

  #look() {
    if (this.#resting || document.hidden) this.#connection.close();
    else this.#connection.open();
  }

  #hear(data) {
    if (typeof data === "string") {
      const said = JSON.parse(data);
      if (said.type === "frame") this.#caption = said;
      return;
    }
    if (!this.#caption) return;
    this.#waiting = { caption: this.#caption, jpeg: data };
    this.#caption = null;
    if (!this.#drawing) this.#draw();
  }

  /** Draws the newest frame; those that came while one was being decoded are left out. */
  async #draw() {
    this.#drawing = true;
    while (this.#waiting) {
      const { caption, jpeg } = this.#waiting;
      this.#waiting = null;
      let picture;
      try {
        picture = await createImageBitmap(jpeg);
      } catch {
        continue; // a broken picture is followed by a whole one
      }
      if (this.#canvas.width !== picture.width || this.#canvas.height !== picture.height) {
        Object.assign(this.#canvas, { width: picture.width, height: picture.height });
      }
      this.#canvas.getContext("2d").drawImage(picture, 0, 0);
      picture.close();
      this.#shown = caption;
      this.#times.push(performance.now());
      this.#place();
      this.#mark();
      this.#unveil();
    }
    this.#drawing = false;
  }

  /** Puts the layer of boxes over the picture itself, which `object-fit: contain` may have letterboxed. */
  #place() {
    const { clientWidth: across, clientHeight: down } = this.#stage;
    const scale = Math.min(across / this.#canvas.width, down / this.#canvas.height);
    const [width, height] = [this.#canvas.width * scale, this.#canvas.height * scale];
    Object.assign(this.#layer.style, {
      width: `${width}px`,
      height: `${height}px`,
      left: `${(across - width) / 2}px`,
      top: `${(down - height) / 2}px`,
    });
  }

  /** The boxes that belong to the picture on show: told of its tab, of it or an earlier picture, at its scroll. */
  #fitting() {
    const frame = this.#shown;
    const told = frame && this.#told.get(`${frame.unit} ${frame.tab}`);
    if (!told || !told.frame_seq || told.frame_seq > frame.seq) return [];
    return told.boxes.filter(
      ({ seen, coordinates: at }) => seen && at && Math.abs(at.scroll_x - frame.scroll_x) < SAME_PX && Math.abs(at.scroll_y - frame.scroll_y) < SAME_PX,
    );
  }

  #mark() {
    const boxes = this.#fitting();
    const now = JSON.stringify(boxes);
    if (now === this.#drawn) return;
    this.#drawn = now;
    this.#layer.replaceChildren(
      ...boxes.map(({ phone, coordinates: { x, y, width, height } }) => {
        const side = x + width > 0.8 ? "live-box before" : "live-box"; // where the mark has room, and covers least
        const box = h("div", { class: side, data: { phone } }, h("span", { class: "live-mark" }, icon("phone"), h("span", { class: "unseen" }, phone)));
        Object.assign(box.style, { left: `${x * 100}%`, top: `${y * 100}%`, width: `${width * 100}%`, height: `${height * 100}%` });
        return box;
      }),
    );
  }

  #unveil() {
    const fresh = this.#shown && !this.#resting;
    this.#veil.classList.toggle("over", Boolean(this.#shown));
    show(this.#veil, !fresh);
    this.element.dataset.live = fresh ? "yes" : "no";
    this.#measure();
  }

  #slow() {
    this.#caption = null;
    this.#times = [];
    this.#measure();
  }

  #measure() {
    const since = performance.now() - RATE_OVER_MS;
    this.#times = this.#times.filter((time) => time > since);
    const rate = Math.round(this.#times.length / (RATE_OVER_MS / 1000));
    say(this.#rate, this.#resting || !this.#shown ? "Not live" : rate ? `${plural(rate, "picture")} a second` : "Live · page stands still");
  }

  #fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.#stage.requestFullscreen();
  }
}
