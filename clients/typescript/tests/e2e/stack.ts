import { spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { TestProject } from "vitest/node";

/** What `tests/stack_for_clients.py` prints, and where its commands are taken. */
export interface StackAddress {
  readonly url: string;
  readonly replicas: readonly string[];
  readonly key: string;
  readonly control: string;
}

declare module "vitest" {
  interface ProvidedContext {
    stack: StackAddress;
  }
}

/**
 * Starts one real stack for all files. Tests run in workers, which do not have its pipes: a tiny server passes their
 * commands on.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const repository = fileURLToPath(new URL("../../../..", import.meta.url));
  const browsers = project.name === "live" ? ["--chrome"] : [];
  const child = spawn(`${repository}/.venv/bin/python`, ["-m", "tests.stack_for_clients", ...browsers], {
    cwd: repository,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const answer = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done) throw new Error("the stack ended");
    return value;
  };
  const address = JSON.parse(await answer());
  let last: Promise<unknown> = Promise.resolve();
  const control = createServer((request, response) => {
    let command = "";
    request.on("data", (piece) => {
      command += piece;
    });
    request.on("end", () => {
      last = last.then(async () => {
        child.stdin.write(`${command}\n`);
        response.end(await answer());
      });
    });
  });
  await new Promise<void>((resolve) => control.listen(0, "127.0.0.1", resolve));
  const { port } = control.address() as AddressInfo;
  project.provide("stack", { ...address, control: `http://127.0.0.1:${port}` });
  return async () => {
    control.close();
    child.stdin.end();
    await ended;
  };
}
