import { defineConfig } from "vitest/config";

const root = new URL(".", import.meta.url).pathname;
const alias = {
  "@leadfleet/client/react": `${root}src/react.ts`,
  "@leadfleet/client": `${root}src/index.ts`,
};

const slow = { testTimeout: 120_000, hookTimeout: 120_000 };
const stack = {
  ...slow,
  globalSetup: ["tests/e2e/stack.ts"],
  fileParallelism: false, // one stack, which the tests break
};

export default defineConfig({
  test: {
    projects: [
      { resolve: { alias }, test: { name: "unit", include: ["tests/unit/**/*.test.{ts,tsx}"] } },
      { resolve: { alias }, test: { name: "e2e", include: ["tests/e2e/*.test.ts"], ...stack } },
      { resolve: { alias }, test: { name: "browser", include: ["tests/browser/*.test.ts"], ...slow } },
      { resolve: { alias }, test: { name: "live", include: ["tests/live/*.test.ts"], ...stack } },
    ],
  },
});
