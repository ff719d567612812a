import '../app.css';
import { mount } from 'svelte';
import RacePage from './RacePage.svelte';

const target = document.getElementById('app');
if (target) mount(RacePage, { target });
