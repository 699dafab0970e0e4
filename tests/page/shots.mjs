// usage: node shots.mjs ADDRESS FOLDER [VIEW...]: pictures of the views, in both themes, wide and narrow.
import {mkdirSync} from 'node:fs';
import {open} from './browser.mjs';

const [address, folder, ...only] = process.argv.slice(2);
mkdirSync(folder, {recursive: true});
const views = ['chat', 'write', 'sampler', 'inside/surprise', 'inside/atlas', 'inside/flow', 'inside/trace', 'inside/horizon', 'training', 'models'];
for (const theme of ['light', 'dark'])
  for (const width of [1280, 400]) {
    const {browser, page, seen} = await open(address, {width, height: width === 400 ? 800 : 860, theme});
    for (const view of views) {
      if (only.length && !only.some((one) => view.startsWith(one))) continue;
      await page.goto(`${address}/#/${view}`);
      await page.waitForSelector('main', {timeout: 20000});
      await page.waitForTimeout(Number(process.env.WAIT ?? 1500));
      await page.screenshot({path: `${folder}/${view.replace('/', '-')}-${theme}-${width}.png`});
    }
    if (seen.console.length || seen.foreign.length) console.log(theme, width, seen.console, seen.foreign);
    await browser.close();
  }
