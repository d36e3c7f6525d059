import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { WebSocket } from "ws";
import { connected, ScriptedServer } from "../unit/scripted-server.js";
import { launch } from "./launch.js";

const dist = fileURLToPath(new URL("../../dist", import.meta.url));

/** A picture of 640x360 of a viewport of 1280x720: blue, and red where the phone's box is. */
const BOX = { x: 0.25, y: 0.5, width: 0.125, height: 0.1 };
const viewport = { viewport_width: 1280, viewport_height: 720, scroll_x: 0, scroll_y: 0 };
const frame = { type: "frame", seq: 5, unit: "tsk_1.0", tab: "main", captured_us: 1, ...viewport };

/** Vitest would make an import in a function for the page one of its own. */
const LOADER = `<script type="module">window.leadfleet = await import("/index.js")</script>`;

declare global {
  interface Window {
    leadfleet: typeof import("@leadfleet/client");
    view: import("@leadfleet/client").LiveView;
  }
}

let browser: Browser;

beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser?.close());

async function open(url: string, deviceScaleFactor: number): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 900, height: 900 }, deviceScaleFactor });
  page.setDefaultTimeout(30_000);
  await page.goto(url);
  await page.waitForFunction(() => window.leadfleet !== undefined);
  return page;
}

async function picture(page: Page): Promise<Buffer> {
  const base64 = await page.evaluate(async ({ x, y, width, height }) => {
    const canvas = new OffscreenCanvas(640, 360);
    const context = canvas.getContext("2d");
    if (!context) throw new Error("no canvas");
    context.fillStyle = "blue";
    context.fillRect(0, 0, 640, 360);
    context.fillStyle = "red";
    context.fillRect(x * 640, y * 360, width * 640, height * 360);
    const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 1 });
    return btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())));
  }, BOX);
  return Buffer.from(base64, "base64");
}

test.each([
  ["a wide canvas", 1, "width:800px;height:300px"],
  ["a high canvas, on a sharp screen", 2, "width:300px;height:700px"],
  [
    "a canvas that is scaled, at an odd ratio",
    1.5,
    "width:500px;height:500px;transform:scale(0.5);transform-origin:0 0",
  ],
])("pictures and boxes lie where they should: %s", async (_, ratio, style) => {
  const sockets: WebSocket[] = [];
  let jpeg: Buffer = Buffer.of();
  const server = await ScriptedServer.start({
    async page(path) {
      if (path !== "/") return path.endsWith(".js") ? readFile(dist + path) : "";
      return `<body style="margin:0"><canvas style="display:block;${style}"></canvas>${LOADER}`;
    },
    socket(socket) {
      sockets.push(socket);
      socket.send(connected());
      socket.send(JSON.stringify(frame));
      socket.send(jpeg);
    },
  });
  const page = await open(server.url, ratio);
  try {
    jpeg = await picture(page);
    const drawn = await page.evaluate(async (box) => {
      const { BoxTracker, LeadfleetClient, LiveView } = window.leadfleet;
      const canvas = document.querySelector("canvas");
      if (!canvas) throw new Error("no canvas");
      const boxes = new BoxTracker();
      const coordinates = {
        ...box,
        absolute_x: 0,
        absolute_y: 0,
        viewport_width: 1280,
        viewport_height: 720,
      };
      boxes.take({
        type: "coordinates",
        id: "1-0",
        timestamp: "",
        data: {
          unit: "tsk_1.0",
          tab: "main",
          url: "http://a.test/",
          frame_seq: 5,
          boxes: [
            {
              phone: "+1",
              selector: null,
              seen: true,
              coordinates: { ...coordinates, scroll_x: 0, scroll_y: 0 },
            },
          ],
        },
      });
      const client = new LeadfleetClient();
      const rect = await new Promise<{ x: number; y: number; width: number; height: number }>(
        (resolve, reject) => {
          window.view = new LiveView(client, "tsk_1", canvas, {
            boxes,
            drawBox: () => {},
            onState: (state) => state.name === "retrying" && reject(state.reason),
            onDraw: (_frame, placed) => {
              if (placed[0]) resolve(placed[0].rect);
            },
          });
        },
      );
      const context = canvas.getContext("2d");
      const pixels = context?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
      let [left, top, right, bottom] = [canvas.width, canvas.height, 0, 0];
      let blue = 0;
      for (let y = 0; y < canvas.height; y++) {
        for (let x = 0; x < canvas.width; x++) {
          const at = 4 * (y * canvas.width + x);
          const [red = 0, , other = 0] = [pixels[at], pixels[at + 1], pixels[at + 2]];
          if (other > 128 && red < 128) blue += 1;
          if (red <= 128 || other > 128) continue;
          [left, top] = [Math.min(left, x), Math.min(top, y)];
          [right, bottom] = [Math.max(right, x + 1), Math.max(bottom, y + 1)];
        }
      }
      const { clientWidth, clientHeight, width, height } = canvas;
      return { rect, red: { left, top, right, bottom }, blue, clientWidth, clientHeight, width, height };
    }, BOX);
    expect([drawn.width, drawn.height]).toEqual([drawn.clientWidth * ratio, drawn.clientHeight * ratio]);
    const scale = Math.min(drawn.clientWidth / 1280, drawn.clientHeight / 720);
    expect(drawn.rect.width).toBeCloseTo(BOX.width * 1280 * scale, 3);
    const { left, top, right, bottom } = drawn.red;
    const { x, y, width, height } = drawn.rect;
    for (const [found, told] of [
      [left, x],
      [top, y],
      [right, x + width],
      [bottom, y + height],
    ] as const)
      expect(Math.abs(found - told * ratio), `${found} for ${told * ratio}`).toBeLessThanOrEqual(1.5);
    const area = 1280 * 720 * (scale * ratio) ** 2;
    expect(drawn.blue / area).toBeCloseTo(1 - BOX.width * BOX.height, 1);

    await page.evaluate(() => window.view.close());
    await expect.poll(() => sockets.every((socket) => socket.readyState === socket.CLOSED)).toBe(true);
    expect(sockets).toHaveLength(1);
  } finally {
    await page.close();
    await server.stop();
  }
});
