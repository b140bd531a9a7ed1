// The built page in a browser: what the tests and the README's picture share.
import { chromium } from 'playwright-core';
import { preview } from 'vite';

/** WebGPU is switched on (on a software adapter where there is no GPU); the browser keeps to itself. */
const ARGS = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
  '--disable-quic',
];

function launching() {
  const executablePath = process.env.CHROMIUM;
  if (!executablePath) throw new Error('set CHROMIUM to a Chromium or Chrome; `cargo xtask test` does');
  return { executablePath, args: ARGS };
}

/**
 * Serves web/dist under a folder, as a static host might.
 * @param {string} base
 */
async function serve(base) {
  const server = await preview({ base, logLevel: 'warn', preview: { host: '127.0.0.1', port: 0 } });
  const address = server.httpServer.address();
  return { server, url: `http://127.0.0.1:${typeof address === 'object' && address?.port}${base}` };
}

/**
 * The page and a browser whose contexts keep everything in memory.
 * @param {string} base
 */
export async function open(base) {
  const options = launching();
  const { server, url } = await serve(base);
  const browser = await chromium.launch(options);
  const close = async () => {
    await browser.close();
    await server.close();
  };
  return { browser, url, close };
}

/**
 * The page and a browser with a profile on disk, for what is too large for memory.
 * @param {string} base
 * @param {string} profile
 */
export async function openOnDisk(base, profile) {
  const options = launching();
  const { server, url } = await serve(base);
  const context = await chromium.launchPersistentContext(profile, {
    ...options,
    viewport: { width: 1100, height: 900 },
  });
  const close = async () => {
    await context.close();
    await server.close();
  };
  return { context, url, close };
}
