// Reads the Slack simulator's snapshot into what the page draws: people, and rooms with messages, each with its replies.

/**
 * The workspace: `{ team, people: [{ id, name, sort, signsIn, sees, ephemerals, views }], rooms: [{ id, kind, title, about,
 * messages }], names }`. `sees(roomId)` says whether a room is in that user's client.
 */
export function readWorkspace(snapshot) {
  const people = new Map(snapshot.people.map((person) => [person.id, person]));
  const nameOf = (id) => people.get(id)?.real_name || people.get(id)?.name;
  return {
    team: snapshot.team.name,
    people: snapshot.people.filter(isHuman).map((person) => readPerson(person, snapshot, nameOf)),
    rooms: [...snapshot.conversations].sort(liveliestFirst).map((conversation) => readRoom(conversation, snapshot.bot_user_id, nameOf)),
    names: {
      user: nameOf,
      channel: (id) => snapshot.conversations.find((conversation) => conversation.id === id)?.name,
    },
    bot: nameOf(snapshot.bot_user_id) ?? 'app',
  };
}

const SORTS = { guest: 'guest', single_channel_guest: 'guest', external: 'external', deactivated: 'deactivated', invited: 'invited' };

function isHuman({ id, kind }) {
  return id !== 'USLACKBOT' && (kind === 'member' || sortOf(kind) !== undefined);
}

function sortOf(kind) {
  return SORTS[typeof kind === 'string' ? kind : Object.keys(kind)[0]];
}

function readPerson(person, snapshot, nameOf) {
  const sort = sortOf(person.kind) ?? '';
  const signsIn = !['deactivated', 'invited'].includes(sort) && person.kind.external?.stranger !== true;
  const visible = snapshot.conversations.filter(({ members, kind }) => members.includes(person.id) || (kind === 'public' && person.kind === 'member'));
  const rooms = new Set(signsIn ? visible.map(({ id }) => id) : []);
  return {
    id: person.id,
    name: nameOf(person.id),
    sort,
    signsIn,
    sees: (room) => rooms.has(room),
    ephemerals: person.ephemerals.map((message) => ({ ...readMessage(message, nameOf), ephemeral: true })),
    views: person.views,
  };
}

/** Rooms that the app is in come first, those with more members before others. */
function liveliestFirst(a, b) {
  return Number(b.bot_is_member) - Number(a.bot_is_member) || b.members.length - a.members.length;
}

function readRoom(conversation, bot, nameOf) {
  const direct = ['direct', 'group_direct'].includes(conversation.kind);
  const others = conversation.members.filter((id) => id !== bot).map((id) => nameOf(id) ?? id);
  return {
    id: conversation.id,
    kind: direct ? 'dm' : 'channel',
    title: direct ? others.join(', ') : conversation.name,
    about: direct ? 'Direct messages from the app' : about(conversation),
    messages: conversation.messages.map((message) => ({
      ...readMessage(message, nameOf),
      replies: message.replies.map((reply) => readMessage(reply, nameOf)),
    })),
  };
}

function about({ kind, archived, ext_shared: shared, bot_is_member: member, members }) {
  return [
    `${members.length} ${members.length === 1 ? 'member' : 'members'}`,
    kind === 'private' && 'private',
    archived && 'archived',
    shared && 'shared with another organization',
    !member && 'the app is not in it',
  ].filter(Boolean).join(' · ');
}

function readMessage(message, nameOf) {
  return {
    channel: message.channel,
    ts: message.ts,
    time: Date.parse(message.posted_at),
    author: { name: nameOf(message.author) ?? message.author, bot: message.from_bot },
    text: message.tombstone ? '_This message was deleted._' : message.text,
    blocks: message.tombstone ? [] : message.blocks,
    verbatim: message.formatting.parse === 'none',
    markup: message.formatting.mrkdwn !== false,
    edited: message.marked_edited && message.edited_at ? Date.parse(message.edited_at) : null,
    raw: readRaw(message),
    replies: [],
  };
}

/** What was sent, under the names that Slack's API gives it, without what was not. */
function readRaw({ channel, ts, thread_ts: thread, text, formatting, blocks, attachments, metadata, edits }) {
  return {
    channel,
    ts,
    ...(thread && { thread_ts: thread }),
    text,
    ...Object.fromEntries(Object.entries(formatting).filter(([, value]) => value !== null)),
    ...(blocks.length > 0 && { blocks: typeFirst(blocks) }),
    ...(attachments.length > 0 && { attachments: typeFirst(attachments) }),
    ...(metadata && { metadata }),
    edits,
  };
}

/** The same value with `type` in front, where a reader of Block Kit looks for it. */
function typeFirst(value) {
  if (Array.isArray(value)) return value.map(typeFirst);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, typeFirst(inner)]);
  return Object.fromEntries(entries.sort(([a], [b]) => Number(b === 'type') - Number(a === 'type')));
}
