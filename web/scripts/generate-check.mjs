// Fails when the committed types are not what Central's document gives: node scripts/generate-check.mjs
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'farwatch-types-'));
const made = join(folder, 'schema.d.ts');
const bin = (name) => join('node_modules', '.bin', name);
try {
  execFileSync(
    bin('openapi-typescript'),
    ['../central/openapi.json', '--empty-objects-unknown', '-o', made],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  const formatted = execFileSync(bin('biome'), ['format', '--stdin-file-path=src/api/schema.d.ts'], {
    input: readFileSync(made),
    maxBuffer: 1 << 26,
  });
  if (String(formatted) !== readFileSync('src/api/schema.d.ts', 'utf8')) {
    console.error('src/api/schema.d.ts is not what central/openapi.json gives; run: npm run generate');
    process.exitCode = 1;
  } else {
    console.log('the generated types are up to date');
  }
} finally {
  rmSync(folder, { recursive: true });
}
