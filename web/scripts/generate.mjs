// Makes src/api/schema.d.ts of Central's document: node scripts/generate.mjs [--check]
// With --check it writes nothing and fails when the committed file is not what the document gives.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const OUT = 'src/api/schema.d.ts';
const text = readFileSync('../central/openapi.json', 'utf8');
const document = JSON.parse(text);

// A name the document uses and does not define would stop everything here; it is text until the document says more.
const used = new Set([...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name));
for (const name of used) {
  if (document.components.schemas[name]) continue;
  console.warn(`central/openapi.json refers to ${name} and does not define it; taken for text`);
  document.components.schemas[name] = { type: 'string' };
}

const folder = mkdtempSync(join(tmpdir(), 'farwatch-types-'));
try {
  const from = join(folder, 'openapi.json');
  const to = join(folder, 'schema.d.ts');
  writeFileSync(from, JSON.stringify(document));
  const program = join('node_modules', 'openapi-typescript', 'bin', 'cli.js');
  execFileSync(process.execPath, [program, from, '--empty-objects-unknown', '-o', to], {
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: 60_000,
  });
  const made = readFileSync(to, 'utf8');
  if (!process.argv.includes('--check')) {
    writeFileSync(OUT, made);
  } else if (readFileSync(OUT, 'utf8') !== made) {
    console.error(`${OUT} is not what central/openapi.json gives; run: npm run generate`);
    process.exitCode = 1;
  } else {
    console.log('the generated types are up to date');
  }
} finally {
  rmSync(folder, { recursive: true });
}
