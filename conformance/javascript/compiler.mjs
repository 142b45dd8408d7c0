// Asks the TypeScript compiler whether values have the types that a package promises.

import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const here = new URL('.', import.meta.url);
const generated = new URL('generated/', here);
const compiler = new URL('node_modules/.bin/tsc', here).pathname;
const run = promisify(execFile);

const STRICT = {
  strict: true, noEmit: true, module: 'nodenext', target: 'es2022', skipLibCheck: true, types: [], typeRoots: [],
};

/** What the compiler says of each source text, by its position in the list; nothing if it fits. `project` names them. */
export async function objections(project, sources, options = {}) {
  await mkdir(generated, { recursive: true });
  const files = sources.map((_, index) => `${project}${index}.ts`);
  await Promise.all(files.map((file, index) => writeFile(new URL(file, generated), sources[index])));
  const config = new URL(`${project}.json`, generated);
  await writeFile(config, JSON.stringify({ compilerOptions: { ...STRICT, ...options }, files }));
  const said = await run(compiler, ['-p', config.pathname, '--pretty', 'false'], { maxBuffer: 64 << 20 }).then(
    () => '',
    (error) => error.stdout || error.message,
  );
  const found = sources.map(() => '');
  let current;
  for (const line of said.split('\n').filter((text) => text.trim())) {
    // What belongs to an objection is indented.
    if (/^\S/.test(line)) current = files.findIndex((file) => line.includes(`${file}(`));
    if (current < 0) throw new Error(said);
    found[current] += `${line}\n`;
  }
  return found;
}
