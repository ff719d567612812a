// From where a WebAssembly file is to a module.

import { isNode } from '../environment.js';
import { EspalierError, reasonOf } from '../error.js';

export interface WasmFile {
  name: string;
  url: URL;
}

/** `folder` is where the host serves the files, if not where they are. */
export function location({ name, url }: WasmFile, folder: string | undefined): URL {
  if (folder === undefined) return url;
  const base = globalThis.location?.href ?? 'file:///';
  return new URL(name, new URL(folder.endsWith('/') ? folder : `${folder}/`, base));
}

export async function compile(url: URL): Promise<WebAssembly.Module> {
  const bytes = url.protocol === 'file:' && isNode() ? readFile(url) : fetchBytes(url);
  try {
    const source = await bytes;
    if (source instanceof Response) return await WebAssembly.compileStreaming(source);
    return await WebAssembly.compile(source);
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    throw new EspalierError('unsupported', 'kernels', `does not compile here (${reasonOf(error)})`);
  }
}

/** While everything waits, which a page's own thread may not. */
export function compileNow(url: URL): WebAssembly.Module {
  if (url.protocol === 'file:' && isNode()) {
    return new WebAssembly.Module(process.getBuiltinModule('node:fs').readFileSync(url));
  }
  const request = new XMLHttpRequest();
  request.open('GET', url, false);
  request.responseType = 'arraybuffer';
  request.send();
  if (request.status !== 200) throw new Error(`the server answered with status ${request.status}`);
  return new WebAssembly.Module(request.response as ArrayBuffer);
}

async function readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const bytes = await process.getBuiltinModule('node:fs/promises').readFile(url);
    return bytes as Uint8Array<ArrayBuffer>;
  } catch (error) {
    throw new EspalierError('io', url.href, `cannot be read (${reasonOf(error)})`);
  }
}

/** The response itself where its type lets the browser compile while it loads. */
async function fetchBytes(url: URL): Promise<Response | ArrayBuffer> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: 'same-origin' });
  } catch (error) {
    throw new EspalierError('io', url.href, `cannot be fetched (${reasonOf(error)})`);
  }
  const type = response.headers.get('Content-Type') ?? '';
  if (response.ok && type.startsWith('application/wasm')) return response;
  // A single-page server answers with its page for everything that it does not have.
  if (response.ok && !type.startsWith('text/html')) return response.arrayBuffer();
  const found = response.ok ? 'a web page' : `status ${response.status}`;
  throw new EspalierError(
    'io',
    url.href,
    `the server answered with ${found}; say where the .wasm files are with \`wasmFolder\``,
  );
}
