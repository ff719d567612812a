// Two languages from one catalogue: complete, used everywhere, and as good a page in Chinese as in English.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parse, type AST } from 'svelte/compiler';
import ts from 'typescript';
import { afterEach, describe, expect, test } from 'vitest';
import { en } from '../../web/app/src/i18n/en';
import { en as raceInEnglish } from '../../web/app/src/i18n/race.en';
import { zh as raceInChinese } from '../../web/app/src/i18n/race.zh';
import { zh } from '../../web/app/src/i18n/zh';
import { violations } from './axe';
import { openPlayground, type OpenOptions, type Playground } from './playground';
import { repository } from './server';

describe('the catalogue', () => {
  /** Every text by its path; functions are called with something that shows in what they say. */
  function texts(value: unknown, path = ''): [string, string][] {
    if (typeof value === 'string') return [[path, value]];
    if (typeof value === 'function') {
      const said = (value as (...given: number[]) => string)(
        ...Array.from({ length: value.length }, () => 7),
      );
      return [[path, said]];
    }
    return Object.entries(value as object).flatMap(([name, inner]) => texts(inner, `${path}.${name}`));
  }
  /** What the engine and the package of the race say in English themselves. */
  const isBorrowed = (path: string) => /^\.(catalog|race\.how|race\.cannotTrain)\./.test(path);
  const english = new Map(texts({ ...en, race: raceInEnglish }));
  const chinese = new Map(texts({ ...zh, race: raceInChinese }).filter(([path]) => !isBorrowed(path)));

  test('has every text in both languages', () => {
    expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort());
    expect([...chinese].filter(([, text]) => text === '')).toEqual([]);
    expect([...english].filter(([, text]) => text === '').map(([path]) => path)).toEqual([
      '.page.engineSays',
    ]);
  });

  test('says in Chinese letters what is not a name, a number or a unit', () => {
    const latin = [...chinese].filter(([, text]) => !/\p{Script=Han}/u.test(text)).map(([path]) => path);
    expect(latin.sort()).toEqual([
      '.inside.filtersNote',
      '.lab.classesOf',
      '.lab.fromTo',
      '.lab.quoted',
      '.page.title',
      '.race.tracks.lenet5.name',
      '.race.tracks.small.name',
      '.run.ofEpochs',
      '.setUp.amount',
      '.units.plane',
      '.units.size',
      '.views.pareto.point',
    ]);
  });

  test('counts as each language does', () => {
    expect([0, 1, 2].map((count) => en.judgement.times(count))).toEqual(['times', 'time', 'times']);
    expect(en.details.kernels('plain', 1)).toBe('plain SIMD, 1 thread');
    expect(en.details.kernels('plain', 2)).toBe('plain SIMD, 2 threads');
    expect(zh.details.kernels('plain', 1)).toBe('plain SIMD，1 线程');
  });
});

describe('texts live in the catalogue', () => {
  const folder = join(repository, 'web/app/src');
  // Programs are the same in every language.
  const recipes = 'exports/recipe.ts';
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(svelte|ts)$/.test(name) && !name.startsWith('i18n/') && name !== recipes)
    .map((name) => ({ name, source: readFileSync(join(folder, name), 'utf8') }));
  const hasWords = (text: string) => /\p{L}{2}/u.test(text);
  /** More than one word, so neither a key nor a class. */
  const isProse = (text: string) => /\p{L}{2,}[,.:;]? +\p{L}{2,}/u.test(text);
  const spoken = /^(aria-(label|description|placeholder|roledescription)|title|alt|placeholder|label|note)$/;

  /** Texts in the markup, and those that are attributes that people hear or see. */
  function inMarkup(source: string): string[] {
    const found: string[] = [];
    const visit = (node: unknown): void => {
      if (Array.isArray(node)) return node.forEach(visit);
      if (node === null || typeof node !== 'object') return;
      const { type, name, value, data } = node as { [key: string]: unknown };
      // Names in formulas are the same in every language.
      if (type === 'RegularElement' && name === 'mi') return;
      if (type === 'Attribute' || type === 'StyleDirective') {
        const parts = (Array.isArray(value) ? value : [value]) as AST.Text[];
        if (type === 'Attribute' && spoken.test(String(name))) {
          for (const part of parts) if (part?.type === 'Text' && hasWords(part.data)) found.push(part.data);
        }
        return;
      }
      if (type === 'Text' && hasWords(String(data))) found.push(String(data).trim());
      Object.values(node).forEach(visit);
    };
    visit(parse(source, { modern: true }).fragment);
    return found;
  }

  /** Prose in scripts, however it is put together. */
  function inScript(name: string, source: string): string[] {
    const found: string[] = [];
    const visit = (node: ts.Node): void => {
      const isText =
        ts.isStringLiteral(node) ||
        ts.isNoSubstitutionTemplateLiteral(node) ||
        ts.isTemplateHead(node) ||
        ts.isTemplateMiddleOrTemplateTail(node);
      if (isText && isProse(node.text)) found.push(node.text);
      ts.forEachChild(node, visit);
    };
    visit(ts.createSourceFile(name, source, ts.ScriptTarget.Latest));
    return found;
  }

  // Not for people: fonts, selectors, a media query, a mark, a key of the race's clock, what the engine calls its digits.
  const technical = [
    /system-ui/,
    /^(input|button), \w+, \w+$/,
    /^\(prefers-/,
    /^first step$/,
    /^check of the slow$/,
    /^built-in digits$/,
  ];

  test('no component and no module says anything itself', () => {
    const said = files.flatMap(({ name, source }) => {
      const scripts = name.endsWith('.svelte')
        ? [...source.matchAll(/<script[^>]*>(.*?)<\/script>/gs)].map(([, script = '']) => script)
        : [source];
      const texts = [
        ...(name.endsWith('.svelte') ? inMarkup(source) : []),
        ...scripts.flatMap((script) => inScript(name, script)),
      ];
      return texts
        .filter((text) => !technical.some((pattern) => pattern.test(text)))
        .map((text) => `${name}: ${text}`);
    });
    expect(files.length).toBeGreaterThan(40);
    expect(said).toEqual([]);
  });

  test('this test would see a text', () => {
    expect(inMarkup('<p>Hello {1}</p>')).toEqual(['Hello']);
    expect(inMarkup('<img alt="a hand" class="two words" />')).toEqual(['a hand']);
    expect(inScript('x.ts', 'const a = `Its ${1} and so on`; throw new Error("Not here");')).toEqual([
      ' and so on',
      'Not here',
    ]);
  });
});

