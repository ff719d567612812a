// What the page's main thread did while something went on, from Chromium's own trace.

import type { Page } from 'playwright-core';

export interface LongestTask {
  /** Of the thread's own work: what the page can be blamed for. */
  cpuMs: number;
  /** From begin to end, with the time in which other threads had the processor. */
  wallMs: number;
}

interface TraceEvent {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  dur?: number;
  tdur?: number;
  args: { name?: string };
}

/** The longest tasks of the main thread while `work` goes on, each by its own measure. */
export async function longestTask(page: Page, work: () => Promise<void>): Promise<LongestTask> {
  const client = await page.context().newCDPSession(page);
  const events: TraceEvent[] = [];
  client.on('Tracing.dataCollected', ({ value }) => events.push(...(value as unknown as TraceEvent[])));
  await client.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: { includedCategories: ['toplevel', 'disabled-by-default-devtools.timeline'] },
  });
  await work();
  const complete = new Promise((resolve) => client.once('Tracing.tracingComplete', resolve));
  await client.send('Tracing.end');
  await complete;
  await client.detach();

  const thread = ({ pid, tid }: TraceEvent) => `${pid}:${tid}`;
  const mains = new Set(
    events.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(thread),
  );
  const tasks = events.filter(
    (event) => event.ph === 'X' && event.name.endsWith('RunTask') && mains.has(thread(event)),
  );
  if (!tasks.length) throw new Error('The trace has no task of the main thread.');
  const longest = (duration: (task: TraceEvent) => number | undefined) =>
    Math.max(...tasks.map((task) => duration(task) ?? 0)) / 1000;
  return { cpuMs: longest(({ tdur }) => tdur), wallMs: longest(({ dur }) => dur) };
}
