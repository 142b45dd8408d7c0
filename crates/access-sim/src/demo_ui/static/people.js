// Who sits at the Teleport terminal: the people of the cluster and the administrator's console.

import { ADMIN } from './commands.js';
import { byId, h, keyed } from './dom.js';

/** `onChange(name)` is called when another user sits down. */
export function makePeople(onChange) {
  const fieldset = byId('people');
  const row = h('div.people-row');
  fieldset.append(row);
  let current = null;

  row.addEventListener('change', (event) => {
    current = event.target.value;
    onChange(current);
  });

  return {
    /** The name that acts: a Teleport user, or `tctl`. */
    current: () => current,
    /** Shows these users; keeps the choice if that user is still there. */
    update(users) {
      const people = [...users.map((user) => ({ name: user.name, does: does(user) })), { name: ADMIN, does: 'admin console' }];
      if (!people.some((person) => person.name === current)) current = people[0].name;
      keyed(row, people, (person) => person.name, make, (label, person) => {
        label.querySelector('input').checked = person.name === current;
        label.querySelector('.does').textContent = person.does;
      });
    },
  };
}

function does(user) {
  if (user.requestable.length > 0 && user.can_review) return 'requests and reviews';
  if (user.requestable.length > 0) return 'requester';
  return user.can_review ? 'reviewer' : 'user';
}

function make(person) {
  return h('label.person', {},
    h('input', { type: 'radio', name: 'person', value: person.name }),
    h('span.name', {}, person.name.split('@')[0]),
    h('span.does', {}),
  );
}
