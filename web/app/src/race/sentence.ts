/** The first sentence of an error or a text, with a capital and a full stop. */
export function sentence(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const line = message.trim().split('\n')[0] ?? '';
  const [first = line] = /^.*?[.!?](?=\s|$)/.exec(line) ?? [];
  const short = first.length > 200 ? `${first.slice(0, 199)}…` : first;
  const ended = /[.!?…]$/.test(short) ? short : `${short}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
