// What probabilities say.

/** The class of the largest of each row of `classes` probabilities. */
export function answersOf(probabilities: Float32Array, classes: number): Uint16Array {
  const answers = new Uint16Array(probabilities.length / classes);
  for (let i = 0; i < answers.length; ++i) {
    let best = 0;
    for (let c = 1; c < classes; ++c) {
      if ((probabilities[i * classes + c] ?? 0) > (probabilities[i * classes + best] ?? 0)) best = c;
    }
    answers[i] = best;
  }
  return answers;
}

export interface Likely {
  label: number;
  value: number;
}

/** The most probable classes of image `index`, the first first. */
export function likeliest(
  probabilities: Float32Array,
  classes: number,
  index: number,
  most: number,
): Likely[] {
  const row = probabilities.subarray(index * classes, (index + 1) * classes);
  return Array.from(row, (value, label) => ({ label, value }))
    .sort((a, b) => b.value - a.value)
    .slice(0, most);
}