describe('the page in Chinese', () => {
  let playground: Playground | undefined;
  const open = async (options: OpenOptions) => (playground = await openPlayground(options));
  afterEach(async () => {
    const problems = playground?.problems ?? [];
    await playground?.close();
    playground = undefined;
    expect(problems).toEqual([]);
  });
  /** Every text and every spoken name that has English words in it. */
  const englishWords = (one: Playground) =>
    one.page.evaluate(() => {
      const visible = document.body.innerText.split('\n');
      const spoken = [...document.querySelectorAll('[aria-label], [title]')].flatMap((element) => [
        element.getAttribute('aria-label') ?? '',
        element.getAttribute('title') ?? '',
      ]);
      return [...visible, ...spoken].filter((text) =>
        /\b(the|of|and|is|to|with|training|images?|model|layer|data)\b/i.test(text),
      );
    });

  for (const [width, height] of [
    [1440, 900],
    [360, 740],
  ] as const) {
    test(`a browser that prefers Chinese gets it, ${width} wide, and axe finds nothing`, async () => {
      const { page, read } = await open({
        locale: 'zh-CN',
        width,
        height,
        reducedMotion: 'reduce',
        hash: '#epochs=2',
      });
      await read.untilState(/训练完成 · 测试准确率/);
      expect(await page.evaluate(() => document.documentElement.lang)).toBe('zh-Hans');
      await page.getByRole('button', { name: '重置' }).waitFor();
      expect(await englishWords(playground!)).toEqual([]);
      expect(await violations(page)).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      await page.getByRole('button', { name: /更换/ }).click();
      await page.getByRole('heading', { name: '数据' }).waitFor();
      expect(await englishWords(playground!)).toEqual([]);
      expect(await violations(page)).toEqual([]);
    });
  }

  test('the language can be switched, and reload and address keep it', { timeout: 120_000 }, async () => {
    const { page, read, url } = await open({ hash: '#epochs=300' });
    await read.untilState(/Training/);
    await page.getByRole('button', { name: /^Switch to Chinese/ }).click();
    await read.untilState(/训练中/);
    expect(page.url()).toContain('lang=zh');
    await page.getByRole('textbox', { name: '轮数' }).fill('301');
    await expect.poll(() => page.url()).toMatch(/lang=zh.*epochs=301|epochs=301.*lang=zh/);
    // What was chosen counts where the address says nothing, and the address counts more.
    await page.goto('about:blank');
    await page.goto(url);
    await read.untilState(/训练中/);
    await page.goto('about:blank');
    await page.goto(`${url}&lang=en`);
    await read.untilState(/Training/);
    await page.evaluate(() => (location.hash = '#epochs=300&lang=zh'));
    await read.untilState(/训练中/);
  });

  test('a sentence of the engine stays English and is introduced in Chinese', async () => {
    const { page, read } = await open({ hash: '#lang=zh&preset=nonsense' });
    expect(await read.notice()).toMatch(/^引擎报告.*nonsense/s);
    expect(await page.getByTestId('notice').locator('[lang=en]').innerText()).toContain('nonsense');
    await read.untilState(/训练中/);
  });

  test('the race speaks Chinese too', async () => {
    const { page } = await open({ path: 'race.html', hash: '#lang=zh', width: 390, height: 844 });
    await page.getByRole('button', { name: '开始竞速' }).waitFor();
    expect(await englishWords(playground!)).toEqual([]);
    expect(await violations(page)).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  });
});
