// MobileNet V1 in WebAssembly, one thread, ours and others in turn in one Node:
//
//     npm --prefix benches/peers/wasm ci
//     node benches/peers/wasm/run.mjs [--rounds 9] [--ms 400] MODEL.onnx [PERCENT] [SIZE]
//
// MODEL.onnx is one that run.py makes, or any of the family's with inputs in [-1, 1]. Ours are the
// kernels of all layers (scripts/test-wasm.sh builds and checks them), with weights made up, as the
// ones that the network is written with here for tfjs.
import * as tf from '@tensorflow/tfjs';
import { setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import * as ort from 'onnxruntime-web';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = new URL('../../../', import.meta.url);
const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL('target', root));
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '9' },
    ms: { type: 'string', default: '400' },
    kernels: {
      type: 'string',
      default: `${target}/checks/wasm32-unknown-unknown/release/kernel_checks.wasm`,
    },
  },
});
const [model, percent = '25', size = '192'] = positionals;
if (!model) {
  console.error('usage: node run.mjs [--rounds N] [--ms N] [--kernels FILE.wasm] MODEL.onnx [PERCENT] [SIZE]');
  process.exit(2);
}

/// Ours: every layer's kernel, one after the other.
function kernels() {
  const wasm = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(options.kernels)), {}).exports;
  wasm.network(Number(percent), Number(size));
  return { name: 'mobilenet', run: () => wasm.pass() };
}

/// The network in tfjs's fused operations, as its executor of graph models runs it.
async function tfjs() {
  const files = new URL('node_modules/@tensorflow/tfjs-backend-wasm/dist/', import.meta.url);
  setWasmPaths(fileURLToPath(files));
  setThreadsCount(1);
  await tf.setBackend('wasm');
  await tf.ready();
  const depth = (channels) => Math.max(8, (channels * Number(percent)) / 100);
  const weights = (...shape) => tf.randomNormal(shape, 0, 0.1);
  const blocks = [[64, 1], [128, 2], [128, 1], [256, 2], [256, 1], [512, 2], [512, 1], [512, 1], [512, 1],
    [512, 1], [512, 1], [1024, 2], [1024, 1]];
  let inputs = depth(32);
  const first = { filter: weights(3, 3, 3, inputs), bias: weights(inputs) };
  const separable = blocks.map(([channels, strides]) => {
    const outputs = depth(channels);
    const block = {
      strides,
      depthwise: { filter: weights(3, 3, inputs, 1), bias: weights(inputs) },
      pointwise: { filter: weights(1, 1, inputs, outputs), bias: weights(outputs) },
    };
    inputs = outputs;
    return block;
  });
  const classifier = { filter: weights(1, 1, inputs, 1001), bias: weights(1001) };
  const image = tf.randomUniform([1, Number(size), Number(size), 3], -1, 1);
  const fused = { pad: 'same', activation: 'relu6' };
  const run = () => {
    const logits = tf.tidy(() => {
      let x = tf.fused.conv2d({ x: image, strides: 2, ...first, ...fused });
      for (const { strides, depthwise, pointwise } of separable) {
        x = tf.fused.depthwiseConv2d({ x, strides, ...depthwise, ...fused });
        x = tf.fused.conv2d({ x, strides: 1, ...pointwise, ...fused });
      }
      x = tf.mean(x, [1, 2], true);
      return tf.fused.conv2d({ x, strides: 1, pad: 'same', ...classifier });
    });
    logits.dataSync();
    logits.dispose();
  };
  return { name: `tfjs-backend-wasm ${tf.version.tfjs}`, run };
}

async function onnxruntime() {
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(readFileSync(model), { executionProviders: ['wasm'] });
  const [name] = session.inputNames;
  const pixels = Float32Array.from({ length: Number(size) ** 2 * 3 }, () => 2 * Math.random() - 1);
  const shape = session.inputMetadata?.[0]?.shape ?? [];
  const last = shape[1] === 3 ? [3, Number(size), Number(size)] : [Number(size), Number(size), 3];
  const feeds = { [name]: new ort.Tensor('float32', pixels, [1, ...last]) };
  return { name: `onnxruntime-web ${ort.env.versions?.web ?? ''}`.trim(), run: () => session.run(feeds) };
}

const peers = [kernels(), await tfjs(), await onnxruntime()];
for (const peer of peers) {
  peer.minima = [];
  for (let i = 0; i < 30; i++) await peer.run();
}
for (let round = 0; round < Number(options.rounds); round++) {
  for (const peer of peers) {
    let least = Infinity;
    const start = performance.now();
    while (performance.now() - start < Number(options.ms)) {
      const began = performance.now();
      await peer.run();
      least = Math.min(least, performance.now() - began);
    }
    peer.minima.push(1000 * least);
  }
}
console.log(`| ${percent}%/${size}, WebAssembly, batch 1, one thread | min us | ratio | noise |`);
console.log('|---|---:|---:|---:|');
const best = Math.min(...peers[0].minima);
for (const { name, minima } of peers) {
  const [least, most] = [Math.min(...minima), Math.max(...minima)];
  const ratio = (least / best).toFixed(2);
  console.log(`| ${name} | ${least.toFixed(0)} | ${ratio} | ${((100 * (most - least)) / least).toFixed(0)}% |`);
}
