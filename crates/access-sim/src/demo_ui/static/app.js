// Wires the page: one state from the server goes to both sides; both sides act through the server alone.

import { follow } from './api.js';
import { makeChat } from './chat.js';
import { readWorkspace } from './chat-model.js';
import { makeCompose } from './compose.js';
import { keepTicking } from './dates.js';
import { byId, roving, setText } from './dom.js';
import { makePeople } from './people.js';
import { makeRequests } from './requests.js';
import { readCluster } from './teleport-model.js';
import { makeTerminal } from './terminal.js';

const LINK = { live: 'Live', lost: 'Connection lost, trying again' };
const TITLE = document.title;

let state = null;

const terminal = makeTerminal();
const people = makePeople(() => drawTeleport());
const acting = {
  person: () => people.current() ?? '',
  done: (action, body, request, who = people.current()) => terminal.answered(who, action, body, request),
  failed: (action, body, sentence, who = people.current()) => terminal.refused(who, action, body, sentence),
};
const compose = makeCompose(acting);
const requests = makeRequests(acting);
const chat = makeChat({
  onUnread(count) {
    const badge = byId('tab-unread');
    badge.hidden = count === 0;
    setText(badge, count === 0 ? '' : String(count));
    document.title = count === 0 ? TITLE : `(${count}) ${TITLE}`;
  },
  onNews(sentence) {
    const announce = byId('announce');
    setText(announce, announce.textContent === sentence ? `${sentence} ` : sentence);
    pulse();
  },
});

function drawTeleport() {
  if (!state) return;
  const teleport = readCluster(state.teleport);
  setText(byId('cluster'), `cluster ${teleport.cluster} · version ${teleport.version}`);
  people.update(teleport.users);
  compose.update(teleport.users);
  requests.update(teleport);
  terminal.update(teleport);
}

/** A spark crosses from the terminal to the chat: something that happened there is seen here. */
function pulse() {
  const seam = byId('seam');
  seam.classList.remove('pulse');
  void seam.offsetWidth; // restarts the animation
  seam.classList.add('pulse');
}

follow(
  (next) => {
    state = next;
    drawTeleport();
    chat.update(readWorkspace(state.slack));
    document.body.dataset.version = String(state.version);
  },
  (link) => {
    document.body.dataset.link = link;
    setText(byId('link-text'), LINK[link]);
  },
);

/** A tab list whose panels are shown one at a time. */
function tabs(container, onChange) {
  const all = [...container.querySelectorAll('[role=tab]')];
  roving(container, '[role=tab]', 'horizontal');
  const select = (chosen) => {
    for (const tab of all) {
      tab.setAttribute('aria-selected', String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    onChange(chosen.getAttribute('aria-controls'), all.map((tab) => tab.getAttribute('aria-controls')));
  };
  container.addEventListener('click', (event) => {
    const tab = event.target.closest('[role=tab]');
    if (tab) select(tab);
  });
  container.addEventListener('focusin', (event) => {
    if (event.target.matches('[role=tab][aria-selected=false]')) select(event.target);
  });
  return () => select(all.find((tab) => tab.getAttribute('aria-selected') === 'true') ?? all[0]);
}

function showOnly(chosen, ids) {
  for (const id of ids) byId(id).hidden = id !== chosen;
}

tabs(document.querySelector('.console-tabs'), showOnly);

// Below this width the two sides take turns; above it both are on the page and the tabs are not drawn.
const narrow = matchMedia('(max-width: 899px)');
const showWorlds = tabs(document.querySelector('.bar .tabs'), (chosen, ids) => {
  for (const id of ids) byId(id).hidden = narrow.matches && id !== chosen;
  chat.shown();
});
narrow.addEventListener('change', showWorlds);
document.addEventListener('visibilitychange', () => chat.shown());
for (const skip of document.querySelectorAll('.skip')) {
  skip.addEventListener('click', () => byId(`tab-${skip.hash.slice(1)}`).click());
}
showWorlds();
keepTicking(document);
