// The views, in the order of their tabs. To add one, add a row, and its title and how to read it to `t.views`.

import type { Component } from 'svelte';
import CalibrationView from './CalibrationView.svelte';
import ConfusionView from './ConfusionView.svelte';
import FiltersView from './FiltersView.svelte';
import LayersView from './LayersView.svelte';
import MasksView from './MasksView.svelte';
import ParetoView from './ParetoView.svelte';
import SensitivityView from './SensitivityView.svelte';
import WeightsView from './WeightsView.svelte';

export const views = {
  filters: FiltersView,
  weights: WeightsView,
  masks: MasksView,
  layers: LayersView,
  calibration: CalibrationView,
  confusion: ConfusionView,
  sensitivity: SensitivityView,
  pareto: ParetoView,
} satisfies Record<string, Component>;

export type ViewName = keyof typeof views;
