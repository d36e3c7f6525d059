import type { NextConfig } from "next";

export default {
  poweredByHeader: false,
  turbopack: { root: import.meta.dirname }, // or Next looks for lock files in the folders above
  headers: async () => [
    {
      source: "/:path*",
      headers: [
        { key: "Referrer-Policy", value: "same-origin" },
        { key: "X-Content-Type-Options", value: "nosniff" },
      ],
    },
  ],
} satisfies NextConfig;
