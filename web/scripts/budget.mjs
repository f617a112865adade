// What the first page costs, against the design's budget: node scripts/budget.mjs [dist]
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const dist = process.argv[2] ?? 'dist';
const KB = 1024;
const LIMITS = { 'first-load JS, gzip': 200 * KB, 'CSS, gzip': 15 * KB, 'first-load fonts': 110 * KB };

const html = readFileSync(join(dist, 'index.html'), 'utf8');
const assets = readdirSync(join(dist, 'assets'));
const read = (name) => readFileSync(join(dist, 'assets', name));

// The first page is what index.html names, what those import without being asked, and the page at /.
const first = new Set();
const visit = (name) => {
  if (first.has(name) || !assets.includes(name)) return;
  first.add(name);
  for (const [, found] of String(read(name)).matchAll(/(?:from|import)\s*["']\.\/([\w.-]+\.js)["']/g))
    visit(found);
};
for (const [, name] of html.matchAll(/assets\/([\w.-]+\.js)/g)) visit(name);
for (const name of assets.filter((one) => /^overview-.*\.js$/.test(one))) visit(name);

const gzip = (name) => gzipSync(read(name), { level: 9 }).length;
const sum = (names, size) => names.reduce((total, name) => total + size(name), 0);
const css = assets.filter((name) => name.endsWith('.css'));
const fonts = assets.filter((name) => name.endsWith('.woff2'));
const firstFonts = fonts.filter((name) => !name.includes('latin-ext'));
const found = {
  'first-load JS, gzip': sum([...first], gzip),
  'CSS, gzip': sum(css, gzip),
  'first-load fonts': sum(firstFonts, (name) => statSync(join(dist, 'assets', name)).size),
};

let over = 0;
for (const [what, limit] of Object.entries(LIMITS)) {
  const size = found[what];
  if (size > limit) over += 1;
  console.log(`${what}: ${(size / KB).toFixed(1)} of ${limit / KB} KB${size > limit ? ', OVER' : ''}`);
}
const every = assets.filter((name) => name.endsWith('.js'));
console.log(`all JS, gzip: ${(sum(every, gzip) / KB).toFixed(1)} KB in ${every.length} files`);
for (const name of every) {
  if (/mockServiceWorker|msw/.test(String(read(name)))) {
    console.log(`${name} holds the mocks, which belong in no production build`);
    over += 1;
  }
}
if (/<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son\w+=/i.test(html)) {
  console.log('index.html holds something inline, which the content security policy forbids');
  over += 1;
}
process.exit(over > 0 ? 1 : 0);
