// Checks of what is installed and configured: ONNX Runtime, the base model, the data folder, the port.
import { constants } from 'node:fs';
import { access, readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, resolve } from 'node:path';
import type { Settings } from '../../config/index.ts';
import { describeError } from '../../core/index.ts';
import { listModels, openModelPackage } from '../../models/index.ts';
import { bundledLibraryPath, loadLibrary } from '../../runtime/index.ts';
import { openStorage } from '../../storage/index.ts';
import { fail, type Finding, ok } from './check.ts';

const RUNTIME_ADVICE = 'run "npm ci" again; or set --ort-library to an ONNX Runtime library of this system';

/** Loads the library into this process, as the engine does. */
export function checkRuntime(ortLibrary: string | null): Finding {
  try {
    const { path } = loadLibrary(ortLibrary ?? bundledLibraryPath());
    return ok('onnxruntime', ortLibrary === null ? 'the bundled library loads' : `${path} loads`);
  } catch (error) {
    return fail('onnxruntime', describeError(error), RUNTIME_ADVICE);
  }
}

/** Opening a package checks it against its own record. */
export async function checkModel({ model, modelsDir }: Pick<Settings, 'model' | 'modelsDir'>): Promise<Finding> {
  const advice = `fetch it with "lorikeet pull ${model}", or name another with --model`;
  try {
    const summary = (await listModels(modelsDir)).find(({ id }) => id === model);
    if (!summary) return fail('model', `${model} is not imported in ${modelsDir}`, advice);
    await openModelPackage(summary.folder);
    return ok('model', `${model} is imported and valid`);
  } catch (error) {
    return fail('model', describeError(error), `import it again: ${advice}`);
  }
}

/** A folder that holds data is opened as the server would open it, which also shows whether another process owns it. */
export async function checkDataFolder(dataDir: string): Promise<Finding> {
  try {
    const entries = await readdir(dataDir).catch(() => []);
    if (entries.length === 0) {
      await access(await existingAncestor(dataDir), constants.W_OK);
      return ok('data folder', `${dataDir} will be made by the first start`);
    }
    openStorage(dataDir).close();
    return ok('data folder', `${dataDir} is writable and not in use`);
  } catch (error) {
    return fail('data folder', describeError(error), 'stop the server that uses it, or set --data-dir to a folder that you may write');
  }
}

export async function checkPort(host: string, port: number): Promise<Finding> {
  const server = createServer();
  try {
    await new Promise<void>((listening, refused) => {
      server.once('error', refused);
      server.listen({ host, port, exclusive: true }, listening);
    });
    return ok('port', port === 0 ? 'any free port' : `${host}:${port} is free`);
  } catch (error) {
    return fail('port', describeError(error), 'stop what listens there, or set --port to another one (0 picks a free one)');
  } finally {
    server.close();
  }
}

/** The folder itself, or the nearest one above it that exists. */
export async function existingAncestor(folder: string): Promise<string> {
  const path = resolve(folder);
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  return exists || dirname(path) === path ? path : await existingAncestor(dirname(path));
}
