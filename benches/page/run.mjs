// Times the page's matrix product beside other libraries' in one browser; prints a JSON row for each on standard
// output.
//
//   CHROMIUM=/usr/bin/chromium node run.mjs PKG      PKG: the wasm package with its bench entry
//
// `cargo xtask bench page` builds the package and calls this.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { chromium } from 'playwright-core';

const SIZES = [
  { m: 1024, k: 1024, n: 1024 },
  { m: 512, k: 768, n: 3072 },
];
// Enough for the browser to have compiled all that runs long with its best compiler.
const REPEATS = 15;

const here = import.meta.dirname;
const pkg = process.argv[2];
const executablePath = process.env.CHROMIUM;
if (!pkg || !executablePath) {
  console.error('usage: CHROMIUM=… node run.mjs PKG');
  process.exit(2);
}

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};
const IMPORTS = {
  '@jax-js/jax': '/node_modules/@jax-js/jax/dist/index.js',
  'onnxruntime-web/webgpu': '/node_modules/onnxruntime-web/dist/ort.all.min.mjs',
};
const PAGE = `<!doctype html><meta charset="utf-8"><title>bench</title>
<script type="importmap">${JSON.stringify({ imports: IMPORTS })}</script>
<script type="module" src="/bench.mjs"></script>`;

const server = createServer(async (request, response) => {
  const url = decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname);
  if (url === '/') {
    response.setHeader('content-type', 'text/html');
    response.end(PAGE);
    return;
  }
  const root = url.startsWith('/pkg/') ? path.resolve(pkg) : here;
  const file = path.join(root, url.startsWith('/pkg/') ? url.slice(5) : url);
  const found = file.startsWith(root) && (await stat(file).catch(() => null))?.isFile();
  response.setHeader('content-type', TYPES[path.extname(file)] ?? 'application/octet-stream');
  response.statusCode = found ? 200 : 404;
  if (found) createReadStream(file).pipe(response);
  else response.end();
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));

const flags = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--disable-background-networking',
  '--disable-component-update',
];
const browser = await chromium.launch({ executablePath, args: [...flags, '--disable-sync', '--no-first-run'] });
let measured = 0;
try {
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address?.port}/`;
  const open = async () => {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(String(error)));
    page.setDefaultTimeout(600_000);
    await page.goto(url);
    await page.waitForFunction('globalThis.ready');
    return page;
  };
  const first = await open();
  const libraries = await first.evaluate('libraries');
  const adapter = await first.evaluate('adapter()');
  await first.close();
  for (const size of SIZES) {
    for (const who of libraries) {
      // A page of its own for each: none meets another's memory or device.
      const page = await open();
      const { m, k, n } = size;
      try {
        const samples = await page.evaluate(
          ([who, size, repeats]) => measure(who, size, repeats),
          [who, size, REPEATS],
        );
        const seconds = [...samples].sort((a, b) => a - b)[Math.floor(samples.length / 2)];
        const what = `page: matmul ${m}×${k}×${n} f32 with readback`;
        const where = who.includes('gpu') ? `${who} (${adapter})` : who;
        measured++;
        console.log(JSON.stringify({ what, who: where, seconds, samples, amount: 2 * m * k * n, unit: 'FLOP' }));
      } catch (error) {
        console.error(`${who} ${m}×${k}×${n}: ${error}`);
      }
      await page.close();
    }
  }
} finally {
  await browser.close();
  server.close();
}
// A library that fails has said so; what the others did counts.
process.exit(measured > 0 ? 0 : 1);
