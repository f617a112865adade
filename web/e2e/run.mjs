// The console in a real browser against a real Central: node e2e/run.mjs
//
//   FARWATCH_URL         where the console is, e.g. http://127.0.0.1:8080
//   FARWATCH_SETUP_LINK  the one-time link Central printed; left out, it signs in instead
//   FARWATCH_USER, FARWATCH_PASSWORD   whom to make or to sign in as
//   FARWATCH_CUSTOMER    a customer whose devices are there already; left out, one is made and its pages are looked at empty
//   FARWATCH_HOSTILE     a device name with markup that must be shown as text (default: looked for by "<script")
//   CHROMIUM, SHOTS      the browser's path; a folder for pictures
//
// Prints a line per check and at last `N passed, N failed`; exit 1 when one failed.
import { mkdirSync } from 'node:fs';
import { AxeBuilder } from '@axe-core/playwright';
import { chromium } from 'playwright-core';

const base = (process.env.FARWATCH_URL ?? 'http://127.0.0.1:8080').replace(/\/$/, '');
const setupLink = process.env.FARWATCH_SETUP_LINK;
const userName = process.env.FARWATCH_USER ?? 'e2e-admin';
const password = process.env.FARWATCH_PASSWORD ?? 'a long sentence for the browser test';
const existing = process.env.FARWATCH_CUSTOMER;
const hostile = process.env.FARWATCH_HOSTILE ?? '<script';
const shots = process.env.SHOTS;
const LIMIT = 20_000;
if (shots) mkdirSync(shots, { recursive: true });

