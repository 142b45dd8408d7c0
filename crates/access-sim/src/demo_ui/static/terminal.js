// The console under the Teleport side: what was typed and answered, and the cluster's audit log.

import { answerOf, commandOf, promptOf } from './commands.js';
import { clock } from './dates.js';
import { byId, h, keyed, revealed, setText } from './dom.js';

const LONGEST_LOG = 200;

/** Sets up both panels; `cluster` greets once the first state is there. */
export function makeTerminal() {
  const log = byId('log');
  const audit = byId('audit');
  const entries = h('div', { role: 'log', 'aria-label': 'Commands and answers' });
  const events = h('ul.events');
  log.append(entries);
  audit.append(h('p.empty', {}, 'Nothing has happened yet.'), events);
  let greeted = false;

  function print(entry) {
    const follow = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    entries.append(entry);
    while (entries.children.length > LONGEST_LOG) entries.firstElementChild.remove();
    if (follow) log.scrollTop = log.scrollHeight;
  }

  return {
    /** One finished action of `person`. */
    answered(person, action, body, request) {
      print(entry(person, action, body, answerOf(action, body, request).map(line)));
    },
    /** One action that the server refused. */
    refused(person, action, body, sentence) {
      print(entry(person, action, body, [h('div.answer.error', {}, 'ERROR: ', revealed(sentence))]));
    },
    /** A new state of the cluster. */
    update(teleport) {
      if (!greeted) {
        greeted = true;
        print(h('div.entry', {}, h('div.answer', {}, `Connected to cluster ${teleport.cluster}, Teleport ${teleport.version}.`)));
      }
      const newestFirst = teleport.audit.map((event, index) => ({ ...event, index })).reverse();
      keyed(events, newestFirst, (event) => String(event.index), auditEvent, () => {});
      audit.firstElementChild.hidden = newestFirst.length > 0;
      setText(byId('audit-count'), newestFirst.length > 0 ? String(newestFirst.length) : '');
    },
  };
}

function entry(person, action, body, answer) {
  return h('div.entry', {}, h('div.command', {}, promptLine(person), commandText(commandOf(action, body))), answer);
}

/** `alice@laptop $ `, in color. */
export function promptLine(person) {
  const prompt = promptOf(person);
  return h('span.prompt', {}, h('span.who', {}, prompt.name), ' ', h('span.mark', {}, prompt.mark), ' ');
}

/** A command line with its program and its flags set apart. */
export function commandText(command) {
  if (command.startsWith('#')) return h('span.comment', {}, revealed(command));
  const [, program, rest] = /^(\S+)(.*)$/s.exec(command);
  const parts = rest.split(/( --[a-z-]+)/).map((part) => (/^ --[a-z-]+$/.test(part) ? h('span.flag', {}, part) : revealed(part)));
  return h('span.cmdline', {}, h('span.program', {}, program), parts);
}

function line({ label, text, state }) {
  const value = h(state ? `bdi.state.${state.toLowerCase()}` : 'bdi', {}, revealed(text));
  return h('div.answer', {}, label && h('span.label', {}, `${label}:`), value);
}

function auditEvent(event) {
  return h('li', {},
    h('time', { dateTime: event.time }, clock(Date.parse(event.time), true)),
    ' ', h('span.code', {}, event.code),
    ' ', h('span.event', {}, event.event),
    event.details.map(([name, value]) => h('span.detail', {}, ' ', h('span.label', {}, `${name}=`), h('bdi', {}, revealed(value)))),
  );
}
