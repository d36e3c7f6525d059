// What the tests ask the console's page about its live picture. Each function stands by itself.
({
  /** The canvas' pixels, read by way of a copy, so that the canvas itself stays on the fast path. */
  pixels() {
    const canvas = document.querySelector("canvas");
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    return copy.getImageData(0, 0, canvas.width, canvas.height);
  },

  /** Where the parts of the task's view lie, in pixels of the page. */
  layout() {
    const parts = document.querySelectorAll(".head, .tiles, .tile, .bar, .live-stage, .panel");
    return [...parts].map((part) => {
      const { left, top, width, height } = part.getBoundingClientRect();
      return [part.className, left + scrollX, top + scrollY, width, height].join(" ");
    });
  },

  /** A number that changes when the picture does. */
  fingerprint() {
    let sum = 0;
    const { data } = this.pixels();
    for (let at = 0; at < data.length; at += 97) sum = (sum * 31 + data[at]) >>> 0;
    return sum;
  },

  /**
   * Waits for the box of `phone`. Returns where it lies and where the picture shows `colour`, at that moment, both as
   * [left, top, right, bottom] in pixels of the window; `scale` is the window's pixels to one of the picture,
   * `bars` are the widths of the bars beside and above it.
   */
  async boxAndPatch([colour, phone, patienceMs]) {
    const wanted = colour.match(/[0-9a-f]{2}/gi).map((part) => Number.parseInt(part, 16));
    for (const until = performance.now() + patienceMs; performance.now() < until; ) {
      await new Promise(requestAnimationFrame);
      await new Promise((done) => setTimeout(done)); // what watches sizes is told after the callbacks of a frame
      const box = document.querySelector(`.live-box[data-phone="${phone}"]`);
      if (!box) continue;
      const { data, width, height } = this.pixels();
      const patch = [width, height, 0, 0];
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const at = 4 * (y * width + x);
          if (!wanted.every((part, index) => Math.abs(part - data[at + index]) < 60)) continue;
          patch[0] = Math.min(patch[0], x);
          patch[1] = Math.min(patch[1], y);
          patch[2] = Math.max(patch[2], x + 1);
          patch[3] = Math.max(patch[3], y + 1);
        }
      }
      const stage = document.querySelector("canvas").getBoundingClientRect();
      const { left, top, right, bottom } = box.getBoundingClientRect();
      const scale = Math.min(stage.width / width, stage.height / height);
      const bars = [(stage.width - width * scale) / 2, (stage.height - height * scale) / 2];
      const origin = [stage.left + bars[0], stage.top + bars[1]];
      return { scale, bars, box: [left, top, right, bottom], patch: patch.map((at, index) => origin[index % 2] + at * scale) };
    }
    throw new Error(`no box for ${phone} within ${patienceMs} ms`);
  },
})
