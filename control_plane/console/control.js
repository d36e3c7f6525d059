/** Pause, resume and stop of a task. */

import { Problem, isAbort, post } from "./api.js";
import { h, show } from "./dom.js";
import { button, confirmed } from "./parts.js";

const GOES_ON = new Set(["queued", "running"]);

/** States in which nothing more happens. */
export const ENDED = new Set(["completed", "stopped", "error"]);

/** The buttons; `update(task)` shows those that fit its state. `changed()` runs after one worked, `failed(text)` when not. */
export function actions({ bare = false, changed, failed, signal }) {
  let task = null;
  const make = (label, icon, verb, kind = "") => button(label, { icon, kind, bare, on: { click: () => act(verb) } });
  const pause = make("Pause", "pause", "pause");
  const resume = make("Resume", "play", "resume");
  const stop = make("Stop", "stop", "stop", "quiet-danger");

  async function act(verb) {
    const { task_id: id } = task;
    if (verb === "stop" && !(await confirmed("Stop this task?", "It ends for good. The leads that were found so far are kept.", "Stop task", signal))) return;
    for (const each of [pause, resume, stop]) each.disabled = true;
    try {
      await post(`/api/scraper/${verb}/${encodeURIComponent(id)}`);
      failed("");
    } catch (problem) {
      if (isAbort(problem)) return;
      if (!(problem instanceof Problem)) throw problem;
      failed(`The task was not changed: ${problem.message}`);
    } finally {
      for (const each of [pause, resume, stop]) each.disabled = false;
    }
    changed();
  }

  const buttons = [pause, resume, stop];
  return {
    element: h("div", { class: "task-actions" }, ...buttons),
    update(now) {
      task = now;
      const focused = buttons.includes(document.activeElement);
      show(pause, GOES_ON.has(now.status));
      show(resume, now.status === "paused");
      show(stop, !ENDED.has(now.status));
      if (focused && document.activeElement.hidden) buttons.find((each) => !each.hidden)?.focus();
    },
  };
}
