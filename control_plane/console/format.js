/** Numbers, times and names in words. */

const NUMBER = new Intl.NumberFormat();
const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export const number = (value) => (value === null || value === undefined ? "–" : NUMBER.format(value));
export const moment = (iso) => (iso ? MOMENT.format(new Date(iso)) : "–");
/** A moment without its day, if that is today. */
export const since = (iso) => (new Date(iso).toDateString() === new Date().toDateString() ? TIME : MOMENT).format(new Date(iso));
export const clock = (iso) => CLOCK.format(new Date(iso));
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

/** Seconds as `42 s`, `3 min 20 s`, `2 h 05 min`. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

/** How long ago, in one unit. */
export function ago(iso) {
  if (!iso) return "–";
  const seconds = Math.max(0, (Date.now() - new Date(iso)) / 1000);
  if (seconds < 5) return "just now";
  for (const [size, unit] of [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]]) {
    const count = Math.floor(seconds / size);
    if (count >= 1) return `${plural(count, unit)} ago`;
  }
  return "just now";
}

/** Bytes as people read them. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const power = Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return `${(bytes / 1000 ** power).toFixed(1)} ${["B", "kB", "MB", "GB"][power]}`;
}

/** A web address without what every address has. */
export const address = (url) => (url ?? "").replace(/^https?:\/\/(www\.)?/, "").replace(/\/$/, "");

/** `business_type` as `Business type`. */
export function words(name) {
  const text = String(name).replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The address of a web page, or null for what a link should not lead to (`javascript:` and the like). */
export function webAddress(url) {
  return /^https?:\/\//i.test(url ?? "") ? url : null;
}
