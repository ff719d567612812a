// What an evaluation says about single images and pairs of classes.

import type { Judgement } from './session/judging.svelte';

export interface Mistake {
  index: number;
  truth: number;
  guess: number;
  /** Probability that the network gave its wrong answer. */
  confidence: number;
}

/** The most confident mistakes first; only those of one pair of classes, if given. */
export function mistakesOf(
  { evaluation, labels }: Judgement,
  pair?: { truth: number; guess: number },
): Mistake[] {
  const mistakes: Mistake[] = [];
  evaluation.predictions.forEach((guess, index) => {
    const truth = labels[index] ?? guess;
    if (guess === truth) return;
    if (pair && (pair.truth !== truth || pair.guess !== guess)) return;
    mistakes.push({ index, truth, guess, confidence: evaluation.confidences[index] ?? 0 });
  });
  return mistakes.sort((a, b) => b.confidence - a.confidence);
}

export function worstPairs(confusion: Uint32Array, classes: number, most: number) {
  const pairs: { truth: number; guess: number; count: number }[] = [];
  confusion.forEach((count, cell) => {
    const truth = Math.floor(cell / classes);
    const guess = cell % classes;
    if (truth !== guess && count > 0) pairs.push({ truth, guess, count });
  });
  return pairs.sort((a, b) => b.count - a.count).slice(0, most);
}
