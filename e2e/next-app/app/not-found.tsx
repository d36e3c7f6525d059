import Link from "next/link";

export default function NotFound() {
  return (
    <main>
      <h1>There is nothing here</h1>
      <p>
        The task may be another tenant's. <Link href="/">To the tasks</Link>
      </p>
    </main>
  );
}
