// Takes a picture of every page in both themes and two widths, from the mock build: node scripts/shots.mjs FOLDER [name…]
// Says what went wrong in the page: console errors, CSP reports, sideways scrolling.
import { mkdirSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { serve } from './serve.mjs';

const folder = process.argv[2] ?? '/tmp/shots-web';
const only = process.argv.slice(3);
mkdirSync(folder, { recursive: true });
const { url, close } = await serve('node_modules/.cache/mock-dist');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--font-render-hinting=none',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});

const click = (text) => async (page) => page.locator('#view a', { hasText: text }).first().click();
const PAGES = [
  ['overview', '/'],
  ['customers', '/customers'],
  ['customer', '/customers', click('Kestrel Logistics')],
  ['site', '/customers', click('Kestrel Logistics'), click('Rotterdam DC')],
  [
    'site-discovery',
    '/customers',
    click('Kestrel Logistics'),
    click('Rotterdam DC'),
    async (page) => page.getByRole('link', { name: 'Discovery' }).click(),
  ],
  [
    'site-settings',
    '/customers',
    click('Kestrel Logistics'),
    click('Rotterdam DC'),
    async (page) => page.getByRole('link', { name: 'Settings' }).click(),
  ],
  ['devices', '/devices'],
  ['devices-hostile', '/devices?q=10.20.66'],
  ['device', '/devices?q=edge-fw1', click('edge-fw1')],
  [
    'device-interface',
    '/devices?q=edge-fw1',
    click('edge-fw1'),
    async (page) => page.getByRole('button', { name: 'wan1' }).click(),
    async (page) => page.locator('tr.detail').scrollIntoViewIfNeeded(),
  ],
  ['device-stale', '/devices?st=unknown', async (page) => page.locator('.vt-row a').first().click()],
  ['device-down', '/devices?q=core-sw1', click('core-sw1')],
  [
    'device-forget',
    '/devices?q=edge-fw1',
    click('edge-fw1'),
    async (page) => page.getByRole('button', { name: 'Actions' }).click(),
    async (page) => page.getByRole('menuitem', { name: 'Forget' }).click(),
  ],
  ['incidents', '/incidents'],
  ['incident', '/incidents/2417'],
  ['probes', '/probes'],
  ['probe', '/probes', click('kes-gda-3')],
  ['probe-silent', '/probes?view=silent', async (page) => page.locator('.vt-row a').first().click()],
  [
    'wizard',
    '/probes/new',
    async (page) => page.getByLabel('Customer', { exact: true }).selectOption({ label: 'Kestrel Logistics' }),
    async (page) => page.getByLabel('Site', { exact: true }).selectOption({ label: 'Gdańsk depot' }),
    async (page) => page.getByRole('button', { name: 'Make the command' }).click(),
    async (page) => page.waitForTimeout(12_500),
  ],
  ['channels', '/alerting/channels'],
  [
    'channel-new',
    '/alerting/channels',
    async (page) => page.getByRole('button', { name: 'New channel' }).click(),
  ],
  ['credentials', '/admin/credentials'],
  ['users', '/admin/users'],
  ['audit', '/admin/audit'],
  ['health', '/admin/health'],
  ['profile', '/profile'],
  [
    'palette',
    '/',
    async (page) => page.keyboard.press('Control+k'),
    async (page) => page.getByRole('combobox').fill('core'),
  ],
  ['keys', '/', async (page) => page.keyboard.press('?')],
  ['login', '/?mock=login'],
  ['setup', '/setup?mock=setup#token=mock-token'],
  ['empty', '/?mock=empty'],
  ['broken', '/?mock=broken'],
];

let bad = 0;
for (const theme of (process.env.THEMES ?? 'dark,light').split(',')) {
  for (const width of (process.env.WIDTHS ?? '1440,390').split(',').map(Number)) {
    const context = await browser.newContext({
      viewport: { width, height: width === 390 ? 844 : 900 },
      colorScheme: theme,
      deviceScaleFactor: width === 390 ? 2 : 1,
      timezoneId: 'Europe/Amsterdam',
      hasTouch: width === 390,
    });
    for (const [name, path, ...steps] of PAGES) {
      if (
        only.length > 0 &&
        !only.some((one) => name === one || `${name}-${theme}-${width}` === one || `${width}` === one)
      )
        continue;
      const page = await context.newPage();
      page.setDefaultTimeout(6000);
      const said = [];
      page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type()) && !/status of (4|5)\d\d/.test(message.text()))
          said.push(message.text());
      });
      page.on('pageerror', (error) => said.push(String(error)));
      try {
        await page.goto(url + path);
        await page.waitForSelector('h1', { timeout: 15_000 });
        await page.waitForTimeout(900);
        for (const step of steps) {
          await step(page);
          await page.waitForTimeout(500);
        }
        await page.waitForTimeout(700);
        const wide = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        if (wide > 0) said.push(`scrolls sideways by ${wide} px`);
      } catch (error) {
        said.push(String(error).split('\n').slice(0, 4).join(' '));
      }
      await page.screenshot({ path: `${folder}/${name}-${theme}-${width}.png` });
      if (said.length > 0) {
        bad += 1;
        console.log(`${name} ${theme} ${width}: ${[...new Set(said)].join(' | ').slice(0, 700)}`);
      }
      await page.close();
    }
    await context.close();
  }
}
await browser.close();
close();
console.log(bad === 0 ? 'all clean' : `${bad} pages said something`);
