// The part of the address behind #: parameters, as readable as they can be.

export function parametersOf(hash: string): URLSearchParams {
  return new URLSearchParams(hash.replace(/^#/, ''));
}

export function hashOf(parameters: URLSearchParams): string {
  return parameters.toString().replace(/%(3A|3B|2C|3D)/g, (code) => decodeURIComponent(code));
}

/** `hash` with one parameter changed; the others stay. */
export function withParameter(hash: string, name: string, value: string): string {
  const parameters = parametersOf(hash);
  parameters.set(name, value);
  return hashOf(parameters);
}
