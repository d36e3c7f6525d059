import { defineConfig } from "vitest/config";

const root = new URL(".", import.meta.url).pathname;
const alias = {
  "@leadfleet/client/react": `${root}src/react.ts`,
  "@leadfleet/client": `${root}src/index.ts`,
};

/** Ten times of what it takes on two busy cores: what passes waits no longer, and vitest's own second is too near. */
const patient = { testTimeout: 300_000, hookTimeout: 300_000, expect: { poll: { timeout: 60_000 } } };
const stack = {
  ...patient,
  globalSetup: ["tests/e2e/stack.ts"],
  fileParallelism: false, // one stack, which the tests break
};

export default defineConfig({
  test: {
    projects: [
      { resolve: { alias }, test: { name: "unit", include: ["tests/unit/**/*.test.{ts,tsx}"], ...patient } },
      { resolve: { alias }, test: { name: "e2e", include: ["tests/e2e/*.test.ts"], ...stack } },
      { resolve: { alias }, test: { name: "browser", include: ["tests/browser/*.test.ts"], ...patient } },
      { resolve: { alias }, test: { name: "live", include: ["tests/live/*.test.ts"], ...stack } },
    ],
  },
});
