import { type Browser, chromium } from "playwright-core";

/** The Chrome that `make e2e` names, else Debian's. */
export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env["LEADFLEET_CHROME"] ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
    timeout: 100_000,
  });
}
