import type { Metadata } from "next";
import { connection } from "next/server";
import type { ReactNode } from "react";
import "./globals.css";

export const metadata: Metadata = { title: { default: "Leads", template: "%s · Leads" } };

export default async function RootLayout({ children }: { children: ReactNode }) {
  await connection(); // every page is rendered when it is asked for: its scripts carry the nonce of its policy
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
