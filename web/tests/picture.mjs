// Takes the README's picture of the page: node picture.mjs OUT.png
import { open } from './browser.mjs';

const [out] = process.argv.slice(2);
const { browser, url, close } = await open('/');
const page = await browser.newPage({ viewport: { width: 1100, height: 1500 }, deviceScaleFactor: 1 });
await page.goto(url);
await page.getByTestId('result').locator('svg').first().waitFor();
await page.screenshot({ path: out });
await close();
