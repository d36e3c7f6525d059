"use client";

import type { Lead } from "@leadfleet/client";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useRef } from "react";

const ROW_PX = 36;
const COLUMNS = ["Name", "Phone", "E-mail", "City", "Website", "Score"];

/** The leads as they come. Only the rows in sight are in the page, so that 5,000 are as quick as 50. */
export function LeadsTable({ leads, total }: { leads: readonly Lead[]; total: number }) {
  const scroller = useRef<HTMLElement>(null);
  const rows = useVirtualizer({
    count: leads.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 8,
  });
  const shown = rows.getVirtualItems();
  const above = shown[0]?.start ?? 0;
  const below = rows.getTotalSize() - (shown.at(-1)?.end ?? 0);
  return (
    <section className="card" aria-labelledby="leads">
      <h2 id="leads">Leads</h2>
      <p className="hint" role="status">
        {total > leads.length && leads.length > 0
          ? `The latest ${leads.length.toLocaleString("en")} of ${total.toLocaleString("en")}`
          : `${leads.length.toLocaleString("en")} leads`}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be scrollable with keys */}
      <section className="table scrolls" aria-label="Table of leads" ref={scroller} tabIndex={0}>
        <table aria-rowcount={leads.length + 1}>
          <thead>
            <tr>
              {COLUMNS.map((column) => (
                <th key={column} scope="col">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            <Space height={above} />
            {shown.map(({ index }) => {
              const lead = leads[index];
              return lead && <Row key={lead.lead_id ?? index} lead={lead} index={index} />;
            })}
            <Space height={below} />
            {leads.length === 0 && (
              <tr>
                <td colSpan={COLUMNS.length} className="hint">
                  They appear here as they are found.
                </td>
              </tr>
            )}
          </tbody>
        </table>
      </section>
    </section>
  );
}

/** Stands for the rows that are out of sight. */
function Space({ height }: { height: number }) {
  return (
    height > 0 && (
      <tr style={{ height }}>
        <td colSpan={COLUMNS.length} />
      </tr>
    )
  );
}

const Row = memo(function Row({ lead, index }: { lead: Lead; index: number }) {
  const [phone] = lead.phones ?? [];
  return (
    <tr aria-rowindex={index + 2} data-lead={lead.lead_id} style={{ height: ROW_PX }}>
      <th scope="row">{lead.display_name}</th>
      <td className="number">{phone && (phone.international ?? phone.raw)}</td>
      <td>{lead.emails?.[0]}</td>
      <td>{lead.address?.city}</td>
      <td>{lead.website && <Website url={lead.website} />}</td>
      <td className="number">{lead.score}</td>
    </tr>
  );
});

/** Scraped, so it may be anything: only what leads to a page is a link. */
function Website({ url }: { url: string }) {
  const target = URL.canParse(url) ? new URL(url) : undefined;
  if (!target || !/^https?:$/.test(target.protocol)) return url;
  return (
    <a href={target.href} rel="noreferrer" target="_blank">
      {target.host}
    </a>
  );
}
