// Debian's chromium with the page in it. Nothing but the program's own port may be asked; what the console says is kept.
import {existsSync} from 'node:fs';
import {chromium} from 'playwright-core';

export const chromiumPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => existsSync(path));

export async function open(address, {width = 1280, height = 860, theme = 'light', reduced = true, path = '/'} = {}) {
  const browser = await chromium.launch({executablePath: chromiumPath, args: ['--no-sandbox', '--disable-dev-shm-usage']});
  const context = await browser.newContext({viewport: {width, height}, colorScheme: theme, deviceScaleFactor: 1, acceptDownloads: true,
    reducedMotion: reduced ? 'reduce' : 'no-preference', permissions: ['clipboard-read', 'clipboard-write']});
  context.setDefaultTimeout(120_000);
  const page = await context.newPage();
  const seen = {console: [], foreign: [], bytes: new Map()};
  page.on('console', (message) => { if (message.type() === 'error' || message.type() === 'warning') seen.console.push(message.text()); });
  page.on('pageerror', (error) => seen.console.push(String(error)));
  await context.route('**/*', (route) => {
    const url = route.request().url();
    if (url.startsWith(address) || url.startsWith('data:') || url.startsWith('blob:')) return route.continue();
    seen.foreign.push(url);
    return route.abort();
  });
  await page.goto(address + path);
  return {browser, context, page, seen};
}

// Reads again until what is checked holds, for ten seconds: the page draws a moment after a key.
export async function settles(read, check) {
  for (const end = Date.now() + 10_000;;) {
    const value = await read();
    try { return check(value); } catch (error) { if (Date.now() > end) throw error; }
    await new Promise((done) => setTimeout(done, 50));
  }
}
