// Builds DOM from data. Text only ever becomes a text node: there is no way here to pass markup, because
// what the page shows (reasons, names, messages) is written by external users.

/** One element: `h('p.note', { title: 'x', onclick: f }, 'text', child)`. Falsy children are left out. */
export function h(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split('.');
  const element = document.createElement(tag || 'div');
  if (classes.length > 0) element.classList.add(...classes);
  for (const [key, value] of Object.entries(props)) setProp(element, key, value);
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

function setProp(element, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
  else if (key in element && typeof value !== 'string') element[key] = value;
  else element.setAttribute(key, value === true ? '' : String(value));
}

/** The element with that id; the page's own mistake if there is none. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found;
}

/**
 * Makes the children of `parent` match `items`, in order, reusing the element of an item that was there
 * before, so that focus, half-typed answers and scroll positions survive a change of state.
 *
 * @param key item → string, unique
 * @param make item → element
 * @param update (element, item) → nothing; called for new elements too
 */
export function keyed(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let before = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let element = old.get(name);
    if (element) {
      old.delete(name);
    } else {
      element = make(item);
      element.dataset.key = name;
    }
    update(element, item);
    if (element === before) before = before.nextElementSibling;
    else parent.insertBefore(element, before);
  }
  for (const gone of old.values()) gone.remove();
}

/** Replaces the text only if it differs: spares screen readers and selections. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Arrow keys, Home and End move among the buttons in `container`; Tab enters and leaves it at one of them. */
export function roving(container, selector, axis) {
  const [back, forth] = axis === 'vertical' ? ['ArrowUp', 'ArrowDown'] : ['ArrowLeft', 'ArrowRight'];
  container.addEventListener('keydown', (event) => {
    const stops = [...container.querySelectorAll(selector)];
    const at = stops.indexOf(document.activeElement);
    if (at < 0) return;
    const to = { [back]: at - 1, [forth]: at + 1, Home: 0, End: stops.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = stops[(to + stops.length) % stops.length];
    for (const stop of stops) stop.tabIndex = stop === next ? 0 : -1;
    next.focus();
  });
}

const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]/u;

/** Text with every character that hides or reorders others replaced by its visible name. */
export function revealed(text) {
  return text.split(new RegExp(`(${INVISIBLE.source})`, 'u')).map((part) =>
    part.length === 1 && INVISIBLE.test(part)
      ? h('span.invisible', { title: 'an invisible character' }, `U+${part.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`)
      : part,
  );
}
