"use client";

import { useRouter } from "next/navigation";
import { useEffect } from "react";

/** Has the server render the page again, again and again, while somebody looks. */
export function Refresh({ everyMs }: { everyMs: number }) {
  const router = useRouter();
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") router.refresh();
    }, everyMs);
    return () => clearInterval(timer);
  }, [router, everyMs]);
  return null;
}
