import type { Metadata } from "next";
import { SignInForm } from "./form";

export const metadata: Metadata = { title: "Sign in" };

export default function SignInPage() {
  return (
    <main className="sign-in">
      <h1>Sign in</h1>
      <SignInForm />
    </main>
  );
}
