// The built page in a browser: what the tests and the README's picture share.
import { chromium } from 'playwright-core';
import { preview } from 'vite';

/**
 * Serves web/dist under a folder, as a static host might, and opens a browser with WebGPU (on a software
 * adapter where there is no GPU).
 * @param {string} base
 */
export async function open(base) {
  const executablePath = process.env.CHROMIUM;
  if (!executablePath) throw new Error('set CHROMIUM to a Chromium or Chrome; `cargo xtask test` does');
  const server = await preview({ base, logLevel: 'warn', preview: { host: '127.0.0.1', port: 0 } });
  const browser = await chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--enable-unsafe-webgpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
      '--disable-quic',
    ],
  });
  const address = server.httpServer.address();
  const url = `http://127.0.0.1:${typeof address === 'object' && address?.port}${base}`;
  const close = async () => {
    await browser.close();
    await server.close();
  };
  return { browser, url, close };
}
