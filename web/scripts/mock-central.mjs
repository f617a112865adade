// The production build with the mocked API behind it, in one process that keeps its state: for trying the browser test
// without a Central. Usage: node scripts/mock-central.mjs [port] [mock]; prints the address.

import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join } from 'node:path';
import { Readable } from 'node:stream';
import { getResponse } from 'msw';
import { createServer as createVite } from 'vite';
import { CSP } from './serve.mjs';

const port = Number(process.argv[2] ?? 0);
const server = createServer(answer);
await new Promise((done) => server.listen(port, '127.0.0.1', done));
const url = `http://127.0.0.1:${server.address().port}`;

globalThis.location = new URL(`${url}/?mock=${process.argv[3] ?? ''}`);
globalThis.sessionStorage = { getItem: () => null, setItem() {}, removeItem() {} };
const vite = await createVite({ server: { middlewareMode: true }, appType: 'custom', logLevel: 'error' });
const { handlers } = await vite.ssrLoadModule('/src/mocks/handlers.ts');
console.log(url);

const TYPES = {
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

async function answer(request, response) {
  const asked = new URL(request.url, url);
  if (asked.pathname.startsWith('/api/')) {
    const body = ['GET', 'HEAD'].includes(request.method)
      ? undefined
      : Buffer.concat(await request.toArray());
    const made = new Request(asked, {
      method: request.method,
      headers: request.headers,
      body: body?.length ? body : undefined,
    });
    const found = (await getResponse(handlers, made)) ?? new Response('', { status: 404 });
    response.writeHead(found.status, Object.fromEntries(found.headers));
    if (found.body)
      Readable.fromWeb(found.body)
        .on('error', () => {})
        .pipe(response);
    else response.end();
    return;
  }
  const file = extname(asked.pathname) ? asked.pathname : '/index.html';
  try {
    const text = await readFile(join('dist', file));
    response.writeHead(200, {
      'content-type': TYPES[extname(file)] ?? 'text/html; charset=utf-8',
      'content-security-policy': CSP.replace(" worker-src 'self';", ''),
      'x-content-type-options': 'nosniff',
    });
    response.end(text);
  } catch {
    response.writeHead(404).end();
  }
}
