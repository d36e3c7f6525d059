import { LeadfleetClient, ProblemError } from "@leadfleet/client";
import { cookies, headers } from "next/headers";
import { redirect } from "next/navigation";
import { apiUrl } from "./settings";

const COOKIE = "leadfleet_key";

/** The API key of whoever is signed in. */
export async function sessionKey(): Promise<string | undefined> {
  return (await cookies()).get(COOKIE)?.value;
}

/** Keep the key where no script of a page can read it, until the browser is closed. */
export async function openSession(key: string): Promise<void> {
  const secure = (await headers()).get("x-forwarded-proto") === "https";
  (await cookies()).set(COOKIE, key, { httpOnly: true, sameSite: "lax", secure, path: "/" });
}

export async function closeSession(): Promise<void> {
  (await cookies()).delete(COOKIE);
}

/** Ask the API on behalf of whoever is signed in; who is not, or no more, is sent to sign in. */
export async function asked<T>(question: (client: LeadfleetClient) => Promise<T>): Promise<T> {
  const apiKey = await sessionKey();
  if (!apiKey) redirect("/sign-in");
  try {
    return await question(new LeadfleetClient({ baseUrl: apiUrl(), apiKey }));
  } catch (error) {
    if (error instanceof ProblemError && error.status === 401) redirect("/sign-in");
    throw error;
  }
}