let passed = 0;
let failed = 0;
async function check(name, what) {
  const begun = Date.now();
  try {
    const note = await what();
    passed += 1;
    console.log(`ok    ${name}${typeof note === 'string' ? ` (${note})` : ''} ${Date.now() - begun} ms`);
    return true;
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}: ${String(error).split('\n').slice(0, 6).join(' ').slice(0, 600)}`);
    if (shots) await page.screenshot({ path: `${shots}/failed-${failed}.png` }).catch(() => {});
    return false;
  }
}
function assert(condition, text) {
  if (!condition) throw new Error(text);
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
});
const context = await browser.newContext({
  viewport: { width: 1440, height: 900 },
  colorScheme: 'dark',
  ignoreHTTPSErrors: true,
});
context.setDefaultTimeout(LIMIT);
const page = await context.newPage();

// Whatever the page complains of is kept; the last check wants none of it.
const complaints = [];
const asked = [];
await context.exposeBinding('farwatchReport', (_source, text) => complaints.push(`CSP: ${text}`));
await context.addInitScript(() => {
  document.addEventListener('securitypolicyviolation', (event) => {
    window.farwatchReport(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
  });
  window.alert = (text) => window.farwatchReport(`alert(${text}) was run`);
});
page.on('console', (message) => {
  // The browser itself writes a line for each refused request; the ones that are part of the test are not faults.
  if (message.type() === 'error' && !/Failed to load resource/.test(message.text()))
    complaints.push(message.text());
});
page.on('pageerror', (error) => complaints.push(String(error)));
page.on('request', (request) => asked.push(request.url()));
page.on('response', (response) => {
  if (response.status() >= 500)
    complaints.push(`${response.status()} from ${new URL(response.url()).pathname}`);
});

/** Serious findings of axe on the page as it is now. */
async function accessible() {
  const { violations } = await new AxeBuilder({ page })
    .withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'])
    .analyze();
  const bad = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
  assert(
    bad.length === 0,
    bad
      .map(
        ({ id, nodes }) =>
          `${id}: ${nodes
            .slice(0, 2)
            .map((node) => node.html.slice(0, 160))
            .join(' ')}`,
      )
      .join(' | '),
  );
}
const heading = () => page.locator('h1').first();
const shot = async (name) => {
  if (shots) await page.screenshot({ path: `${shots}/${name}.png` });
};
const quiet = () => page.waitForTimeout(400);

await check('a page has a strict policy and nothing inline', async () => {
  const response = await page.request.get(`${base}/login`);
  const policy = response.headers()['content-security-policy'] ?? '';
  assert(policy.includes("default-src 'none'"), `policy is "${policy}"`);
  assert(!policy.includes('unsafe-inline') && !policy.includes('unsafe-eval'), `policy is "${policy}"`);
  assert(
    !/<script(?![^>]*\bsrc=)[^>]*>|<style|\son\w+=/i.test(await response.text()),
    'something inline in the page',
  );
});

await check('the sign-in says nothing about versions, probes or customers', async () => {
  await page.goto(`${base}/devices?q=x`);
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  const text = await page.locator('body').innerText();
  assert(!/\d+\.\d+\.\d+(?!\.\d)/.test(text.replace(/\d+\.\d+\.\d+\.\d+/g, '')), 'a version is shown');
});

if (setupLink) {
  await check('the set-up link makes the first account, and its token is in no request address', async () => {
    await page.goto(setupLink);
    const token = new URLSearchParams(new URL(setupLink).hash.slice(1)).get('token') ?? '';
    await page.getByLabel('User name').fill(userName);
    await page.getByLabel('Your name optional').fill('Browser Test');
    await page.getByLabel('Password', { exact: true }).fill(password);
    await page.getByLabel('Password again').fill(password);
    assert(!page.url().includes(token), 'the token stayed in the address bar');
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.getByRole('heading', { name: 'Who are you looking after first?' }).waitFor();
    assert(!asked.some((url) => token && url.includes(token)), 'the token went over the wire in an address');
  });
  await check('the set-up link does not work twice', async () => {
    const other = await browser.newContext({ ignoreHTTPSErrors: true });
    const again = await other.newPage();
    await again.goto(setupLink);
    await again.getByLabel('User name').fill('somebody-else');
    await again.getByLabel('Password', { exact: true }).fill(password);
    await again.getByLabel('Password again').fill(password);
    await again.getByRole('button', { name: 'Set password' }).click();
    await again.getByText('The set-up link is not valid').waitFor({ timeout: LIMIT });
    await other.close();
  });
  await check('signing out and in again works', async () => {
    await page.goto(base);
    await page.getByRole('button', { name: /Signed in as/ }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  });
}

await check('a wrong password is refused in words', async () => {
  await page.goto(`${base}/login`);
  await page.getByLabel('User name').fill(userName);
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('User name and password do not match.').waitFor();
});

const inside = await check('the right password leads to the overview', async () => {
  await page.getByLabel('User name').fill(userName);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('link', { name: 'Overview' }).first().waitFor();
  await page.getByLabel('Devices by state').waitFor();
});

if (inside) {
  const made = `E2E ${Date.now().toString(36)}`;
  await check('a customer is added', async () => {
    await page.goto(`${base}/customers`);
    await page.getByRole('button', { name: 'Add customer' }).first().click();
    await page.getByRole('dialog').getByLabel('Name').fill(made);
    await page.getByRole('dialog').getByRole('button', { name: 'Add customer' }).click();
    await page.getByRole('heading', { name: made }).waitFor();
  });
  await check('a site is added, and says that nothing watches it', async () => {
    await page.getByRole('button', { name: 'Add site' }).first().click();
    await page.getByRole('dialog').getByLabel('Name').fill('Main house');
    await page.getByRole('dialog').getByLabel('Time zone').selectOption('Europe/Amsterdam');
    await page.getByRole('dialog').getByRole('button', { name: 'Add site' }).click();
    await page.getByRole('heading', { name: 'Main house' }).waitFor();
    await page.getByText('Nothing is watching this site yet').first().waitFor();
  });
  await check('its configuration is changed and kept', async () => {
    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByLabel('Ranges').fill('192.0.2.0/28');
    await page.getByText('16 addresses').waitFor();
    await page.getByRole('button', { name: 'Save site configuration' }).click();
    await page.getByText('Saved; the probes take it at once').waitFor();
    await page.reload();
    await page.getByLabel('Ranges').waitFor();
    assert((await page.getByLabel('Ranges').inputValue()) === '192.0.2.0/28', 'the range was not kept');
  });
  await check('two people saving at once: the second is told', async () => {
    const other = await context.newPage();
    await other.goto(page.url());
    await other.getByLabel('Ranges').fill('192.0.2.0/27');
    await other.getByRole('button', { name: 'Save site configuration' }).click();
    await other.getByText('Saved; the probes take it at once').waitFor();
    await other.close();
    await page.getByLabel('Ranges').fill('192.0.2.0/26');
    await page.getByRole('button', { name: 'Save site configuration' }).click();
    await page.getByText('Somebody else saved this site meanwhile.').waitFor();
    await page.getByRole('button', { name: 'Take theirs' }).click();
    assert((await page.getByLabel('Ranges').inputValue()) === '192.0.2.0/27', 'theirs was not taken');
  });
  await check('a credential is added and its secret never comes back', async () => {
    await page.getByRole('button', { name: 'New credential' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Name', { exact: true }).fill('e2e-v3');
    await dialog.getByLabel('User name').fill('farwatch');
    await dialog.getByLabel('Authentication secret').fill('auth-secret-e2e');
    await dialog.getByLabel('Privacy secret').fill('priv-secret-e2e');
    await dialog.getByRole('button', { name: 'Add credential' }).click();
    await page.getByText('e2e-v3').first().waitFor();
    const answer = await page.request.get(`${base}/api/v1/credentials`);
    const text = await answer.text();
    assert(text.includes('e2e-v3') && !text.includes('secret-e2e'), 'the list of credentials holds a secret');
  });
  await check('the wizard makes one command and waits for the probe', async () => {
    await page.getByRole('link', { name: 'Add probe' }).first().click();
    await page.getByRole('button', { name: 'Make the command' }).click();
    await page.locator('.cmd .tok').waitFor();
    const token = await page.locator('.cmd .tok').innerText();
    await page.getByText('Waiting for the probe').waitFor();
    assert(token.length >= 16, `the token is "${token}"`);
    assert(
      !page.url().includes(token) && !asked.some((url) => url.includes(token)),
      'the token is in an address',
    );
  });
  await check('a channel is added and its test says how it went', async () => {
    await page.goto(`${base}/alerting/channels`);
    await page.getByRole('button', { name: 'New channel' }).first().click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Kind').selectOption('webhook');
    await dialog.getByLabel('Name', { exact: true }).fill(`${made} hook`);
    await dialog.getByLabel('Address').fill('http://127.0.0.1:9/nobody-listens');
    await dialog.getByRole('button', { name: 'Add channel' }).click();
    const row = page.getByRole('row', { name: new RegExp(`${made} hook`) });
    await row.getByRole('button', { name: 'Send test' }).click();
    await row.getByRole('status').waitFor({ timeout: 40_000 });
    return (await row.getByRole('status').innerText()).slice(0, 80);
  });

  for (const [name, path] of [
    ['incidents', '/incidents'],
    ['probes', '/probes'],
    ['credentials', '/admin/credentials'],
    ['users', '/admin/users'],
    ['audit', '/admin/audit'],
    ['health', '/admin/health'],
    ['profile', '/profile'],
    ['customers', '/customers'],
  ]) {
    await check(`the page ${name} opens with a heading, in a fresh tab`, async () => {
      await page.goto(base + path);
      await heading().waitFor({ state: 'attached' });
      await quiet();
      const alerts = await page.locator('[role="alert"]').allInnerTexts();
      assert(alerts.length === 0, alerts.join(' '));
      const wide = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      assert(wide <= 0, `it scrolls sideways by ${wide} px`);
      await accessible();
      await shot(name);
    });
  }

  if (existing) {
    await check('the devices are listed, worst first, with the age of their values', async () => {
      await page.goto(`${base}/devices`);
      await page.locator('.vt-row').first().waitFor();
      const n = Number(await page.getByRole('grid', { name: 'Devices' }).getAttribute('aria-rowcount')) - 1;
      assert(n > 0, 'no device');
      await accessible();
      await shot('devices');
      return `${n} devices`;
    });
    await check('the list is walked by keys and Enter opens a device', async () => {
      await page.locator('.vt-row').first().focus();
      await page.keyboard.press('j');
      await page.keyboard.press('Home');
      await page.keyboard.press('Enter');
      await page.waitForURL(/\/devices\/[0-9a-f-]{36}/);
      await page.getByRole('heading', { name: 'Identity' }).waitFor();
    });
    await check('the device has its chart, interfaces and events', async () => {
      await page.goto(`${base}/devices?st=up`);
      await page.locator('.vt-row a').first().click();
      await page.getByRole('heading', { name: 'Interfaces' }).waitFor();
      // Devices on loopback are not pinged: there the panel says so, and the traffic of an interface is what is drawn.
      await page
        .locator('.uplot canvas')
        .or(page.getByText('No latency was measured in this time'))
        .first()
        .waitFor();
      await page.getByTitle('Show the traffic chart').first().click();
      await page.locator('tr.detail .uplot canvas').first().waitFor();
      await page.getByRole('heading', { name: 'Events' }).waitFor();
      await quiet();
      await accessible();
      await shot('device-dark');
    });
    await check('both themes are drawn, and t switches them', async () => {
      const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const dark = await ground();
      await page.locator('#view').focus();
      await page.keyboard.press('t');
      const light = await ground();
      assert(dark !== light, `both are ${dark}`);
      await quiet();
      await shot('device-light');
      await page.keyboard.press('t');
      assert((await ground()) === dark, 'it did not switch back');
    });
    await check('a hostile name is shown as text', async () => {
      await page.goto(`${base}/devices?q=${encodeURIComponent(hostile)}`);
      const link = page.locator('.vt-row a', { hasText: hostile }).first();
      await link.waitFor();
      await link.click();
      await page.getByRole('heading', { name: 'Identity' }).waitFor();
      const name = await heading().innerText();
      assert(name.includes(hostile), `the heading is "${name}"`);
      assert((await page.locator('h1 script, h1 img, #view script').count()) === 0, 'the name became markup');
    });
    await check('the palette finds a device', async () => {
      await page.goto(`${base}/devices`);
      const name = (await page.locator('.vt-row a').first().innerText()).trim();
      await page.keyboard.press('Control+k');
      await page.getByRole('combobox').fill(name.slice(0, 12));
      await page.getByRole('option').first().waitFor();
      await page.keyboard.press('Escape');
    });
    await check('the probe page has freshness, ledger and an echo', async () => {
      await page.goto(`${base}/probes`);
      await page.locator('.vt-row a').first().click();
      await page.getByRole('heading', { name: 'Ledger' }).waitFor();
      const echo = page.getByRole('button', { name: 'Echo' });
      if (await echo.isEnabled()) {
        await echo.click();
        await page.getByText('there and back').waitFor();
      }
      await accessible();
      await shot('probe');
    });
  }

  await check('the screen is live', async () => {
    await page.goto(base);
    await page.locator('.live[data-live="live"]').waitFor({ timeout: 15_000 });
    await quiet();
    await accessible();
    await shot('overview-dark');
  });
  await check('on a phone nothing scrolls sideways', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    for (const path of ['/', '/incidents', '/devices', '/probes', '/customers']) {
      await page.goto(base + path);
      await heading().waitFor({ state: 'attached' });
      await quiet();
      const wide = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      assert(wide <= 0, `${path} scrolls sideways by ${wide} px`);
    }
    await shot('phone');
    await page.setViewportSize({ width: 1440, height: 900 });
  });
  await check('the customer is removed again only by its exact name', async () => {
    await page.goto(`${base}/customers`);
    await page.locator('#view a', { hasText: made }).first().click();
    await page.getByRole('button', { name: 'More', exact: true }).click();
    await page.getByRole('menuitem', { name: 'Remove customer' }).click();
    const act = page.getByRole('dialog').getByRole('button', { name: `Remove ${made}` });
    await page.getByRole('dialog').getByRole('textbox').fill(`${made} `);
    assert(await act.isDisabled(), 'a name with a space too many was taken');
    await page.getByRole('dialog').getByRole('textbox').fill(made);
    await act.click();
    await page.waitForURL(/\/customers\/?$/);
  });
}

await check('no console error, no CSP report, nothing run that came from a device', async () => {
  assert(complaints.length === 0, [...new Set(complaints)].slice(0, 5).join(' | '));
});

await browser.close();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
