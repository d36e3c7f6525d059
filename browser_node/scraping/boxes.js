// Where numbers stand in this document. ({wanted: [{id, raw, digits: [..]}], scroll}) =>
// {viewport: [width, height], scroll: [x, y], boxes: [{id, x, y, width, height, selector}]}, CSS pixels of this frame's viewport.
// A number may be split over elements, stand in a shadow tree or in a frame of the same origin, or only behind a tel: link.
(options) => {
  const MAX_TEXT = 2_000_000, MAX_GAP = 4;
  const INLINE = new Set("A ABBR B BDI BDO CITE CODE DATA EM FONT I INS KBD LABEL MARK Q S SAMP SMALL SPAN STRONG SUB SUP TIME TT U VAR WBR".split(" "));

  // All text as one string with the node every piece came from; a block boundary is a line break, which no number crosses.
  const pieces = [], telLinks = [];
  let text = "";
  const walk = (node, offset) => {
    if (text.length > MAX_TEXT) return;
    if (node.nodeType === Node.TEXT_NODE) {
      pieces.push({ start: text.length, node, offset });
      text += node.data.replace(/\s/g, " ");
      return;
    }
    if (node.nodeType === Node.ELEMENT_NODE) {
      if (["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE"].includes(node.tagName)) return;
      if (node.tagName === "A" && /^tel:/i.test(node.getAttribute("href") ?? "")) telLinks.push({ node, offset });
      if (node.tagName === "IFRAME") {
        let inner = null;
        try { inner = node.contentDocument; } catch { /* of another origin: asked by itself */ }
        if (inner?.documentElement) {
          const box = node.getBoundingClientRect();
          walk(inner.documentElement, [offset[0] + box.x + node.clientLeft, offset[1] + box.y + node.clientTop]);
        }
        text += "\n";
        return;
      }
    }
    const inline = node.nodeType !== Node.ELEMENT_NODE || INLINE.has(node.tagName);
    if (!inline) text += "\n";
    if (node.shadowRoot) for (const child of node.shadowRoot.childNodes) walk(child, offset);
    for (const child of node.childNodes) walk(child, offset);
    if (!inline) text += "\n";
  };
  const read = () => { pieces.length = telLinks.length = 0; text = ""; walk(document.documentElement, [0, 0]); };

  const pieceAt = (position) => {
    let low = 0, high = pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pieces[middle].start <= position) low = middle; else high = middle - 1;
    }
    return pieces[low];
  };

  // [start, end) of a run of these digits with only short punctuation between them, and no digit on either side
  const digitsAt = (digits) => {
    let places = [];
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code < 48 || code > 57) continue;
      if (places.length && at - places.at(-1) > 1) {
        const gap = text.slice(places.at(-1) + 1, at).slice(0, 80).replace(/ +/g, " ");
        if (gap.length > MAX_GAP || /[\n\p{L}]/u.test(gap)) places = [];
      }
      places.push(at);
      if (places.length > digits.length) places.shift();
      if (places.length === digits.length && places.every((place, index) => text[place] === digits[index])) {
        if (!/\d/.test(text[at + 1] ?? "")) return [places[0], at + 1];
      }
    }
    return null;
  };

  const rangeBox = (start, end) => {
    const first = pieceAt(start), last = pieceAt(end - 1);
    if (first.node.ownerDocument !== last.node.ownerDocument) return null;
    const range = first.node.ownerDocument.createRange();
    try {
      range.setStart(first.node, start - first.start);
      range.setEnd(last.node, end - last.start);
    } catch { return null; }
    return union([...range.getClientRects()], first.offset, first.node.parentElement ?? first.node.getRootNode().host);
  };
  const union = (rects, offset, element) => {
    const seen = rects.filter((rect) => rect.width > 0 && rect.height > 0);
    if (!seen.length) return null;
    const x = Math.min(...seen.map((rect) => rect.left)), y = Math.min(...seen.map((rect) => rect.top));
    const right = Math.max(...seen.map((rect) => rect.right)), bottom = Math.max(...seen.map((rect) => rect.bottom));
    return { x: x + offset[0], y: y + offset[1], width: right - x, height: bottom - y, element };
  };

  const find = (wanted) => {
    for (let at = text.indexOf(wanted.raw); wanted.raw && at >= 0; at = text.indexOf(wanted.raw, at + 1)) {
      const end = at + wanted.raw.length;
      const isPart = /\d/.test(text[at - 1] ?? "") || /\d/.test(text[end] ?? "");
      const box = isPart ? null : rangeBox(at, end);
      if (box) return box;
    }
    for (const digits of wanted.digits) {
      const found = digitsAt(digits);
      const box = found && rangeBox(...found);
      if (box) return box;
    }
    for (const { node, offset } of telLinks) {
      const called = decodeURIComponent(node.getAttribute("href").replace(/%(?![0-9a-f]{2})/gi, "")).replace(/\D/g, "");
      if (!wanted.digits.some((digits) => called.endsWith(digits))) continue;
      const box = union([...node.getClientRects(), ...[...node.children].flatMap((child) => [...child.getClientRects()])], offset, node);
      if (box) return box;
    }
    return null;
  };

  const selector = (element) => {
    const steps = [];
    for (let node = element; node && steps.length < 6; node = node.parentElement) {
      if (/^[A-Za-z][\w-]{0,60}$/.test(node.id) && node.getRootNode().querySelectorAll(`#${node.id}`).length === 1) {
        steps.unshift(`#${node.id}`);
        break;
      }
      const alike = node.parentElement ? [...node.parentElement.children].filter((other) => other.tagName === node.tagName) : [];
      steps.unshift(node.tagName.toLowerCase() + (alike.length > 1 ? `:nth-of-type(${alike.indexOf(node) + 1})` : ""));
    }
    return steps.join(" > ");
  };

  const measure = () => {
    read();
    return options.wanted.map((wanted) => ({ id: wanted.id, box: find(wanted) })).filter((found) => found.box);
  };
  let found = measure();
  const isOutside = ({ box }) => box.y < 0 || box.y + box.height > innerHeight || box.x < 0 || box.x + box.width > innerWidth;
  if (options.scroll && found.length && isOutside(found[0])) {
    found[0].box.element?.scrollIntoView({ block: "center", inline: "nearest", behavior: "instant" });
    found = measure();
  }
  return {
    viewport: [innerWidth, innerHeight], scroll: [scrollX, scrollY],
    boxes: found.map(({ id, box }) => ({ id, x: box.x, y: box.y, width: box.width, height: box.height, selector: selector(box.element) })),
  };
}
