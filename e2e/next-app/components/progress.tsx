interface Numbers {
  /** Units by state. */
  units: Readonly<Record<string, number>> | undefined;
  pages: number | undefined;
  leads: number;
}

const DONE = ["completed", "failed"]; // units that were stopped are not

export function Progress({ units = {}, pages = 0, leads }: Numbers) {
  const all = sum(Object.values(units));
  const done = sum(DONE.map((state) => units[state] ?? 0));
  return (
    <section className="card row progress" aria-label="Progress">
      <progress max={Math.max(1, all)} value={done} aria-label="Addresses done" />
      <span>
        <b>{done}</b> of <b>{all}</b> {all === 1 ? "address" : "addresses"}
      </span>
      <span>
        <b>{pages.toLocaleString("en")}</b> pages
      </span>
      <span>
        <b>{leads.toLocaleString("en")}</b> leads
      </span>
    </section>
  );
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
