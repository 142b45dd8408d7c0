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

/** What the compiler says of a source text; nothing if it fits. `name` is free to choose, but once. */
export async function complaint(name, source, options = {}) {
  await mkdir(generated, { recursive: true });
  await writeFile(new URL(`${name}.ts`, generated), source);
  const config = { compilerOptions: { ...STRICT, ...options }, files: [`${name}.ts`] };
  await writeFile(new URL(`${name}.json`, generated), JSON.stringify(config));
  try {
    await run(compiler, ['-p', new URL(`${name}.json`, generated).pathname]);
    return '';
  } catch (error) {
    return error.stdout || error.message;
  }
}
