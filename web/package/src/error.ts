import type { ErrorCode } from './types.js';

/** An error as plain data, on its way out of the engine or through postMessage. */
export interface ErrorData {
  code: ErrorCode;
  /** The file, layer.field or option at fault; may be empty. */
  where: string;
  /** One sentence that says what is wrong and what to do. */
  sentence: string;
}

/** Everything that goes wrong is one of these. `message` is "where: sentence". */
export class EspalierError extends Error {
  override readonly name = 'EspalierError';
  readonly code: ErrorCode;
  readonly where: string;

  constructor(code: ErrorCode, where: string, sentence: string) {
    super(where ? `${where}: ${sentence}` : sentence);
    this.code = code;
    this.where = where;
  }
}

export function toError({ code, where, sentence }: ErrorData): EspalierError {
  return new EspalierError(code, where, sentence);
}

export function toErrorData(error: EspalierError): ErrorData {
  const { code, where, message } = error;
  return { code, where, sentence: where ? message.slice(where.length + 2) : message };
}

export function crashed(reason: string): EspalierError {
  return new EspalierError('crashed', '', `The engine has stopped: ${reason}. Create a new one.`);
}

export function aborted(what: string): EspalierError {
  return new EspalierError('aborted', '', `${what} was aborted.`);
}

/** What an unknown thrown value says. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
