/** One lead: all that is known, and from where. */

import { Problem, get, isAbort } from "./api.js";
import { h } from "./dom.js";
import { address, moment, plural, webAddress, words } from "./format.js";
import { badge, dialog, loading, notice } from "./parts.js";

const EMPTY = { phones: [], emails: [], categories: [], opening_hours: [], socials: {}, score_reasons: [], rating: null, review_count: null };
const MAX_SOURCES = 20;
const EMPTY_PHONE = { kind: "voice", validation_status: "invalid" };

/** A lead with all its members: lists and filters leave out what has its default. */
export function whole(lead) {
  const phones = (lead.phones ?? []).map((phone) => ({ ...EMPTY_PHONE, ...phone }));
  return { ...EMPTY, ...lead, phones };
}

/** What a lead is called. */
export const nameOf = (lead) => lead.display_name || address(lead.website) || "Unnamed";

/** Opens the lead in a dialog over the list. */
export function showLead(id, name, signal) {
  return dialog(name, () => {
    const body = h("div", { class: "lead" }, loading(6));
    load(id, body, signal);
    return body;
  }, { signal, wide: true });
}

async function load(id, body, signal) {
  try {
    const { lead, observations } = await get(`/api/leads/${encodeURIComponent(id)}`, signal);
    body.replaceChildren(...parts(whole(lead), observations));
  } catch (problem) {
    if (isAbort(problem)) return;
    if (!(problem instanceof Problem)) throw problem;
    const trouble = notice();
    trouble.set(problem.message);
    body.replaceChildren(trouble.element);
  }
}

function parts(lead, observations) {
  const place = lead.address ?? {};
  const sources = new Set(observations.map((each) => each.source_url).filter(Boolean));
  const city = [place.postal_code, place.city].filter(Boolean).join(" ");
  return [
    h(
      "div",
      { class: "lead-top" },
      h("span", { class: "score large", data: { band: lead.score_band ?? "cold" } }, String(lead.score ?? "–")),
      h("div", {}, h("p", { class: "lead-band" }, words(lead.score_band ?? "not scored")), h("ul", { class: "reasons" }, ...lead.score_reasons.map((reason) => h("li", {}, reason)))),
    ),
    h(
      "dl",
      { class: "facts" },
      ...fact("Phones", lead.phones.map(phoneLine)),
      ...fact("E-mails", lead.emails.map((each) => h("a", { href: `mailto:${each}` }, each))),
      ...fact("Website", [link(lead.website)]),
      ...fact("Address", [place.street, city, place.region, place.country].filter(Boolean)),
      ...fact("Categories", [lead.categories.join(", ")]),
      ...fact("Rating", [lead.rating !== null && `${lead.rating}${lead.review_count === null ? "" : ` of ${plural(lead.review_count, "review")}`}`]),
      ...fact("Opening hours", lead.opening_hours),
      ...fact("Social media", Object.entries(lead.socials).map(([name, url]) => link(url, words(name)))),
      ...fact("Summary", [lead.enrichment?.summary]),
      ...fact("About", [lead.description]),
      ...fact("First seen", [moment(lead.first_seen_at)]),
      ...fact("Last seen", [moment(lead.last_seen_at)]),
      ...fact(`Found on ${plural(sources.size, "page")}`, [...sources].slice(0, MAX_SOURCES).map((url) => link(url))),
    ),
  ];
}

function fact(name, values) {
  const known = values.filter(Boolean);
  return known.length ? [h("dt", {}, name), h("dd", {}, ...known.map((value) => h("div", {}, value)))] : [];
}

function phoneLine(phone) {
  const number = phone.international ?? phone.raw;
  const kind = [phone.kind === "fax" && "fax", phone.line_type && words(phone.line_type)].filter(Boolean).join(", ");
  const shown = phone.normalized_e164 ? h("a", { class: "phone-number", href: `tel:${phone.normalized_e164}` }, number) : h("span", { class: "phone-number" }, number);
  return h("span", { class: "fact-line" }, shown, badge(phone.validation_status).element, h("span", { class: "muted" }, kind));
}

function link(url, label = address(url)) {
  const target = webAddress(url);
  return target && h("a", { href: target, rel: "noopener noreferrer", target: "_blank" }, label);
}
