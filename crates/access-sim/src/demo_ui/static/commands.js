// Says each action as the command that a person would type at Teleport, and its answer as they would read it.
// Pure, so that it runs under `node --test` as well.

const SAFE = /^[A-Za-z0-9_@%+=:,./-]+$/;
const CONTROL = /[\p{Cc}\p{Cf}\u2028\u2029]/u;
const CONTROLS = new RegExp(CONTROL.source, 'gu');

/** One word of a command line, quoted as a POSIX shell (or bash, for invisible characters) needs it. */
export function shellWord(text) {
  if (SAFE.test(text)) return text;
  if (!CONTROL.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const escaped = text.replace(/[\\']/g, '\\$&').replace(CONTROLS, escapeOf);
  return `$'${escaped}'`;
}

function escapeOf(char) {
  if (char === '\n') return '\\n';
  if (char === '\t') return '\\t';
  const code = char.codePointAt(0);
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
}

function flag(name, value) {
  return value ? [`--${name}=${shellWord(value)}`] : [];
}

/** The command of an action: `body` is what is posted to `/api/teleport/<action>`. */
export function commandOf(action, body) {
  switch (action) {
    case 'request':
      return [
        'tsh request create',
        ...flag('roles', (body.roles ?? []).join(',')),
        ...(body.resources ?? []).flatMap((resource) => flag('resource', resource)),
        ...flag('reason', body.reason),
        ...flag('reviewers', (body.reviewers ?? []).join(',')),
        ...flag('max-duration', body.duration),
      ].join(' ');
    case 'review':
      return ['tsh request review', body.approve ? '--approve' : '--deny', ...flag('reason', body.reason), body.id].join(' ');
    case 'state':
      return ['tctl requests', body.approve ? 'approve' : 'deny', ...flag('reason', body.reason), body.id].join(' ');
    case 'delete':
      return `tctl requests rm ${body.id}`;
    case 'expire':
      return `# the clock moves on until ${body.id} has run out`;
    default:
      throw new Error(`no command for ${action}`);
  }
}

/** What the terminal prints after a success: lines of { label?, text }. */
export function answerOf(action, body, request) {
  switch (action) {
    case 'request':
      return [
        { label: 'Request ID', text: request?.id ?? '' },
        { label: 'Username', text: request?.user ?? body.user },
        { label: 'Roles', text: (request?.roles ?? body.roles ?? []).join(', ') },
        ...((request?.resources ?? []).length ? [{ label: 'Resources', text: request.resources.join(', ') }] : []),
        ...(request?.reason ? [{ label: 'Reason', text: request.reason }] : []),
        { label: 'Status', text: request?.state ?? 'PENDING', state: request?.state ?? 'PENDING' },
      ];
    case 'review':
      return [
        { text: 'Review submitted.' },
        { label: 'Status', text: request?.state ?? '', state: request?.state },
      ];
    case 'state':
      return [{ label: 'Status', text: request?.state ?? '', state: request?.state }];
    case 'delete':
      return [{ text: 'Request deleted.' }];
    case 'expire':
      return [{ text: 'Teleport has dropped the expired request.' }];
    default:
      return [];
  }
}

/** Whose prompt it is: `alice@laptop $` for people, `root@auth #` for the administrator. */
export function promptOf(person) {
  return person === ADMIN ? { name: 'root@auth', mark: '#' } : { name: person.includes('@') ? person : `${person}@laptop`, mark: '$' };
}

/** The name under which the administrator's console acts. */
export const ADMIN = 'tctl';
