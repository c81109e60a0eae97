import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `npm run dev` serves the page alone; the API is a jarvis-trio that runs beside it.
const api = "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../jarvis_trio/web/page",
    emptyOutDir: true,
    target: "es2022",
    license: { fileName: "licenses.txt" },
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/v1": api, "/readyz": api } },
});
