import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import ts from "typescript";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);

test("the generated types are those of openapi.json", async () => {
  const folder = await mkdtemp(join(tmpdir(), "leadfleet-types-"));
  try {
    const { scripts } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const made = join(folder, "openapi.ts");
    const [, ...args] = scripts.types.replace("src/generated/openapi.ts", made).split(" ");
    await run(join(root, "node_modules/.bin/openapi-typescript"), args, { cwd: root });
    const kept = await readFile(join(root, "src/generated/openapi.ts"), "utf8");
    expect((await readFile(made, "utf8")) === kept, "run `make openapi`").toBe(true);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the examples of the README are right", async () => {
  const readme = await readFile(join(root, "README.md"), "utf8");
  const examples = [...readme.matchAll(/```(tsx?)\n([\s\S]*?)```/g)];
  expect(examples.length).toBeGreaterThanOrEqual(5);
  const folder = await mkdtemp(join(root, "tests", ".readme-")); // inside, to find the packages
  try {
    const files = examples.map(([, kind], index) => join(folder, `example-${index}.${kind}`));
    await Promise.all(files.map((file, index) => writeFile(file, examples[index]?.[2] ?? "")));
    const config = ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile);
    const { options } = ts.parseJsonConfigFileContent(config.config, ts.sys, root);
    const program = ts.createProgram(files, { ...options, noEmit: true });
    const wrong = ts
      .getPreEmitDiagnostics(program)
      .map((one) => ts.flattenDiagnosticMessageText(one.messageText, "\n"));
    expect(wrong).toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
