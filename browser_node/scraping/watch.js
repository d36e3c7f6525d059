// Runs in every frame before its own scripts: counts what is still to come, so that a static page is read at
// once and one that fetches or waits for its data is given the time. Timers beyond HORIZON_MS, and timers that keep
// setting themselves again (an animation, a poll), are no reason to wait.
(() => {
  const KEY = "__leadfleet";
  if (Object.hasOwn(globalThis, KEY)) return;
  const HORIZON_MS = 1500, MAX_NESTING = 5;
  const native = { setTimeout: setTimeout.bind(globalThis), clearTimeout: clearTimeout.bind(globalThis) };
  const nativeInterval = setInterval.bind(globalThis), nativeClearInterval = clearInterval.bind(globalThis);
  const state = { native, timers: new Set(), requests: 0, loaded: new WeakSet(), changed: 0, active: false, leaving: false };
  Object.defineProperty(globalThis, KEY, { value: state });
  let nesting = 0;
  const touch = () => { state.active = true; state.changed = performance.now(); };
  const begin = () => { state.requests++; touch(); };
  const end = () => { state.requests--; touch(); };

  globalThis.setTimeout = function (handler, delay, ...rest) {
    if (typeof handler !== "function" || Number(delay) > HORIZON_MS || nesting >= MAX_NESTING)
      return native.setTimeout(handler, delay, ...rest);
    const level = nesting + 1;
    const id = native.setTimeout((...values) => {
      const outer = nesting;
      nesting = level;
      try { return handler.apply(globalThis, values); } finally { nesting = outer; state.timers.delete(id); touch(); }
    }, delay, ...rest);
    state.timers.add(id);
    return id;
  };
  globalThis.clearTimeout = (id) => { state.timers.delete(id); native.clearTimeout(id); };
  globalThis.setInterval = function (handler, delay, ...rest) {
    if (typeof handler !== "function" || Number(delay) > HORIZON_MS) return nativeInterval(handler, delay, ...rest);
    const id = nativeInterval((...values) => {
      try { return handler.apply(globalThis, values); } finally { if (state.timers.delete(id)) touch(); }
    }, delay, ...rest);
    state.timers.add(id);
    return id;
  };
  globalThis.clearInterval = (id) => { state.timers.delete(id); nativeClearInterval(id); };

  const counted = (owner, name) => {
    const original = owner && owner[name];
    if (typeof original !== "function") return;
    owner[name] = function (...values) {
      begin();
      const promise = original.apply(this, values);
      promise.then(end, end);
      return promise;
    };
  };
  counted(globalThis, "fetch");
  for (const name of ["json", "text", "blob", "arrayBuffer"]) counted(globalThis.Response?.prototype, name);
  const send = globalThis.XMLHttpRequest?.prototype.send;
  if (send) {
    XMLHttpRequest.prototype.send = function (...values) {
      begin();
      this.addEventListener("loadend", end, { once: true });
      try { return send.apply(this, values); } catch (error) { end(); throw error; }
    };
  }
  // a page that sends itself on is not the one to read; what it starts as a download, or within itself, keeps it
  globalThis.navigation?.addEventListener("navigate", (event) => {
    const { destination, downloadRequest } = event;
    if (/^https?:/.test(destination.url) && !destination.sameDocument && downloadRequest === null) {
      state.leaving = true;
      touch();
    }
  });
  // load and error do not bubble, but they are captured; load never reaches the window
  for (const kind of ["load", "error"])
    document.addEventListener(kind, (event) => { if (event.target instanceof Element) state.loaded.add(event.target); }, true);
})();
