import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';

const target = document.getElementById('app') as HTMLElement;
// What is there says that the program does not run.
const unstarted = [...target.childNodes];
target.replaceChildren();
try {
  mount(App, { target });
} catch (error) {
  target.replaceChildren(...unstarted);
  throw error;
}
