// For jax-js, before it: where there are workers it makes a pool of them, of one too, from a blob: address. A strict policy
// forbids that, and then it waits for ever; without a pool it computes in the thread that it is in.

if (navigator.hardwareConcurrency === 1) Object.defineProperty(self, 'Worker', { value: undefined });

export {};
