// The part of the address behind #: parameters, as readable as they can be.

export function parametersOf(hash: string): URLSearchParams {
  return new URLSearchParams(hash.replace(/^#/, ''));
}

export function hashOf(parameters: URLSearchParams): string {
  return parameters.toString().replaceAll('%3A', ':').replaceAll('%2C', ',');
}

/** `hash` with one parameter changed; the others stay. */
export function withParameter(hash: string, name: string, value: string): string {
  const parameters = parametersOf(hash);
  parameters.set(name, value);
  return hashOf(parameters);
}
