/** Something went wrong, in a sentence in the visitor's language. All other errors speak English. */
export class PageError extends Error {
  constructor(
    message: string,
    /** Where the visitor can go instead. */
    readonly address?: string,
  ) {
    super(message);
  }
}
