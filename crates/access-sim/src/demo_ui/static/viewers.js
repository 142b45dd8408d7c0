// Whose Slack is shown: every user of the workspace who could sit before a client, and one who no longer can.

import { byId, h, keyed } from './dom.js';

/** `onChange()` is called when another user looks. */
export function makeViewers(onChange) {
  const row = h('div.viewers-row');
  byId('viewers').append(row);
  let current = null;

  row.addEventListener('change', (event) => {
    current = event.target.value;
    onChange();
  });

  return {
    /** The id of the person who looks. */
    current: () => current,
    /** Shows these people; keeps the choice if that person is still there. */
    update(people) {
      if (!people.some((person) => person.id === current)) current = (people.find((person) => person.name === 'Bob') ?? people[0])?.id ?? null;
      keyed(row, people, (person) => person.id, make, (label, person) => {
        label.querySelector('input').checked = person.id === current;
      });
    },
  };
}

function make(person) {
  return h('label.viewer', {},
    h('input', { type: 'radio', name: 'viewer', value: person.id }),
    h('span.viewer-name', {}, person.name),
    person.sort && h('span.sort', {}, person.sort),
  );
}
