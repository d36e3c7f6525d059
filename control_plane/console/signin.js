/** The way in, for who has no session. */

import { Problem, signIn } from "./api.js";
import { h, say, show } from "./dom.js";
import { button } from "./parts.js";

/** Shows the form; `done()` runs once there is a session. `reason` says why one is asked to sign in again. */
export function showSignIn(root, reason, done) {
  const key = h("input", {
    id: "api-key", name: "api-key", type: "password", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
    placeholder: "lfk_…", required: true, "aria-describedby": "api-key-hint api-key-error",
  });
  const error = h("p", { id: "api-key-error", class: "field-error", role: "alert", hidden: true });
  const enter = button("Sign in", { kind: "primary wide" });
  enter.type = "submit";

  const fail = (text) => {
    say(error, text);
    show(error, true);
    key.setAttribute("aria-invalid", "true");
    key.focus();
  };
  const submit = async (event) => {
    event.preventDefault();
    const given = key.value.trim();
    if (!given) return fail("Enter an API key.");
    if (!/^[\x21-\x7e]+$/.test(given)) return fail("An API key has no blanks and no special letters. Copy it again.");
    enter.disabled = true;
    try {
      await signIn(given);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      return fail(problem.status === 401 ? "This key is not known, or it was revoked." : problem.message);
    } finally {
      enter.disabled = false;
    }
    key.value = "";
    return done();
  };

  root.replaceChildren(
    h(
      "main",
      { class: "signin" },
      h(
        "form",
        { class: "card signin-card", noValidate: true, on: { submit } },
        h("img", { src: "/console/icon.svg", alt: "", width: "44", height: "44" }),
        h("h1", {}, "Sign in to Leadfleet"),
        h("p", { class: "muted" }, reason || "Use an API key of your tenant, or open the one-time link that “leadfleet up” prints."),
        h("label", { htmlFor: "api-key" }, "API key"),
        key,
        error,
        enter,
        h("p", { id: "api-key-hint", class: "hint" }, "The key is exchanged for a session of 12 hours. It is not kept in this browser."),
      ),
      h("p", { class: "hint" }, h("a", { href: "/docs" }, "API description")),
    ),
  );
  document.title = "Sign in · Leadfleet";
  key.focus();
}
