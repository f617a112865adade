// Makes src/api/schema.d.ts of Central's document: node scripts/generate.mjs [--check]
// With --check it writes nothing and fails when the committed file is not what the document gives.
import { readFileSync, writeFileSync } from 'node:fs';
import openapiTS, { astToString, COMMENT_HEADER } from 'openapi-typescript';

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

const made =
  COMMENT_HEADER + astToString(await openapiTS(document, { emptyObjectsUnknown: true, silent: true }));
if (!process.argv.includes('--check')) {
  writeFileSync(OUT, made);
} else if (readFileSync(OUT, 'utf8') !== made) {
  console.error(`${OUT} is not what central/openapi.json gives; run: npm run generate`);
  process.exit(1);
} else {
  console.log('the generated types are up to date');
}
