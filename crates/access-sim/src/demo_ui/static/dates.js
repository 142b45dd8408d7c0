// Times as a reader wants them: Slack's date tokens in the reader's zone, and how long is left. Pure.

const TOKEN = /\{(date_num|date_slash|date_long_full|date_long_pretty|date_short_pretty|date_long|date_short|date_pretty|date|time_secs|time|ago|day_divider_pretty)\}/g;

/** Fills Slack's date tokens; null if the instant cannot be shown, so that the fallback is used. */
export function formatSlackDate(unix, format, now = Date.now()) {
  const date = new Date(unix * 1000);
  if (Number.isNaN(date.getTime())) return null;
  return format.replace(TOKEN, (_, token) => fill(token, date, now));
}

function fill(token, date, now) {
  const show = (options) => new Intl.DateTimeFormat('en', options).format(date);
  const near = nearDay(date, now);
  switch (token) {
    case 'date_num':
      return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
    case 'date_slash':
      return `${two(date.getMonth() + 1)}/${two(date.getDate())}/${date.getFullYear()}`;
    case 'date_short_pretty':
      return near ?? fill('date_short', date, now);
    case 'date_short':
      return show({ year: 'numeric', month: 'short', day: 'numeric' });
    case 'date_long_pretty':
    case 'day_divider_pretty':
      return near ?? fill('date_long', date, now);
    case 'date_long':
    case 'date_long_full':
      return show({ weekday: 'long', year: 'numeric', month: 'long', day: 'numeric' });
    case 'date_pretty':
      return near ?? fill('date', date, now);
    case 'time':
      return show({ hour: 'numeric', minute: '2-digit' });
    case 'time_secs':
      return show({ hour: 'numeric', minute: '2-digit', second: '2-digit' });
    case 'ago':
      return ago(date.getTime(), now);
    default:
      return show({ year: 'numeric', month: 'long', day: 'numeric' });
  }
}

function nearDay(date, now) {
  const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(date.getTime()) - midnight(now)) / 86_400_000);
  return { '-1': 'yesterday', 0: 'today', 1: 'tomorrow' }[days] ?? null;
}

function two(number) {
  return String(number).padStart(2, '0');
}

/** `3 minutes ago`, `in 2 hours`. */
export function ago(time, now = Date.now()) {
  const seconds = Math.round((time - now) / 1000);
  const words = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
  for (const [unit, size] of [['day', 86_400], ['hour', 3600], ['minute', 60]]) {
    if (Math.abs(seconds) >= size) return words.format(Math.trunc(seconds / size), unit);
  }
  return Math.abs(seconds) < 10 ? 'just now' : words.format(seconds, 'second');
}

/** `59 min left`, `1 h 5 min left`, `12 s left`, `expired`. */
export function timeLeft(until, now = Date.now()) {
  const seconds = Math.ceil((until - now) / 1000);
  if (seconds <= 0) return 'expired';
  if (seconds < 60) return `${seconds} s left`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min left`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min left` : `${hours} h left`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h left`;
}

/** The clock time, in the reader's zone. */
export function clock(time, seconds = false) {
  const options = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...(seconds && { second: '2-digit' }) };
  return new Intl.DateTimeFormat('en-GB', options).format(time);
}

/** Keeps every `[data-until]` and `[data-ago]` under `root` true as time goes by. */
export function keepTicking(root) {
  const tick = () => {
    for (const element of root.querySelectorAll('[data-until]')) {
      const text = timeLeft(Number(element.dataset.until));
      if (element.textContent !== text) element.textContent = text;
    }
    for (const element of root.querySelectorAll('[data-ago]')) {
      const text = formatSlackDate(Number(element.dataset.ago), element.dataset.format);
      if (text !== null && element.textContent !== text) element.textContent = text;
    }
  };
  setInterval(tick, 1000);
}
