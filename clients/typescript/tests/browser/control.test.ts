import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { connected, ScriptedServer } from "../unit/scripted-server.js";
import { launch } from "./launch.js";

const dist = fileURLToPath(new URL("../../dist", import.meta.url));
const frame = {
  type: "frame",
  seq: 5,
  unit: "tsk_1.0",
  tab: "main",
  captured_us: 1,
  viewport_width: 1280,
  viewport_height: 720,
  scroll_x: 0,
  scroll_y: 0,
};

/** A canvas of 800x300 at (50, 40), scaled to half: a picture of 16:9 stands in the middle of it. */
const STYLE =
  "position:absolute;left:50px;top:40px;width:800px;height:300px;transform:scale(.5);transform-origin:0 0";
const WIDTH = (300 * 16) / 9 / 2;
const HEIGHT = 150;
const LEFT = 50 + (400 - WIDTH) / 2;

declare global {
  interface Window {
    control: import("@leadfleet/client").Control;
    escapes: number;
  }
}

let browser: Browser;
let server: ScriptedServer;
let page: Page;
let said: Record<string, unknown>[];

beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser?.close());

beforeEach(async () => {
  said = [];
  let jpeg: Buffer = Buffer.of();
  server = await ScriptedServer.start({
    async page(path) {
      if (path !== "/") return path.endsWith(".js") ? readFile(dist + path) : "";
      const loader = `<script type="module">window.leadfleet = await import("/index.js")</script>`;
      return `<body style="margin:0;height:3000px"><canvas style="${STYLE}"></canvas><button>Out</button>${loader}`;
    },
    socket(socket, _query, _protocols, path) {
      if (path.includes("/ws/control/")) {
        socket.on("message", (text) => said.push(JSON.parse(String(text))));
        socket.send(JSON.stringify({ type: "connected", limit_s: 60 }));
      } else {
        socket.send(connected());
        socket.send(JSON.stringify(frame));
        socket.send(jpeg);
      }
    },
  });
  page = await browser.newPage({ viewport: { width: 900, height: 600 } });
  page.setDefaultTimeout(30_000);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await page.goto(server.url);
  await page.waitForFunction(() => window.leadfleet !== undefined);
  const base64 = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(640, 360);
    canvas.getContext("2d")?.fillRect(0, 0, 640, 360);
    const blob = await canvas.convertToBlob({ type: "image/jpeg" });
    return btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())));
  });
  jpeg = Buffer.from(base64, "base64");
  await page.evaluate(async () => {
    const { bindControl, LeadfleetClient, LiveView } = window.leadfleet;
    const canvas = document.querySelector("canvas");
    if (!canvas) throw new Error("no canvas");
    const client = new LeadfleetClient();
    await new Promise<void>((resolve) => {
      window.view = new LiveView(client, "tsk_1", canvas, { onDraw: () => resolve() });
    });
    window.control = client.takeControl("tsk_1");
    await window.control.taken;
    window.escapes = 0;
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented) window.escapes += 1;
    });
    document.querySelector("button")?.focus();
    bindControl(window.view, window.control);
  });
});
afterEach(async () => {
  await page.close();
  await server.stop();
});

/** Everything that was said from now on, once `count` messages have come. */
async function heard(count: number): Promise<Record<string, unknown>[]> {
  await expect.poll(() => said.length).toBe(count);
  return said.splice(0);
}

const clicks = async (count: number) => (await heard(count)).filter((one) => one["event"] !== "move");

test("presses land where the picture shows them, and on the bars nowhere", async () => {
  await page.mouse.click(LEFT + WIDTH / 4, 40 + HEIGHT / 2);
  await page.mouse.click(LEFT - 20, 100);
  await page.mouse.dblclick(LEFT + WIDTH - 1, 40 + HEIGHT - 1, { button: "left" });
  await page.evaluate(() => window.control.key("press", "End"));
  await expect.poll(() => said.at(-1)?.["key"]).toBe("End");
  const presses = (await clicks(said.length)).slice(0, -1);
  expect(presses.map(({ event, clicks }) => [event, clicks])).toEqual([
    ["down", 1],
    ["up", 1],
    ["down", 1],
    ["up", 1],
    ["down", 2],
    ["up", 2],
  ]);
  expect(presses[0]).toMatchObject({ x: expect.closeTo(0.25, 2), y: expect.closeTo(0.5, 2), button: "left" });
  expect(presses[2]).toMatchObject({ x: expect.closeTo(1, 1), y: expect.closeTo(1, 1) });
});

