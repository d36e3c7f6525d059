// Where numbers stand in this document and whether they can be seen there.
// ({wanted: [{id, raw, digits: [..]}], scroll, frame}) =>
//   {viewport: [w, h], scroll: [x, y], scale, boxes: [{id, seen, box, selector, anchor}]}
// `box` is {x, y, width, height} in CSS pixels of this document's viewport, null when the number cannot be seen wherever one
// scrolls; `seen` says that it can be seen now; `anchor` is what it stands on when the page is scrolled: "page", "viewport", or null
// where one cannot know. Each number has one entry, of the place where it is seen best. A number may be
// split over elements or lines, stand in a shadow tree, in a field, or only behind a link or a picture. With `scroll`, when none
// is seen, the first that can be is scrolled into view. `frame` is {element, viewport, boxes}: an iframe of this document
// and what it answered; its boxes are then told as they stand here, and nothing else is looked for.
async (options) => {
  const MAX_TEXT = 2_000_000, MAX_DEPTH = 2000, MAX_ROOTS = 500, MAX_GAP = 4, MAX_BLANK = 80;
  const MAX_PLACES = 12;  // of one number that are looked at
  const MAX_REVEALED = 3;  // numbers that are scrolled to before it is given up that one can be seen
  const LEAST_LIGHT = 0.25;  // of a number under translucent layers, so that it can still be read
  const BLUR_PX = 2;  // from which digits run together
  const PAINTED_WITHIN_MS = 400, FADED_WITHIN_MS = 700;  // a frame takes 16 ms; busy cores take many times that
  const INLINE = new Set("A ABBR B BDI BDO CITE CODE DATA EM FONT I INS KBD LABEL MARK Q S SAMP SMALL SPAN STRONG SUB SUP TIME TT U VAR WBR".split(" "));
  const UNREAD = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "IFRAME"]);
  const SPEAKING = "a[href^='tel:' i], a[href^='callto:' i], a[href^='sms:' i], a[href^='whatsapp:' i], a[href*='wa.me/' i], " +
    "a[href*='whatsapp.com/' i], img[alt], area[alt], input:not([type=hidden], [type=password]), textarea, [aria-label], [title], " +
    "[data-phone], [data-tel], [data-telephone], [data-number], [data-phone-number]";
  const SPOKEN = ["href", "alt", "placeholder", "aria-label", "title", "data-phone", "data-tel", "data-telephone", "data-number", "data-phone-number"];

  // What the page says.

  // All text as one string with the node every piece came from; a block boundary is a line break.
  const pieces = [], roots = [document];
  let text = "";
  const walk = (node, depth) => {
    if (text.length > MAX_TEXT || depth > MAX_DEPTH) return;
    if (node.nodeType === Node.TEXT_NODE) {
      pieces.push({ start: text.length, node });
      text += node.data;
      return;
    }
    if (node.nodeType !== Node.ELEMENT_NODE || UNREAD.has(node.tagName.toUpperCase())) return;
    const inline = INLINE.has(node.tagName.toUpperCase());
    if (!inline) text += "\n";
    if (node.shadowRoot && roots.length < MAX_ROOTS) {
      roots.push(node.shadowRoot);
      for (const child of node.shadowRoot.childNodes) walk(child, depth + 1);
    }
    for (const child of node.childNodes) walk(child, depth + 1);
    if (!inline) text += "\n";
  };
  const plain = (said) => said.replace(/[٠-٩۰-۹０-９]/g, (digit) => digit.charCodeAt(0) & 15).replace(/[^\S\n]/g, " ");
  const read = () => {
    if (document.documentElement) walk(document.documentElement, 0);
    // inside a text node a line break is a space
    const marked = [];
    let end = 0;
    for (const { start, node } of pieces) {
      marked.push(text.slice(end, start), node.data.replace(/\n/g, " "));
      end = start + node.data.length;
    }
    text = plain(marked.join("") + text.slice(end));
  };
  // All digits and where they stand, a line break between runs: short punctuation stays within one, `breaks` do not.
  const runs = (breaks) => {
    let last = -1;
    const found = [], places = [];
    for (const { 0: digit, index } of text.matchAll(/[0-9]/g)) {
      const gap = text.slice(last + 1, Math.min(index, last + MAX_BLANK));
      const isLong = gap.length > 1 && gap.replace(/\s+/g, " ").length > MAX_GAP;
      if (last < 0 || (gap && (isLong || breaks.test(gap)))) { found.push("\n"); places.push(-1); }
      found.push(digit);
      places.push(index);
      last = index;
    }
    return { digits: `${found.join("")}\n`, places };
  };
  let strict = null, loose = null;
  // A letter, a block's end, a plus sign and what separates the items of a list end a number; else it may go on in the next line.
  const strictly = () => (strict ??= runs(/[\n\p{L}+,;|•·&]/u));
  const loosely = () => (loose ??= runs(/\p{L}/u));

  const pieceAt = (position) => {
    let low = 0, high = pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pieces[middle].start <= position) low = middle; else high = middle - 1;
    }
    return pieces[low];
  };
  const isDigit = (position) => /[0-9]/.test(text[position] ?? "");

  // {start, end, whole} of every place in the text where a number is written; `whole` when nothing goes before or after it.
  const written = (wanted) => {
    const found = new Map();
    const add = (start, end, whole) => {
      if (isDigit(start - 1) || isDigit(end) || found.size >= MAX_PLACES) return;
      const opening = /[+(][+( ]{0,2}$/.exec(text.slice(Math.max(0, start - 3), start));
      const from = start - (opening ? opening[0].length : 0);
      found.set(`${from} ${end}`, { start: from, end, whole: whole || found.get(`${from} ${end}`)?.whole || false });
    };
    const search = ({ digits, places }) => {
      for (const run of wanted.digits)
        for (let at = digits.indexOf(run); at >= 0 && found.size < MAX_PLACES; at = digits.indexOf(run, at + 1))
          add(places[at], places[at + run.length - 1] + 1, digits[at - 1] === "\n" && digits[at + run.length] === "\n");
    };
    search(strictly());
    for (let at = text.indexOf(wanted.raw); wanted.raw && at >= 0 && found.size < MAX_PLACES; at = text.indexOf(wanted.raw, at + 1))
      add(at, at + wanted.raw.length, false);
    if (!found.size) search(loosely());
    return [...found.values()].sort((one, other) => other.whole - one.whole);
  };

  let speaking = null;
  const speakers = () => {
    speaking ??= roots.flatMap((root) => [...root.querySelectorAll(SPEAKING)].map((element) => {
      const said = SPOKEN.map((name) => element.getAttribute(name) ?? "");
      if ("value" in element && typeof element.value === "string") said.push(element.value);
      return { element, said: said.map((one) => decodeURIComponent(plain(one).replace(/%(?![0-9a-f]{2})|%[89a-f]./gi, "")).replace(/[^0-9\p{L}]/gu, "")) };
    }));
    return speaking;
  };
  const spoken = (wanted) => speakers().filter(({ said }) => said.some((one) => wanted.digits.some((run) => {
    const at = one.indexOf(run);
    return at >= 0 && !/[0-9]/.test(one[at + run.length] ?? "");
  }))).slice(0, MAX_PLACES).map(({ element }) => element);

  // What can be seen of it.

  const above = (node) => node.assignedSlot ?? node.parentElement ?? (node.getRootNode() instanceof ShadowRoot ? node.getRootNode().host : null);
  const lineage = (element) => {
    const found = [];
    for (let node = element; node; node = above(node)) found.push(node);
    return found;
  };
  const boxed = (element) => getComputedStyle(element).display === "contents" && above(element) ? boxed(above(element)) : element;
  const isLaidOut = (element) => boxed(element).checkVisibility({ visibilityProperty: true });
  const isShown = (element) => isLaidOut(element) && boxed(element).checkVisibility({ opacityProperty: true }) &&
    !lineage(element).some((node) => /blur\((\d+(?:\.\d+)?)/.exec(getComputedStyle(node).filter)?.[1] >= BLUR_PX);

  // How much light a layer lets through, 0 to 1.
  const colourAlpha = (colour) => {
    const parts = /^rgba?\(([^)]*)\)$|\/ ([\d.]+)\)$/.exec(colour);
    if (!parts) return colour === "transparent" ? 0 : 1;
    if (parts[2]) return Number(parts[2]);
    const values = parts[1].split(",");
    return values.length > 3 ? Number(values[3]) : 1;
  };
  const paint = (style) => {
    if (/blur\(/.test(style.backdropFilter)) return 1;
    const image = style.backgroundImage;
    const drawn = image === "none" ? 0 : /url\(/.test(image) ? 1 : /rgba\(|transparent|\/ 0?\./.test(image) ? 0.5 : 1;
    return Math.max(drawn, colourAlpha(style.backgroundColor));
  };
  const SOLID = new Set(["IMG", "VIDEO", "CANVAS", "IFRAME", "OBJECT", "EMBED"]);
  const holds = ({ left, top, right, bottom }, x, y) => x >= left && x <= right && y >= top && y <= bottom;
  const lightThrough = (layer, x, y) => {
    const style = getComputedStyle(layer);
    // a layer is also hit through its backdrop and its pseudo-elements, where its own background is not
    let alpha = !holds(layer.getBoundingClientRect(), x, y) ? 0 : SOLID.has(layer.tagName) || (layer instanceof SVGElement && layer.ownerSVGElement && style.fill !== "none") ? 1 : paint(style);
    for (const part of ["::before", "::after", "::backdrop"]) {
      const pseudo = getComputedStyle(layer, part);
      if (part === "::backdrop" ? layer.matches(":modal, :popover-open") : pseudo.content !== "none" && /absolute|fixed/.test(pseudo.position))
        alpha = Math.max(alpha, paint(pseudo) * Number(pseudo.opacity));
    }
    for (const node of lineage(layer)) alpha *= Number(getComputedStyle(node).opacity);
    return 1 - alpha;
  };

  // Whether `element` is what one sees at a point: hit there, and nothing that hides it above it. What is inert is never hit.
  const isSeenAt = (element, family, x, y, isInert) => {
    const hit = boxed(element);
    let light = 1;
    const through = (root) => {
      for (const layer of root.elementsFromPoint(x, y)) {
        if (layer.getRootNode() !== root) continue;
        if (layer === hit || element.contains(layer)) return true;
        if (layer.shadowRoot && family.has(layer) && through(layer.shadowRoot)) return true;
        if (isInert && family.has(layer)) continue;
        light *= lightThrough(layer, x, y);
        if (light < LEAST_LIGHT) return false;
      }
      return false;
    };
    return (through(document) || isInert) && light >= LEAST_LIGHT;
  };

  // Chrome does not hit what takes no clicks; for the time of the questions everything does.
  const withHits = (ask) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync("*, *::before, *::after { pointer-events: auto !important; }");
    for (const root of roots) root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
    try { return ask(); } finally {
      for (const root of roots) root.adoptedStyleSheets = root.adoptedStyleSheets.filter((other) => other !== sheet);
    }
  };

  const union = (rects) => {
    const x = Math.min(...rects.map((rect) => rect.left)), y = Math.min(...rects.map((rect) => rect.top));
    const right = Math.max(...rects.map((rect) => rect.right)), bottom = Math.max(...rects.map((rect) => rect.bottom));
    return { x, y, width: right - x, height: bottom - y };
  };
  const isOnPicture = (x, y) => x >= 0 && y >= 0 && x < innerWidth && y < innerHeight;
  const page = document.scrollingElement ?? document.documentElement;
  // How far the page is scrolled from its left and upper edges, as pictures say it: right to left, scrollX begins with 0 at the right.
  const scrolled = () => {
    const { direction, writingMode } = getComputedStyle(document.body ?? document.documentElement);
    const isFromRight = writingMode === "vertical-rl" || (writingMode === "horizontal-tb" && direction === "rtl");
    return [scrollX + (isFromRight ? page.scrollWidth - page.clientWidth : 0), scrollY];
  };
  const isReachable = (x, y) => {
    const [left, top] = scrolled();
    return x + left >= 0 && x + left <= page.scrollWidth && y + top >= 0 && y + top <= page.scrollHeight;
  };

  // {element, box, seen} of parts (rectangles, each in its `holder` or in `element`): the parts that are seen make the box.
  const looked = (element, parts) => {
    const hidden = { element, box: null, seen: false };
    if (!parts.length || !isLaidOut(element)) return hidden;
    if (!isShown(element)) return { ...hidden, whole: union(parts) };  // pages fade in what is scrolled to
    const families = new Map();
    const family = (holder) => families.get(holder) ?? families.set(holder, new Set(lineage(holder))).get(holder);
    const modal = document.querySelector(":modal");
    const isInert = Boolean(element.closest("[inert]")) || Boolean(modal && !family(element).has(modal));
    const onPicture = parts.filter((part) => isOnPicture((part.left + part.right) / 2, (part.top + part.bottom) / 2));
    const seen = onPicture.filter(({ left, top, right, bottom, holder = element }) =>
      isShown(holder) && isSeenAt(holder, family(holder), (left + right) / 2, (top + bottom) / 2, isInert));
    if (seen.length * 2 >= parts.length) return { element, box: onPictureOnly(union(seen)), seen: true };
    const whole = union(parts);
    const isPast = onPicture.length * 2 < parts.length && isReachable(whole.x + whole.width / 2, whole.y + whole.height / 2);
    return { element, box: isPast ? whole : null, seen: false, whole };
  };
  const onPictureOnly = (box) => {
    const x = Math.max(0, box.x), y = Math.max(0, box.y);
    return { x, y, width: Math.min(innerWidth, box.x + box.width) - x, height: Math.min(innerHeight, box.y + box.height) - y };
  };

  const glyphs = ({ start, end }) => {
    const rects = [];
    const range = document.createRange();
    for (let at = start; at < end; at++) {
      if (/\s/.test(text[at])) continue;
      const { node, start: begin } = pieceAt(at);
      if (at - begin >= node.length) continue;
      range.setStart(node, at - begin);
      range.setEnd(node, at - begin + 1);
      const rect = range.getClientRects()[0];
      if (rect?.width > 0 && rect.height > 0) rects.push(Object.assign(rect, { holder: parent(node) }));
    }
    return rects;
  };
  const parent = (node) => node.parentElement ?? node.getRootNode().host;
  const holder = ({ start, end }) => {
    const last = pieceAt(end - 1).node;
    let element = parent(pieceAt(start).node);
    while (!element.contains(last) && element.parentElement) element = element.parentElement;
    return element;
  };

  const grid = ({ left, top, width, height }) => [0, 1, 2].flatMap((row) => [0, 1, 2].map((column) =>
    new DOMRect(left + (column * width) / 3, top + (row * height) / 3, width / 3, height / 3)));
  // The text in a field is no node: its width is measured in the field's font.
  const fieldText = (field) => {
    const style = getComputedStyle(field), frame = field.getBoundingClientRect();
    const [left, right] = [style.borderLeftWidth, style.borderRightWidth].map(parseFloat).map((width, side) => width + parseFloat(side ? style.paddingRight : style.paddingLeft));
    const [above, below] = [style.borderTopWidth, style.borderBottomWidth].map(parseFloat).map((width, side) => width + parseFloat(side ? style.paddingBottom : style.paddingTop));
    const scale = frame.width / field.offsetWidth || 1;
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.font = style.font;
    const room = frame.width / scale - left - right, width = Math.min(room, canvas.measureText(field.value || field.placeholder).width);
    const isEnd = style.textAlign === "right" || style.textAlign === (style.direction === "rtl" ? "start" : "end");
    const x = left + (style.textAlign === "center" ? (room - width) / 2 : isEnd ? room - width : 0);
    const height = Math.min(frame.height / scale - above - below, parseFloat(style.fontSize) * 1.3);
    const y = field.tagName === "TEXTAREA" ? above : above + (frame.height / scale - above - below - height) / 2;
    return new DOMRect(frame.left + x * scale, frame.top + y * scale, width * scale, height * scale);
  };
  const outline = (element) => {
    if (/^(?:INPUT|TEXTAREA)$/.test(element.tagName) && (element.value || element.placeholder)) return [fieldText(element)];
    const inner = [...element.querySelectorAll("*")].slice(0, 20);
    return [element, ...inner].flatMap((node) => [...node.getClientRects()]).filter((rect) => rect.width > 0 && rect.height > 0);
  };
  const shape = (element) => {
    const rects = outline(element);
    return rects.length ? grid(DOMRect.fromRect(union(rects))) : [];
  };

  // Of all places of a number the one to tell: seen before not seen yet, before hidden.
  const find = (wanted) => {
    let best = null;
    const worth = (look, isWhole) => (look.seen ? 4 : look.box ? 2 : look.whole ? 1 : 0) + (look.box && isWhole ? 2.5 : 0);
    const take = (look, isWhole, again) => {
      const value = worth(look, isWhole);
      if (!best || value > best.value) best = { ...look, value, again };
    };
    for (const place of written(wanted)) take(looked(holder(place), glyphs(place)), place.whole, () => glyphs(place));
    if (!best?.box) for (const element of spoken(wanted)) take(looked(element, shape(element)), false, () => shape(element));
    return best && { id: wanted.id, ...best };
  };

  // Scroll what scrolls, from the inside out, until a thing stands in the middle of it.
  const reveal = (element, parts) => {
    const shift = (scroller, frame) => {
      const rects = parts();
      if (!rects.length) return;
      const box = union(rects);
      const isWithin = box.x >= frame.left && box.x + box.width <= frame.right;
      scroller.scrollBy({
        left: isWithin ? 0 : box.x + box.width / 2 - (frame.left + frame.right) / 2,
        top: box.y + box.height / 2 - (frame.top + frame.bottom) / 2,
        behavior: "instant",
      });
    };
    for (const node of lineage(element)) {
      if (node === page || node === document.documentElement) continue;
      const style = getComputedStyle(node);
      if (/auto|scroll/.test(style.overflowX + style.overflowY) && (node.scrollHeight > node.clientHeight || node.scrollWidth > node.clientWidth))
        shift(node, node.getBoundingClientRect());
    }
    shift(window, new DOMRect(0, 0, innerWidth, innerHeight));
  };
  const pause = (ms) => new Promise((resolve) => (globalThis.__leadfleet?.native.setTimeout ?? setTimeout)(resolve, ms));
  // What is drawn only when it is near (content-visibility) is there in the second frame after a scroll.
  const painted = () => Promise.race([
    new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(resolve)))),
    pause(PAINTED_WITHIN_MS),
  ]);
  // Banners fade out when they are accepted, and what is scrolled to fades in. All waits together have one limit.
  let patience = FADED_WITHIN_MS;
  const faded = async () => {
    const began = performance.now(), moving = document.getAnimations().filter((one) => one.playState === "running" && one.effect?.getComputedTiming().endTime < Infinity);
    await Promise.race([Promise.allSettled(moving.map((one) => one.finished)).then(painted), pause(patience)]);
    patience -= performance.now() - began;
  };

  // How it is named: a CSS selector that querySelector finds it by; ` >>> ` goes into a shadow tree or, where frames are put
  // together, into an iframe's document.
  const selector = (element) => {
    const root = element.getRootNode(), steps = [];
    for (let node = element; node; node = node.parentElement) {
      const alike = node.parentElement ? [...node.parentElement.children].filter((other) => other.localName === node.localName) : [];
      const name = /^[A-Za-z][\w-]{0,60}$/.test(node.id) ? `#${node.id}` : CSS.escape(node.localName) + (alike.length > 1 ? `:nth-of-type(${alike.indexOf(node) + 1})` : "");
      steps.unshift(name);
      if (root.querySelector(steps.join(" > ")) === element) break;
    }
    const within = steps.join(" > ");
    return root instanceof ShadowRoot ? `${selector(root.host)} >>> ${within}` : within;
  };

  // An iframe's boxes as they stand in this document.
  const fromFrame = ({ element, viewport, boxes }) => {
    const style = getComputedStyle(element), frame = element.getBoundingClientRect();
    const scale = frame.width / element.offsetWidth || 1;
    const [left, top] = [element.clientLeft + parseFloat(style.paddingLeft), element.clientTop + parseFloat(style.paddingTop)].map((length) => length * scale);
    const width = element.clientWidth * scale - (parseFloat(style.paddingLeft) + parseFloat(style.paddingRight)) * scale;
    const ratio = width / viewport[0];
    return boxes.map(({ id, seen, box, selector: inner }) => {
      const name = `${selector(element)} >>> ${inner}`;
      if (!box) return { id, look: { element, box: null, seen: false }, name };
      const here = () => {
        const place = element.getBoundingClientRect();
        return new DOMRect(place.left + left + box.x * ratio, place.top + top + box.y * ratio, box.width * ratio, box.height * ratio);
      };
      const look = looked(element, grid(here()));
      return { id, look: { ...look, seen: look.seen && seen }, name, again: () => [here()] };
    });
  };

  // What is fixed within something that is transformed scrolls with that; what sticks does so at times.
  const anchor = (element) => {
    for (const node of lineage(element)) {
      const { position } = getComputedStyle(node);
      if (position === "sticky") return null;
      if (position === "fixed" && !node.offsetParent) return "viewport";
    }
    return "page";
  };

  const told = ({ id, seen, box, name, element }) => {
    const view = globalThis.visualViewport, scale = view?.scale ?? 1;
    const [x, y] = [view?.offsetLeft ?? 0, view?.offsetTop ?? 0];
    return {
      id, seen, selector: name ?? selector(element), anchor: anchor(element),
      box: box && { x: (box.x - x) * scale, y: (box.y - y) * scale, width: box.width * scale, height: box.height * scale },
    };
  };
  const measure = () => withHits(() => options.frame
    ? fromFrame(options.frame).map(({ id, look, name, again }) => ({ id, ...look, name, again }))
    : options.wanted.map(find).filter(Boolean));

  if (!options.frame) read();
  let found = measure();
  const candidates = options.scroll ? found.filter((one) => one.box || one.whole).slice(0, MAX_REVEALED) : [];
  for (const { element, again } of candidates) {
    if (found.some((one) => one.seen)) break;
    reveal(element, again);
    await painted();
    found = measure();
    if (found.some((one) => one.seen) || patience <= 0 || !document.getAnimations().length) continue;
    await faded();
    found = measure();
  }
  const view = globalThis.visualViewport, [left, top] = scrolled();
  return {
    viewport: [innerWidth, innerHeight], scroll: [left + (view?.offsetLeft ?? 0), top + (view?.offsetTop ?? 0)], scale: view?.scale ?? 1,
    boxes: found.map(told),
  };
}
