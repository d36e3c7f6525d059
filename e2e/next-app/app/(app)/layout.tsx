import Link from "next/link";
import type { ReactNode } from "react";
import { LeadfleetProvider } from "../../components/leadfleet";
import { asked } from "../../server/session";
import { streamUrl } from "../../server/settings";
import { signOut } from "../sign-in/actions";

/** Everything that needs a key. */
export default async function AppLayout({ children }: { children: ReactNode }) {
  const { tenant } = await asked((client) => client.whoAmI());
  return (
    <>
      <header className="top">
        <Link href="/" className="brand">
          Leads
        </Link>
        <span className="hint">{tenant}</span>
        <form action={signOut}>
          <button type="submit">Sign out</button>
        </form>
      </header>
      <main>
        <LeadfleetProvider streamUrl={streamUrl()}>{children}</LeadfleetProvider>
      </main>
    </>
  );
}
