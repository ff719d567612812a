// What an element shows, as a picture: its boxes, its canvases and its text, painted again where the browser has put
// them. Controls that only act on it are left out.

const margin = 16;
const leastScale = 2;
/** Sharp enough for print, and within what browsers allow a canvas. */
const mostPixels = 8192;

export function snapshot(root: HTMLElement): HTMLCanvasElement {
  const frame = root.getBoundingClientRect();
  // What would have to be scrolled to is in the picture too.
  const right = [root, ...root.querySelectorAll('*')]
    .filter(isShown)
    .map((element) => element.getBoundingClientRect().left + element.scrollWidth);
  const width = Math.max(frame.right, ...right) - frame.left + 2 * margin;
  const height = frame.height + 2 * margin;
  const scale = Math.min(Math.max(leastScale, devicePixelRatio), mostPixels / Math.max(width, height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext('2d');
  if (!context) return canvas;
  context.scale(scale, scale);
  context.fillStyle = backgroundBehind(root);
  context.fillRect(0, 0, width, height);
  context.translate(margin - frame.left, margin - frame.top);
  paint(context, root);
  return canvas;
}

function isShown(element: Element): boolean {
  const { width, height } = element.getBoundingClientRect();
  // Names for screen readers are a pixel large.
  return (
    (width > 1 || height > 1) && !element.closest('[data-acts],.hidden,svg') && element.checkVisibility()
  );
}

function paint(context: CanvasRenderingContext2D, element: Element): void {
  if (!isShown(element)) return;
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  paintBox(context, box, style);
  if (element instanceof HTMLCanvasElement)
    return context.drawImage(element, box.x, box.y, box.width, box.height);
  if (element instanceof HTMLSelectElement) {
    const text = element.selectedOptions[0]?.text ?? '';
    return write(context, text, box.x + 8, box, style);
  }
  for (const child of element.childNodes) {
    if (child instanceof Element) paint(context, child);
    else if (child instanceof Text) paintText(context, child, style);
  }
}

function paintBox(context: CanvasRenderingContext2D, box: DOMRect, style: CSSStyleDeclaration): void {
  const radius = parseFloat(style.borderTopLeftRadius) || 0;
  context.beginPath();
  context.roundRect(box.x, box.y, box.width, box.height, Math.min(radius, box.width / 2, box.height / 2));
  context.fillStyle = style.backgroundColor;
  context.fill();
  const [top, bottom] = [parseFloat(style.borderTopWidth), parseFloat(style.borderBottomWidth)];
  if (top > 0) {
    context.strokeStyle = style.borderTopColor;
    context.lineWidth = top;
    context.stroke();
  } else if (bottom > 0) {
    context.fillStyle = style.borderBottomColor;
    context.fillRect(box.x, box.bottom - bottom, box.width, bottom);
  }
}

/** Word by word, because only the browser knows where its lines end. */
function paintText(context: CanvasRenderingContext2D, node: Text, style: CSSStyleDeclaration): void {
  const range = document.createRange();
  for (const { index, 0: word } of node.data.matchAll(/\S+?(?=\s|$|(?<=\p{Script=Han}))/gu)) {
    range.setStart(node, index);
    range.setEnd(node, index + word.length);
    const box = range.getBoundingClientRect();
    write(context, word, box.x, box, style);
  }
}

function write(
  context: CanvasRenderingContext2D,
  text: string,
  x: number,
  box: DOMRect,
  { font, color }: CSSStyleDeclaration,
): void {
  context.font = font;
  context.fillStyle = color;
  context.textAlign = 'left';
  context.textBaseline = 'alphabetic';
  const { fontBoundingBoxAscent: above, fontBoundingBoxDescent: below } = context.measureText(text);
  context.fillText(text, x, box.y + (box.height + above - below) / 2);
}

function backgroundBehind(element: Element): string {
  for (let at: Element | null = element; at; at = at.parentElement) {
    const { backgroundColor } = getComputedStyle(at);
    if (!/^(transparent|rgba\(.*, 0\))$/.test(backgroundColor)) return backgroundColor;
  }
  return 'white';
}
