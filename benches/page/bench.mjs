// Runs in the browser: one matrix product of every library after the other, each read back every time.
import { defaultDevice, init as initJax, numpy as np } from '@jax-js/jax';
import * as ort from 'onnxruntime-web/webgpu';

import { matmulModel } from './onnx.mjs';
import initLab, { benchMatmul } from '/pkg/mppc.js';

/** The values the lab's own entry multiplies. @param {number} length @param {number} step */
const values = (length, step) => Float32Array.from({ length }, (_, i) => (((i * step) % 251) - 125) / 128);

/** Element (0, 0) and the last one, in float64. */
function expected({ m, k, n }) {
  const [a, b] = [values(m * k, 7), values(k * n, 11)];
  const at = (i, j) => a.subarray(i * k, (i + 1) * k).reduce((sum, v, l) => sum + v * b[l * n + j], 0);
  return [at(0, 0), at(m - 1, n - 1)];
}

/** @param {() => Promise<Float32Array>} product */
async function time(product, size, repeats) {
  const want = expected(size);
  const seconds = [];
  for (let i = 0; i <= repeats; i++) {
    const start = performance.now();
    const c = await product();
    // The first run compiles.
    if (i > 0) seconds.push((performance.now() - start) / 1000);
    const got = [c[0], c[c.length - 1]];
    if (got.some((v, j) => !(Math.abs(v - want[j]) < 1e-2))) throw new Error(`${got} instead of ${want}`);
  }
  return seconds;
}

/** The lab checks its values itself. */
async function lab(engine, { m, k, n }, repeats) {
  return [...(await benchMatmul(engine, m, k, n, repeats))];
}

async function jax({ m, k, n }, repeats) {
  await initJax('webgpu');
  defaultDevice('webgpu');
  const a = np.array(values(m * k, 7), { shape: [m, k] });
  const b = np.array(values(k * n, 11), { shape: [k, n] });
  return time(() => np.matmul(a.ref, b.ref).data(), { m, k, n }, repeats);
}

async function onnx(provider, { m, k, n }, repeats) {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = '/node_modules/onnxruntime-web/dist/';
  const session = await ort.InferenceSession.create(matmulModel(m, k, n), { executionProviders: [provider] });
  const feeds = {};
  for (const [name, data, dims] of [
    ['A', values(m * k, 7), [m, k]],
    ['B', values(k * n, 11), [k, n]],
  ]) {
    if (provider === 'webgpu') {
      // On the device before the clock runs, as with the others.
      const device = await ort.env.webgpu.device;
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
      const buffer = device.createBuffer({ size: data.byteLength, usage });
      device.queue.writeBuffer(buffer, 0, data);
      feeds[name] = ort.Tensor.fromGpuBuffer(buffer, { dataType: 'float32', dims });
    } else {
      feeds[name] = new ort.Tensor('float32', data, dims);
    }
  }
  const product = async () => (await session.run(feeds)).C.getData();
  const seconds = await time(product, { m, k, n }, repeats);
  await session.release();
  return seconds;
}

/** What is measured: name, whether on the processor, and how. */
const LIBRARIES = {
  'mppc page gpu': (size, repeats) => lab('gpu', size, repeats),
  'jax-js webgpu': jax,
  'onnxruntime-web webgpu': (size, repeats) => onnx('webgpu', size, repeats),
  'mppc page cpu': (size, repeats) => lab('cpu', size, repeats),
  'onnxruntime-web wasm, one thread': (size, repeats) => onnx('wasm', size, repeats),
};
globalThis.libraries = Object.keys(LIBRARIES);

/** Seconds of every repeat. */
globalThis.measure = (who, size, repeats) => LIBRARIES[who](size, repeats);

globalThis.adapter = async () => {
  const info = (await navigator.gpu?.requestAdapter())?.info;
  return info ? `${info.vendor} ${info.architecture}`.trim() : 'none';
};

await initLab();
globalThis.ready = true;
