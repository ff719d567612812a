// From a drawing to an image like those of MNIST: cropped, fitted into a box of 20/28 of the side,
// and shifted so that its centre of mass is in the middle (LeCun et al. 1998).

/** Draws nothing like a digit: below this much ink the drawing counts as empty. */
const minimumInk = 20;

/** `ink` is 0 … 255, row-major. Answers with `size` × `size` bytes, or undefined for an empty drawing. */
export function likeMnist(
  ink: Uint8Array | Uint8ClampedArray,
  width: number,
  height: number,
  size: number,
): Uint8Array | undefined {
  const box = boundingBox(ink, width, height);
  if (!box) return undefined;
  const side = Math.max(box.width, box.height);
  const scale = Math.round((size * 20) / 28) / side;
  const small = shrink(ink, width, box, scale);
  return centred(small, size);
}

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}
interface Grey {
  width: number;
  height: number;
  values: Float32Array;
}

function boundingBox(ink: Uint8Array | Uint8ClampedArray, width: number, height: number): Box | undefined {
  let left = width;
  let top = height;
  let right = -1;
  let bottom = -1;
  for (let y = 0; y < height; ++y) {
    for (let x = 0; x < width; ++x) {
      if ((ink[y * width + x] ?? 0) < minimumInk) continue;
      if (x < left) left = x;
      if (x > right) right = x;
      if (y < top) top = y;
      bottom = y;
    }
  }
  return right < 0 ? undefined : { left, top, width: right - left + 1, height: bottom - top + 1 };
}

/** Mean over the area that each new pixel covers. */
function shrink(ink: Uint8Array | Uint8ClampedArray, stride: number, box: Box, scale: number): Grey {
  const width = Math.max(1, Math.round(box.width * scale));
  const height = Math.max(1, Math.round(box.height * scale));
  const values = new Float32Array(width * height);
  const across = box.width / width;
  const down = box.height / height;
  for (let y = 0; y < height; ++y) {
    for (let x = 0; x < width; ++x) {
      const fromX = Math.floor(x * across);
      const toX = Math.max(fromX + 1, Math.floor((x + 1) * across));
      const fromY = Math.floor(y * down);
      const toY = Math.max(fromY + 1, Math.floor((y + 1) * down));
      let sum = 0;
      for (let v = fromY; v < toY; ++v) {
        for (let u = fromX; u < toX; ++u) sum += ink[(box.top + v) * stride + box.left + u] ?? 0;
      }
      values[y * width + x] = sum / ((toX - fromX) * (toY - fromY));
    }
  }
  return { width, height, values };
}

function centred({ width, height, values }: Grey, size: number): Uint8Array {
  let mass = 0;
  let massX = 0;
  let massY = 0;
  values.forEach((value, i) => {
    mass += value;
    massX += value * (i % width);
    massY += value * Math.floor(i / width);
  });
  const shift = (centre: number, extent: number) =>
    Math.min(size - extent, Math.max(0, Math.round((size - 1) / 2 - centre)));
  const left = shift(massX / mass, width);
  const top = shift(massY / mass, height);
  const image = new Uint8Array(size * size);
  values.forEach((value, i) => {
    image[(top + Math.floor(i / width)) * size + left + (i % width)] = Math.round(value);
  });
  return image;
}
