// Gives somebody a file.

export function offer(bytes: Uint8Array | string, name: string): void {
  const url = URL.createObjectURL(new Blob([typeof bytes === 'string' ? bytes : bytes.slice()]));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
