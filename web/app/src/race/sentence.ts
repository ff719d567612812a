/** An error or a text as a sentence: its first line, not too long, with a capital and a full stop. */
export function sentence(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const line = message.trim().split('\n')[0] ?? '';
  const short = line.length > 240 ? `${line.slice(0, 239)}…` : line;
  const ended = /[.!?…。]$/.test(short) ? short : `${short}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
