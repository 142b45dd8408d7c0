// The Slack side: rooms (channels and direct messages), and the messages of the chosen one, drawn from the
// blocks that Slack really holds.

import { drawMessageBody } from './blocks.js';
import { clock } from './dates.js';
import { byId, h, keyed, roving, setText } from './dom.js';

/** `onUnread(count)` hears how much waits unread; `onNews(sentence)` hears each change, for screen readers. */
export function makeChat({ onUnread, onNews }) {
  const nav = byId('rooms');
  const scroller = byId('messages');
  const list = byId('message-list');
  const groups = [makeGroup('Channels', 'channel'), makeGroup('Direct messages', 'dm')];
  const shownJson = new Set();
  const seen = new Map();
  const drawn = new Map();
  let model = null;
  let current = null;
  let chosen = false;
  let first = true;

  nav.append(...groups.map((group) => group.element));
  roving(nav, 'button.room-link', 'vertical');
  nav.addEventListener('click', (event) => {
    const button = event.target.closest('button.room-link');
    if (button) choose(button.dataset.room);
  });

  function makeGroup(title, kind) {
    const items = h('ul');
    return { kind, items, element: h('div.room-group', {}, h('h3', {}, title), items) };
  }

  function choose(id) {
    current = id;
    chosen = true;
    draw();
    scroller.scrollTop = scroller.scrollHeight;
  }

  function draw() {
    const room = roomToShow();
    if (!room) return;
    current = room.id;
    markSeen(room);
    drawRooms();
    setText(byId('room-title'), room.kind === 'channel' ? `# ${room.title}` : room.title);
    setText(byId('room-about'), room.about);
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
    keyed(list, room.messages, (message) => `${room.id}/${message.ts}`, (message) => h('li.message', { id: `m-${room.id}-${message.ts}`, onanimationend: (event) => event.currentTarget.classList.remove('arrived', 'changed') }), updateMessage);
    const empty = byId('messages-empty');
    empty.hidden = room.messages.length > 0;
    setText(empty, 'Nothing here yet. Ask for access on the Teleport side.');
    if (atEnd) scroller.scrollTop = scroller.scrollHeight;
  }

  /** The chosen room; until somebody chooses, the first one in which something was said. */
  function roomToShow() {
    const now = model.rooms.find((room) => room.id === current);
    if (now && (chosen || now.messages.length > 0)) return now;
    return model.rooms.find((room) => room.messages.length > 0) ?? now ?? model.rooms[0];
  }

  function drawRooms() {
    for (const group of groups) {
      keyed(group.items, model.rooms.filter((room) => room.kind === group.kind), (room) => room.id, makeRoomLink, (item, room) => {
        const button = item.firstElementChild;
        const unread = unreadIn(room);
        button.toggleAttribute('aria-current', room.id === current);
        if (room.id === current) button.setAttribute('aria-current', 'true');
        button.tabIndex = room.id === current ? 0 : -1;
        button.classList.toggle('unread', unread > 0);
        const badge = button.querySelector('.badge');
        badge.hidden = unread === 0;
        badge.replaceChildren(String(unread), h('span.hidden', {}, ' unread'));
      });
      group.element.hidden = group.items.children.length === 0;
    }
    onUnread(model.rooms.reduce((sum, room) => sum + unreadIn(room), 0));
  }

  function makeRoomLink(room) {
    return h('li', {}, h('button.room-link', { type: 'button', 'data-room': room.id },
      h('span.sigil', { 'aria-hidden': 'true' }, room.kind === 'channel' ? '#' : '@'),
      h('span.room-name', {}, room.title),
      h('span.badge', { hidden: true }),
    ));
  }

  function unreadIn(room) {
    const known = seen.get(room.id) ?? new Set();
    return timestamps(room).filter((ts) => !known.has(ts)).length;
  }

  function markSeen(room) {
    if (nav.closest('section').hidden || document.hidden) return;
    seen.set(room.id, new Set(timestamps(room)));
  }

  function updateMessage(element, message) {
    const print = JSON.stringify([message.raw, message.replies.map((reply) => reply.raw), shownJson.has(element.id)]);
    if (element.print === print) return;
    const body = JSON.stringify(message.raw);
    const was = drawn.get(element.id);
    drawn.set(element.id, body);
    const focused = element.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    const thread = element.querySelector('details');
    const open = thread ? thread.open : true;
    element.print = print;
    element.replaceChildren(...drawMessage(element, message), message.replies.length > 0 ? drawThread(element, message, open) : '');
    if (focused) element.querySelector(`[data-act="${CSS.escape(focused)}"]`)?.focus();
    if (was !== body) flash(element, was === undefined ? 'arrived' : 'changed');
  }

  function flash(element, name) {
    if (first) return;
    element.classList.remove('changed', 'arrived');
    void element.offsetWidth; // restarts the animation
    element.classList.add(name);
  }

  function drawMessage(element, message) {
    const json = shownJson.has(element.id);
    return [
      avatar(message.author),
      h('div.message-main', {},
        h('div.message-head', {},
          h('bdi.author', {}, message.author.name),
          message.author.bot && h('span.app', {}, 'app'),
          h('time', { dateTime: new Date(message.time).toISOString(), title: new Date(message.time).toLocaleString() }, clock(message.time)),
          h('button.json', { type: 'button', 'data-act': 'json', 'aria-pressed': String(json), onclick: () => toggleJson(element, message) }, 'JSON', h('span.hidden', {}, ' of this message')),
        ),
        json ? h('pre.raw', { tabIndex: 0, 'aria-label': 'The message as JSON' }, JSON.stringify(message.raw, null, 2)) : drawMessageBody(message, model.names),
        message.edited && h('span.edited', { title: `at ${clock(message.edited, true)}` }, '(edited)'),
      ),
    ];
  }

  function toggleJson(element, message) {
    if (!shownJson.delete(element.id)) shownJson.add(element.id);
    updateMessage(element, message);
  }

  function drawThread(element, message, open) {
    const count = message.replies.length;
    return h('details.thread', { open },
      h('summary', { 'data-act': 'thread' }, `${count} ${count === 1 ? 'reply' : 'replies'}`),
      h('ol', {}, message.replies.map((reply) => h('li.reply', {},
        avatar(reply.author),
        h('div.message-main', {},
          h('div.message-head', {}, h('bdi.author', {}, reply.author.name), reply.author.bot && h('span.app', {}, 'app'), h('time', { dateTime: new Date(reply.time).toISOString() }, clock(reply.time))),
          drawMessageBody(reply, model.names),
          reply.edited && h('span.edited', {}, '(edited)'),
        ),
      ))),
    );
  }

  return {
    /** Draws this state of the workspace; the first one counts as read. */
    update(next) {
      const before = model;
      model = next;
      setText(byId('workspace'), model.team);
      if (first) for (const room of model.rooms) seen.set(room.id, new Set(timestamps(room)));
      draw();
      if (before) for (const sentence of news(before, model)) onNews(sentence);
      first = false;
    },
    /** What was covered by a tab is now shown, or the window came back: it counts as read. */
    shown() {
      if (model) draw();
    },
  };
}

/** The names of everything said in a room, replies included. */
function timestamps(room) {
  return room.messages.flatMap((message) => [message.ts, ...message.replies.map((reply) => reply.ts)]);
}

/** One sentence per message that is new, changed or has a new reply; three at most. */
function news(before, after) {
  const sentences = [];
  for (const room of after.rooms) {
    const name = room.kind === 'channel' ? `#${room.title}` : `the direct messages of ${room.title}`;
    const old = new Map((before.rooms.find((candidate) => candidate.id === room.id)?.messages ?? []).map((message) => [message.ts, message]));
    for (const message of room.messages) {
      const was = old.get(message.ts);
      if (!was) sentences.push(`New message in ${name}.`);
      else if (message.replies.length > was.replies.length) sentences.push(`New reply in ${name}.`);
      else if (JSON.stringify(message.raw) !== JSON.stringify(was.raw)) sentences.push(`A message in ${name} was changed.`);
    }
  }
  return sentences.slice(0, 3);
}

function avatar(author) {
  const letters = author.bot ? '›_' : author.name.slice(0, 1).toUpperCase();
  return h(`span.avatar${author.bot ? '.bot' : ''}`, { 'aria-hidden': 'true' }, letters);
}
