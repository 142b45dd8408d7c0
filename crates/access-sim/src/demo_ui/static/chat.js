// The Slack side: rooms (channels and direct messages), and the messages of the chosen one, drawn from the
// blocks that Slack really holds, as one person sees them.

import { drawMessageBody } from './blocks.js';
import { clock } from './dates.js';
import { byId, h, keyed, roving, setText } from './dom.js';
import { makeModals } from './modal.js';
import { makePress } from './press.js';
import { makeViewers } from './viewers.js';

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
  // Whether the newest message stays in sight, also when the room comes into sight only later or changes its size.
  let following = true;
  const dismissed = new Set();
  const viewers = makeViewers(() => draw());
  const me = () => model.people.find((person) => person.id === viewers.current());
  let pressed = null;
  const modals = makeModals({ names: () => model.names, onClosed: () => keepFocus(document.getElementById(pressed?.id), pressed?.act) });
  const press = makePress({
    viewer: me,
    names: () => model.names,
    onClick(person, message, element) {
      pressed = { id: idOf(message), act: `press:${element.action_id}` };
      modals.expect(person);
    },
    onWarning: () => draw(),
  });

  new ResizeObserver(() => following && toEnd()).observe(scroller);
  scroller.addEventListener('scroll', () => {
    if (isInSight()) following = isAtEnd();
  });

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
    toEnd();
  }

  function isInSight() {
    return scroller.clientHeight > 0;
  }

  function isAtEnd() {
    return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
  }

  function toEnd() {
    scroller.scrollTop = scroller.scrollHeight;
    following = true;
  }

  function draw() {
    const room = roomToShow();
    current = room?.id ?? null;
    if (room) markSeen(room);
    drawRooms();
    setText(byId('room-title'), room ? titleOf(room) : 'Signed out');
    setText(byId('room-about'), room?.about ?? '');
    const atEnd = isInSight() ? isAtEnd() : following;
    const messages = room ? inOrder([...room.messages, ...ephemeralsIn(room)]) : [];
    const newest = messages.at(-1);
    const isAnswer = newest?.ephemeral && !drawn.has(idOf(newest));
    keyed(list, messages, (message) => idOf(message), (message) => h(`li.message${message.ephemeral ? '.ephemeral' : ''}`, { id: idOf(message), tabIndex: -1, onanimationend: (event) => event.currentTarget.classList.remove('arrived', 'changed') }), updateMessage);
    const empty = byId('messages-empty');
    empty.hidden = messages.length > 0;
    setText(empty, room ? 'Nothing here yet. Ask for access on the Teleport side.' : `Slack does not let ${me()?.name ?? 'nobody'} in: the account is ${me()?.sort}.`);
    if (atEnd || isAnswer) toEnd();
    modals.update(me());
  }

  function titleOf(room) {
    return room.kind === 'channel' ? `# ${room.title}` : model.bot;
  }

  /** The rooms in the client of the person who looks. */
  function visibleRooms() {
    return model.rooms.filter((room) => me()?.sees(room.id));
  }

  /** What only this person sees here and did not dismiss. */
  function ephemeralsIn(room) {
    return me().ephemerals.filter((message) => message.channel === room.id && !dismissed.has(idOf(message)));
  }

  function dismiss(message) {
    dismissed.add(idOf(message));
    const before = byId(idOf(message)).previousElementSibling;
    draw();
    (before ?? scroller).focus();
  }

  /** Puts the focus where it was in a message that was drawn again, or on the message if that place is gone. */
  function keepFocus(element, act) {
    const place = element?.querySelector(`[data-act="${CSS.escape(act)}"]`) ?? element ?? scroller;
    place.focus({ preventScroll: true });
  }

  /** The chosen room; until the user chooses, the first one in which something was said. */
  function roomToShow() {
    const rooms = visibleRooms();
    const now = rooms.find((room) => room.id === current);
    if (now && (chosen || now.messages.length > 0)) return now;
    return rooms.find((room) => room.messages.length > 0) ?? now ?? rooms[0];
  }

  function drawRooms() {
    const rooms = visibleRooms();
    for (const group of groups) {
      keyed(group.items, rooms.filter((room) => room.kind === group.kind), (room) => room.id, makeRoomLink, (item, room) => {
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
    onUnread(rooms.reduce((sum, room) => sum + unreadIn(room), 0));
  }

  function makeRoomLink(room) {
    return h('li', {}, h('button.room-link', { type: 'button', 'data-room': room.id },
      h('span.sigil', { 'aria-hidden': 'true' }, room.kind === 'channel' ? '#' : '@'),
      h('span.room-name', {}, room.kind === 'channel' ? room.title : model.bot),
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
    const print = JSON.stringify([message.raw, message.replies.map((reply) => reply.raw), shownJson.has(element.id), press.warning(message) ?? '']);
    if (element.print === print) return;
    const body = JSON.stringify(message.raw);
    const was = drawn.get(element.id);
    drawn.set(element.id, body);
    const focused = element.contains(document.activeElement) ? document.activeElement.dataset.act : null;
    const thread = element.querySelector('details');
    const open = thread ? thread.open : true;
    element.print = print;
    element.replaceChildren(...drawMessage(element, message), message.replies.length > 0 ? drawThread(element, message, open) : '');
    if (focused) keepFocus(element, focused);
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
    const warning = press.warning(message);
    return [
      avatar(message.author),
      h('div.message-main', {},
        message.ephemeral && h('p.only-you', {}, h('span', { 'aria-hidden': 'true' }, '👁 '), 'Only visible to you'),
        h('div.message-head', {},
          h('bdi.author', {}, message.author.name),
          message.author.bot && h('span.app', {}, 'app'),
          h('time', { dateTime: new Date(message.time).toISOString(), title: new Date(message.time).toLocaleString() }, clock(message.time)),
          h('button.json', { type: 'button', 'data-act': 'json', 'aria-pressed': String(json), onclick: () => toggleJson(element, message) }, 'JSON', h('span.hidden', {}, ' of this message')),
        ),
        json ? h('pre.raw', { tabIndex: 0, 'aria-label': 'The message as JSON' }, JSON.stringify(message.raw, null, 2)) : drawMessageBody(message, model.names, press.on(message)),
        warning && h('p.slack-warning', { role: 'alert' }, h('span', { 'aria-hidden': 'true' }, '⚠ '), warning),
        message.ephemeral && h('button.dismiss', { type: 'button', 'data-act': 'dismiss', onclick: () => dismiss(message) }, 'Dismiss message'),
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
      viewers.update(model.people);
      if (first) {
        for (const room of model.rooms) seen.set(room.id, new Set(timestamps(room)));
        // As after a reload of Slack, what only one person saw is gone.
        for (const message of model.people.flatMap((person) => person.ephemerals)) dismissed.add(idOf(message));
      }
      draw();
      if (before) for (const sentence of news(before, model, me())) onNews(sentence);
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

/** What a message is called on the page. */
function idOf(message) {
  return `${message.ephemeral ? 'e' : 'm'}-${message.channel}-${message.ts}`;
}

function inOrder(messages) {
  return messages.sort((a, b) => (a.ts < b.ts ? -1 : Number(a.ts > b.ts)));
}

/** One sentence per message to this person that is new, changed or has a new reply; three at most. */
function news(before, after, me) {
  const sentences = [];
  const shown = new Set(before.people.find((person) => person.id === me?.id)?.ephemerals.map(idOf));
  for (const message of me?.ephemerals ?? []) {
    if (!shown.has(idOf(message))) sentences.push(`Only visible to you: ${message.text}`);
  }
  for (const room of after.rooms.filter(({ id }) => me?.sees(id))) {
    const name = room.kind === 'channel' ? `#${room.title}` : 'your direct messages';
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
