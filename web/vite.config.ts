import { readFile } from 'node:fs/promises';
import react from '@vitejs/plugin-react';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Where a real Central listens while `npm run dev` is used with `FARWATCH_URL`; without it the mocks answer. */
const central = process.env.FARWATCH_URL;

/** Serves the mock worker in development and in mock builds only, so that no production bundle carries it. */
function mockWorker(): Plugin {
  const file = new URL('./node_modules/msw/lib/mockServiceWorker.js', import.meta.url);
  return {
    name: 'farwatch-mock-worker',
    configureServer(server) {
      server.middlewares.use('/mockServiceWorker.js', async (_request, response) => {
        response.setHeader('content-type', 'text/javascript');
        response.end(await readFile(file));
      });
    },
    async generateBundle() {
      if (this.environment.config.mode !== 'mock') return;
      this.emitFile({ type: 'asset', fileName: 'mockServiceWorker.js', source: await readFile(file) });
    },
  };
}

export default defineConfig(({ mode, command }) => ({
  plugins: [react(), mockWorker()],
  define: {
    __MOCKS__: JSON.stringify(mode === 'mock' || (command === 'serve' && mode === 'development' && !central)),
  },
  server: central ? { proxy: { '/api': { target: central, changeOrigin: false, secure: false } } } : {},
  build: {
    // `light-dark()` and nesting as they are: every browser since early 2024 knows them.
    target: ['chrome123', 'firefox121', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
    reportCompressedSize: false,
  },
  test: {
    environment: 'jsdom',
    include: ['src/**/*.test.{ts,tsx}', 'test/**/*.test.ts'],
    setupFiles: ['./test/setup.ts'],
    env: { TZ: 'UTC' },
  },
}));
