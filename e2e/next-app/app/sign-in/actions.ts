"use server";

import { LeadfleetClient, ProblemError } from "@leadfleet/client";
import { redirect } from "next/navigation";
import { closeSession, openSession } from "../../server/session";
import { apiUrl } from "../../server/settings";

export interface SignInState {
  error?: string;
}

const UNKNOWN = "This key is not known, or it was revoked.";

export async function signIn(_before: SignInState, form: FormData): Promise<SignInState> {
  const key = String(form.get("key") ?? "").trim();
  if (!key) return { error: "Enter an API key." };
  if (!/^[\x21-\x7e]+$/.test(key)) return { error: UNKNOWN }; // no header could carry it
  try {
    await new LeadfleetClient({ baseUrl: apiUrl(), apiKey: key, retry: { attempts: 1 } }).whoAmI();
  } catch (error) {
    if (!(error instanceof ProblemError)) return { error: "The API does not answer. Try again in a moment." };
    return { error: error.status === 401 ? UNKNOWN : error.detail };
  }
  await openSession(key);
  redirect("/");
}

export async function signOut(): Promise<void> {
  await closeSession();
  redirect("/sign-in");
}