test("a drag that leaves the picture ends at its edge, and the page of the wheel is the picture's", async () => {
  await page.mouse.move(LEFT + WIDTH / 2, 100);
  await page.mouse.down({ button: "right" });
  await page.mouse.move(5, 5);
  await page.mouse.up({ button: "right" });
  await expect.poll(() => said.at(-1)?.["event"]).toBe("up");
  expect(said.splice(0).at(-1)).toMatchObject({ event: "up", x: 0, y: 0, button: "right" });
  await page.mouse.move(LEFT + WIDTH / 2, 40 + HEIGHT / 2);
  await page.mouse.wheel(0, 120);
  await page.mouse.wheel(0, 30);
  const turned = () =>
    said.filter((one) => one["type"] === "wheel").reduce((sum, one) => sum + Number(one["dy"]), 0);
  await expect.poll(turned).toBe(150);
  expect(await page.evaluate(() => window.scrollY)).toBe(0);
});

test("a finger taps and scrolls", async () => {
  const session = await page.context().newCDPSession(page);
  const touch = (type: "touchStart" | "touchMove" | "touchEnd", points: { x: number; y: number }[]) =>
    session.send("Input.dispatchTouchEvent", { type, touchPoints: points });
  const middle = { x: LEFT + WIDTH / 2, y: 40 + HEIGHT / 2 };
  await touch("touchStart", [middle]);
  await touch("touchEnd", []);
  expect((await heard(2)).map((one) => [one["event"], one["clicks"]])).toEqual([
    ["down", 1],
    ["up", 1],
  ]);
  await touch("touchStart", [middle]);
  await touch("touchMove", [{ ...middle, y: middle.y - 40 }]);
  await touch("touchMove", [{ ...middle, y: middle.y - 60 }]);
  await touch("touchEnd", []);
  const turned = () => said.reduce((sum, one) => sum + Number(one["dy"]), 0);
  await expect.poll(turned).toBe(60);
  expect(said.every((one) => one["type"] === "wheel")).toBe(true);
});

test("keys, text of an input method and what is pasted come as what they are", async () => {
  await page.keyboard.press("a");
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.insertText("ß");
  expect(await heard(4)).toEqual([
    { type: "key", event: "press", key: "a" },
    { type: "key", event: "press", key: "Control+a" },
    { type: "key", event: "press", key: "Shift+Tab" },
    { type: "text", text: "ß" },
  ]);
  const session = await page.context().newCDPSession(page);
  await session.send("Input.imeSetComposition", { text: "に", selectionStart: 1, selectionEnd: 1 });
  await session.send("Input.imeSetComposition", { text: "日本", selectionStart: 2, selectionEnd: 2 });
  await session.send("Input.insertText", { text: "日本" });
  await page.evaluate(() => navigator.clipboard.writeText("a\nb"));
  await page.keyboard.press("Control+v");
  expect(await heard(2)).toEqual([
    { type: "text", text: "日本" },
    { type: "paste", text: "a\nb" },
  ]);
});

test("Escape is the page's and ours, and one chord gives the wheel back and leaves nothing behind", async () => {
  const label = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
  expect(await label()).toContain("Ctrl+Shift+Enter");
  await page.keyboard.press("Escape");
  expect(await heard(1)).toEqual([{ type: "key", event: "press", key: "Escape" }]);
  expect(await page.evaluate(() => window.escapes)).toBe(1);
  await page.mouse.move(LEFT + 10, 60);
  await page.mouse.down();
  await expect.poll(() => said.at(-1)?.["event"]).toBe("down");
  await page.keyboard.press("Control+Shift+Enter");
  await page.evaluate(() => window.control.closed);
  await expect.poll(() => said.at(-1)).toMatchObject({ event: "up", button: "left" });
  expect(await page.evaluate(() => window.control.state)).toEqual({ name: "ended", reason: "released" });
  expect(await page.evaluate(() => document.querySelectorAll("textarea").length)).toBe(0);
  expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Out");
  said = [];
  await page.mouse.up();
  await page.mouse.wheel(0, 50);
  await page.waitForFunction(() => window.scrollY > 0); // it is the page's own again
  expect(said).toEqual([]);
});
