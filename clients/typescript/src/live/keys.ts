/** Gives the wheel back from the keyboard. On a Mac the command key does as well as control. */
export const LEAVE_CHORD = "Ctrl+Shift+Enter";

/** What we look at of a `KeyboardEvent`. */
export interface Stroke {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
  /** An input method is at work: what it makes comes as text. */
  readonly isComposing: boolean;
  /** Makes characters such as `@` on many keyboards, and is reported as control and alt. */
  readonly altGraph: boolean;
}

const NAMED = new Set([
  "Enter",
  "Tab",
  "Backspace",
  "Delete",
  "Escape",
  "Home",
  "End",
  "PageUp",
  "PageDown",
  "ArrowUp",
  "ArrowDown",
  "ArrowLeft",
  "ArrowRight",
]);

/** Select all, copy, cut, undo, redo. Paste comes as what is pasted; all others belong to the person's own browser. */
const EDITING = new Set(["a", "c", "x", "z", "y"]);

export function isLeaveChord({ key, ctrlKey, metaKey, shiftKey, altKey }: Stroke): boolean {
  return key === "Enter" && (ctrlKey || metaKey) && shiftKey && !altKey;
}

/** What to press on the page for a key that goes down here; undefined for what comes as text, and for what is ours. */
export function pressOf(stroke: Stroke): string | undefined {
  const { key, ctrlKey, metaKey, altKey, shiftKey, isComposing, altGraph } = stroke;
  if (isComposing) return undefined;
  const control = (ctrlKey || metaKey) && !altGraph;
  if ([...key].length === 1) {
    if (!control) return /^[ -~]$/.test(key) ? key : undefined; // others are on no key that the server knows
    const letter = key.toLowerCase();
    return EDITING.has(letter) && !altKey ? `Control+${shiftKey ? "Shift+" : ""}${letter}` : undefined;
  }
  if (!NAMED.has(key) || altKey) return undefined;
  return `${control ? "Control+" : ""}${shiftKey ? "Shift+" : ""}${key}`;
}
