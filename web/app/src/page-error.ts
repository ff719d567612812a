/** Something went wrong, in a sentence in the visitor's language. All other errors speak English. */
export class PageError extends Error {}
