// First: what is imported below depends on it.
import './browser-language';
import './app.css';
import 'uplot/dist/uPlot.min.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { t } from './i18n/index.svelte';
import { keepForOffline } from './offline/register';
import { session } from './session.svelte';
import { notices } from './session/notices.svelte';

void session.start();
const target = document.getElementById('app');
if (target) mount(App, { target });
keepForOffline(() => notices.say('info', t.notices.newVersion));
