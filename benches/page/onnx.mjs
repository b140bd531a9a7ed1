// The smallest ONNX model there is to measure: C = A·B. Written by hand, field by field of onnx.proto.

/** @param {number} n */
function varint(n) {
  const bytes = [];
  for (; n > 127; n = Math.floor(n / 128)) bytes.push((n % 128) | 128);
  return [...bytes, n];
}

/** A field with a number. @param {number} field @param {number} value */
const int = (field, value) => [...varint(field * 8), ...varint(value)];

/** A field with bytes in it. @param {number} field @param {number[]} bytes */
const nested = (field, bytes) => [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes];

/** @param {number} field @param {string} text */
const string = (field, text) => nested(field, [...new TextEncoder().encode(text)]);

/** ValueInfoProto of an f32 tensor. @param {string} name @param {number[]} shape */
function tensor(name, shape) {
  const dims = shape.flatMap((size) => nested(1, int(1, size)));
  return [...string(1, name), ...nested(2, nested(1, [...int(1, 1), ...nested(2, dims)]))];
}

/**
 * ModelProto of C [m,n] = A [m,k] · B [k,n].
 * @param {number} m @param {number} k @param {number} n
 */
export function matmulModel(m, k, n) {
  const node = [...string(1, 'A'), ...string(1, 'B'), ...string(2, 'C'), ...string(4, 'MatMul')];
  const graph = [
    ...nested(1, node),
    ...string(2, 'product'),
    ...nested(11, tensor('A', [m, k])),
    ...nested(11, tensor('B', [k, n])),
    ...nested(12, tensor('C', [m, n])),
  ];
  const opset = [...string(1, ''), ...int(2, 13)];
  return new Uint8Array([...int(1, 8), ...nested(7, graph), ...nested(8, opset)]);
}
