// The network that would be started next. It is in the settings; here it is edited, and the engine asked what it gives.
// The one that trains goes on until another is started.

import { EspalierError, type LayerInspection, type ModelInspection, type ModelSpec } from 'espalier';
import { Latest } from '../compress/latest';
import { t } from '../i18n/index.svelte';
import { PageError } from '../page-error';
import { session } from '../session.svelte';
import { modelOf } from '../session/models';
import { modelNameOf, usualLearningRate } from '../settings';
import { Undo } from '../undo';
import {
  added,
  beginning,
  changed,
  moved,
  newLayer,
  partners,
  placeOf,
  specOf,
  without,
  type Layer,
  type Layers,
} from './layers';
import { fromText, toText } from './text';

interface Choice {
  preset: string;
  network: string;
}
/** What the engine says of a draft. */
interface Check {
  inspection?: ModelInspection;
  error?: { layer: string | undefined; text: string };
  /** Of the layers that it could say something of. */
  layers: readonly LayerInspection[];
}

const waitMs = 120;
const nothing: Check = { layers: [] };

class Draft {
  canUndo = $state(false);
  canRedo = $state(false);
  #check = $state.raw<Check>(nothing);
  #chosen = $state('');

  readonly #undo = new Undo<Choice>();
  readonly #latest = new Latest();

  readonly layers: Layers = $derived.by(() => {
    const { network } = session.settings;
    return (network ? fromText(network) : undefined) ?? this.#preset;
  });
  /** The layers of the preset that it started from. */
  readonly #preset: Layers = $derived.by(() => {
    const row = session.catalog?.presets.find(({ name }) => name === session.settings.preset);
    return (row?.spec.layers as Layers | undefined) ?? [];
  });

  /** Another network than the one that trains. */
  get isDraft(): boolean {
    const { settings } = session;
    const { applied } = session.run;
    return (
      applied !== undefined && (applied.preset !== settings.preset || applied.network !== settings.network)
    );
  }

  get check(): Check {
    if (this.isDraft) return this.#check;
    const { inspection } = session.inside;
    return inspection ? { inspection, layers: inspection.layers } : nothing;
  }

  /** The layer on show in the editor: one that was chosen here, or the one whose maps are on show. */
  get chosen(): Layer | undefined {
    const named = (wanted: string) => this.layers.find(({ name }) => name === wanted);
    return named(this.#chosen) ?? named(session.inside.layer) ?? this.layers[0];
  }

  choose(name: string): void {
    this.#chosen = name;
    if (session.inside.inspection?.layers.some((layer) => layer.name === name))
      session.inside.showLayer(name);
  }

  // ── Editing ──────────────────────────────────────────────────────────────────────────────────

  add(type: string): void {
    const after = this.chosen?.name ?? '';
    const layer = newLayer(type, this.layers);
    // The engine's table says nothing of inputs, but these two make no sense with one.
    if (type === 'add' || type === 'concat') layer.inputs = partners(type, after, this.check.layers);
    this.#edit(added(this.layers, layer, after));
    this.choose(layer.name);
  }
  remove(name: string): void {
    const at = this.layers.findIndex((layer) => layer.name === name);
    this.#edit(without(this.layers, name));
    this.choose(this.layers[Math.min(at, this.layers.length - 1)]?.name ?? '');
  }
  /** `live`: while it is dragged. */
  move(name: string, to: number, live = false): void {
    this.#edit(moved(this.layers, name, to), live ? `move ${name}` : undefined);
  }
  /** Letters that are typed are one change until `settle`. */
  set(name: string, field: string, value: unknown): void {
    this.#edit(changed(this.layers, name, field, value), `${name} ${field}`);
  }
  settle(): void {
    this.#undo.close();
  }
  usePreset(preset: string): void {
    this.#change({ preset, network: '' });
  }

  get lastStep(): number {
    return this.#undo.last;
  }
  get nextStep(): number {
    return this.#undo.next;
  }
  undo(): void {
    this.#use(this.#undo.undo(this.#choice()));
  }
  redo(): void {
    this.#use(this.#undo.redo(this.#choice()));
  }

  #edit(layers: Layers, about?: string): void {
    const text = toText(layers);
    // More than the address can hold, or nothing.
    if (!fromText(text)) return;
    const network = text === toText(this.#preset) ? '' : text;
    this.#change({ preset: session.settings.preset, network }, about);
  }
  #choice(): Choice {
    const { preset, network } = session.settings;
    return { preset, network };
  }
  #change(choice: Choice, about?: string): void {
    const now = this.#choice();
    if (choice.preset === now.preset && choice.network === now.network) return;
    this.#undo.remember(now, about);
    this.#use(choice);
  }
  #use(choice: Choice | undefined): void {
    if (!choice) return;
    const isOther = choice.preset !== session.settings.preset;
    Object.assign(session.settings, choice);
    if (isOther) session.settings.learningRate = usualLearningRate(session.settings);
    this.canUndo = this.#undo.canUndo;
    this.canRedo = this.#undo.canRedo;
  }

  // ── Asking the engine ────────────────────────────────────────────────────────────────────────

  /** Called when the settings have changed. */
  follow(): void {
    const { handles } = session;
    const { layers, isDraft } = this;
    const model = handles && modelOf(session.settings, handles.dataset.info);
    this.#latest.request(async (signal) => {
      if (!isDraft) this.#check = nothing;
      if (!isDraft || !model) return;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      if (signal.aborted) return;
      const check = await this.#ask(model, layers);
      if (!signal.aborted) this.#check = check;
    });
  }

  async #ask(model: string | ModelSpec, layers: Layers): Promise<Check> {
    try {
      const inspection = await inspect(model);
      return { inspection, layers: inspection.layers };
    } catch (reason) {
      const error = reason as Error;
      if (error instanceof EspalierError && error.code === 'crashed') session.report(error);
      const at = error instanceof EspalierError ? placeOf(error.where, layers) : undefined;
      return {
        error: { layer: at === undefined ? undefined : layers[at]?.name, text: error.message },
        layers: await this.#before(layers, at),
      };
    }
  }

  /** What is right before the error still has its shapes. */
  async #before(layers: Layers, at: number | undefined): Promise<readonly LayerInspection[]> {
    const data = session.dataset;
    if (!at || !data) return [];
    return inspect(specOf(beginning(layers, at), modelNameOf(session.settings), data)).then(
      (inspection) => inspection.layers.slice(0, at),
      () => [],
    );
  }
}

/** The engine proves shapes when it makes a model, so one is made and thrown away. */
async function inspect(spec: string | ModelSpec): Promise<ModelInspection> {
  const { handles } = session;
  if (!handles) throw new PageError(t.notices.noEngine);
  const model = await handles.engine.createModel(spec, { dataset: handles.dataset });
  try {
    return await model.inspect();
  } finally {
    void model.dispose().catch(() => {});
  }
}

export const draft = new Draft();
