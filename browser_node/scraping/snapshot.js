// Waits until the document is there and quiet, accepts a cookie banner, and returns what the page says.
// ({loadMs, settleMs, maxChars, isFrame}, banners.js or null) => {url, title, html, links, frames, banner, truncated, type}
// The first `frames` iframes are marked by data-leadfleet-frame, so that their own text can be put in their place.
async (options, acceptBanner) => {
  const MAX_ELEMENTS = 150_000, MAX_LINKS = 1500, MAX_FRAMES = 5, QUIET_MS = 60, POLL_MS = 15;
  // how long the page that a page sends itself on to may take to answer; and a refresh later than this is a poll
  const LEAVING_MS = 5000, REFRESH_MS = 1000;
  const state = globalThis.__leadfleet ?? {
    native: { setTimeout: setTimeout.bind(globalThis) }, timers: new Set(), requests: 0, loaded: new WeakSet(), changed: 0, active: false, leaving: false,
  };
  const pause = (ms) => new Promise((resolve) => state.native.setTimeout(resolve, ms));
  let truncated = false;

  const tooLarge = () =>
    document.getElementsByTagName("*").length > MAX_ELEMENTS ||
    (document.body?.textContent.length ?? 0) > options.maxChars;

  const loaded = async () => {
    const until = performance.now() + options.loadMs;
    let round = 0;
    while (document.readyState === "loading" && performance.now() < until) {
      if (round++ % 8 === 7 && tooLarge()) { truncated = true; window.stop(); break; }
      await Promise.race([
        new Promise((resolve) => document.addEventListener("readystatechange", resolve, { once: true })),
        pause(POLL_MS),
      ]);
    }
  };

  const isSeen = (element) => {
    const box = element.getBoundingClientRect();
    return box.width >= 40 && box.height >= 15 && element.checkVisibility();
  };
  const hasOpenWork = () => {
    if (state.timers.size > 0 || state.requests > 0) return true;
    for (const script of document.scripts)
      if (script.src && script.async && !script.noModule && !state.loaded.has(script)) return true;
    for (const frame of document.querySelectorAll("iframe[src], iframe[srcdoc]"))
      if (!state.loaded.has(frame) && frame.loading !== "lazy" && isSeen(frame)) return true;
    return false;
  };
  const isRefreshed = () => {
    const refresh = document.querySelector("meta[http-equiv=refresh i]")?.content.match(/^\s*(\d{1,4}(?:\.\d+)?)\s*[;,]\s*\S/);
    return Boolean(refresh) && refresh[1] * 1000 <= REFRESH_MS;
  };
  const runsScripts = () => {
    for (const script of document.scripts) if (!/json|template|html/i.test(script.type)) return true;
    return false;
  };

  const settled = async () => {
    if (!state.active && !hasOpenWork() && !runsScripts()) return;
    const until = performance.now() + options.settleMs;
    let changed = Math.max(state.changed, performance.now() - QUIET_MS / 2);
    const observer = new MutationObserver(() => { changed = performance.now(); });
    observer.observe(document, { childList: true, subtree: true, characterData: true });
    while (performance.now() < until) {
      await pause(POLL_MS);
      const quiet = performance.now() - Math.max(changed, state.changed);
      if (!hasOpenWork() && quiet >= (state.active ? QUIET_MS : QUIET_MS / 2)) break;
      // what only animates must not hold the page up: with nothing open, half of the time is enough
      if (!hasOpenWork() && until - performance.now() < options.settleMs / 2) break;
    }
    observer.disconnect();
  };

  // Shadow trees are no part of outerHTML: they are put into a copy, where readers of the text expect them.
  const shadowHosts = () => [...document.querySelectorAll("*")].filter((element) => element.shadowRoot);
  const flattened = (node) => {
    const copy = node.cloneNode(false);
    for (const child of node.shadowRoot?.childNodes ?? []) copy.append(flattened(child));
    for (const child of node.childNodes) copy.append(flattened(child));
    return copy;
  };

  const frames = () => {
    const seen = [...document.querySelectorAll("iframe")].filter(isSeen).slice(0, MAX_FRAMES);
    seen.forEach((frame, index) => frame.setAttribute("data-leadfleet-frame", index));
    return seen.length;
  };

  const links = () => {
    const found = [];
    const roots = [document, ...shadowHosts().map((host) => host.shadowRoot)];
    for (const root of roots)
      for (const link of root.querySelectorAll("a[href], area[href]")) {
        if (found.length >= MAX_LINKS) return found;
        if (!/^https?:/.test(link.href) || /\bnofollow\b/i.test(link.rel)) continue;
        const text = link.textContent.trim() || link.getAttribute("aria-label") || link.title ||
          link.querySelector("img[alt]")?.alt || link.alt || "";
        found.push([link.href.slice(0, 2100), text.replace(/\s+/g, " ").slice(0, 120)]);
      }
    return found;
  };

  // Ends with the document when it is left, and its reading fails; the next document is read then.
  const stays = async () => {
    const until = performance.now() + Math.min(LEAVING_MS, options.loadMs);
    while (state.leaving && performance.now() < until) await pause(POLL_MS);
  };

  await loaded();
  if (options.settleMs > 0 && isRefreshed()) await pause(REFRESH_MS + QUIET_MS);
  await settled();
  await stays();
  const banner = acceptBanner?.() ?? null;
  if (banner !== null) { await pause(POLL_MS); await settled(); }
  const count = options.isFrame ? 0 : frames();
  const top = options.isFrame ? document.body ?? document.documentElement : document.documentElement;
  let html = top ? (shadowHosts().length ? flattened(top).outerHTML : top.outerHTML) : "";
  if (html.length > options.maxChars) { html = html.slice(0, options.maxChars); truncated = true; }
  return {
    url: location.href, title: document.title.slice(0, 300), html, links: options.isFrame ? [] : links(),
    frames: count, banner, truncated, type: document.contentType,
  };
}
