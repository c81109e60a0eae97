import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/unit/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    testTimeout: 60_000, // against hanging: other tests have the machine too
  },
});
