// A request for a job, checked against everything that it names, and what is stored of it. Row checks may take long and come separately.
import type { AdapterRegistry, HeldBlob } from '../../adapters/index.ts';
import { AppError, type AdapterName, type Digest, NAME_RULE, parseAdapterName, type TenantId } from '../../core/index.ts';
import type { FileRow, FileStore, JobContent } from '../../storage/index.ts';
import { type HyperparameterChoices, resolveHyperparameters } from '../defaults.ts';
import type { Hyperparameters } from '../hyperparameters.ts';
import type { JobRequest, RowTotals } from '../port.ts';
import { checkHyperparameters, type ChoiceLimits } from './check-choices.ts';
import { continuedChoices } from './continued-adapter.ts';
import { fileNotFound } from './files.ts';
import type { LineProblem, RowChecker, RowLimits } from './check-rows.ts';

export interface JobCheckParts {
  readonly files: FileStore;
  readonly adapters: Pick<AdapterRegistry, 'readPeft' | 'keeper'>;
  readonly baseId: string;
  readonly limits: ChoiceLimits;
}

/** A request that may become a job once its rows are good. Whoever has one releases it. */
export interface CheckedRequest {
  readonly adapterName: AdapterName;
  readonly training: FileRow;
  readonly validation: FileRow | null;
  readonly initial: JobContent['initial'];
  readonly hyperparameters: Hyperparameters;
  /** Until rows of the database refer to them, holds keep the blobs. */
  release(): void;
}

const MAX_SEED = 2 ** 32;

/** @throws AppError with the field in `param`. */
export async function checkRequest(
  parts: JobCheckParts,
  tenant: TenantId,
  request: JobRequest,
  given: { readonly jobName: AdapterName; readonly seed: number },
): Promise<CheckedRequest> {
  const adapterName = nameOf(request.suffix, given.jobName, parts.baseId);
  const training = trainingFile(parts.files, tenant, request.trainingFile, 'training_file');
  const validation = request.validationFile === null ? null : trainingFile(parts.files, tenant, request.validationFile, 'validation_file');
  // Whoever deletes a file now does not take it from us.
  const endHold = parts.adapters.keeper.hold([training, ...(validation === null ? [] : [validation])].map(({ digest }) => digest));
  const begun = await initialAdapter(parts, tenant, request).catch((error: unknown) => {
    endHold();
    throw error;
  });
  const release = (): void => {
    begun.release();
    endHold();
  };
  try {
    const hyperparameters = resolveHyperparameters(begun.choices, given.seed % MAX_SEED, parts.limits.maxContext);
    checkHyperparameters(hyperparameters, parts.limits, { path: request.choicesPath, hasValidationFile: validation !== null });
    return { adapterName, training, validation, initial: begun.initial, hyperparameters, release };
  } catch (error) {
    release();
    throw error;
  }
}

function nameOf(suffix: string | null, fallback: AdapterName, baseId: string): AdapterName {
  if (suffix === null) return fallback;
  const name = parseAdapterName(suffix);
  if (name === undefined)
    throw new AppError('invalid_request', `"suffix": got "${suffix.slice(0, 80)}", expected ${NAME_RULE}`, { param: 'suffix' });
  if (name === baseId)
    throw new AppError('invalid_request', `"suffix": "${suffix}" is the id of the base model, expected another name`, { param: 'suffix' });
  return name;
}

function trainingFile(files: FileStore, tenant: TenantId, id: string, param: string): FileRow {
  const row = files.get(tenant, id);
  if (row === null) throw fileNotFound(param);
  if (row.purpose !== 'fine-tune')
    throw new AppError('invalid_request', `"${param}": got a file of purpose "${row.purpose}", expected "fine-tune"`, { param });
  return row;
}

interface Beginning {
  readonly choices: HyperparameterChoices;
  readonly initial: JobContent['initial'];
  release(): void;
}

async function initialAdapter(parts: JobCheckParts, tenant: TenantId, request: JobRequest): Promise<Beginning> {
  const reference = adapterReference(request.model, parts.baseId);
  if (reference === null) return { choices: request.choices, initial: null, release: () => undefined };
  const { version, config, tensors } = await parts.adapters.readPeft(tenant, reference).catch(blameModel);
  const choices = continuedChoices(request.choices, { config, targetModules: version.targetModules }, request.choicesPath);
  const held: HeldBlob[] = [];
  for (const bytes of [config, tensors]) held.push(await parts.adapters.keeper.put(bytes));
  const [configDigest, tensorsDigest] = held.map(({ digest }): Digest => digest);
  if (configDigest === undefined || tensorsDigest === undefined) throw new Error('job check: two blobs were put');
  return {
    choices,
    initial: { config: configDigest, tensors: tensorsDigest },
    release: () => held.forEach((blob) => blob.release()),
  };
}

/** Null: the base itself. */
function adapterReference(model: string, baseId: string): string | null {
  if (model === baseId || model === `${baseId}:`) return null;
  return model;
}

function blameModel(error: unknown): never {
  if (error instanceof AppError) throw new AppError(error.code, error.message, { param: 'model', cause: error });
  throw error;
}

export interface RowFiles {
  readonly training: Pick<FileRow, 'digest'>;
  readonly validation: Pick<FileRow, 'digest'> | null;
}

/** @throws AppError `invalid_request` that names file, lines and fields. */
export async function checkJobRows(
  checker: RowChecker,
  { training, validation }: RowFiles,
  path: (digest: Digest) => string,
  limits: RowLimits,
): Promise<RowTotals> {
  const totals = rowsOf('training_file', await checker.check(path(training.digest), limits));
  if (validation !== null) rowsOf('validation_file', await checker.check(path(validation.digest), limits));
  return totals;
}

/** Lines that a message shows; the number of the others is said. */
const SHOWN_PROBLEMS = 5;

function rowsOf(param: string, report: Awaited<ReturnType<RowChecker['check']>>): RowTotals {
  if (report.kind === 'good') return report.totals;
  const shown = report.problems.slice(0, SHOWN_PROBLEMS).map(shownProblem);
  const rest = report.problems.length - shown.length;
  throw new AppError('invalid_request', `"${param}": ${shown.join('; ')}${rest > 0 ? `; and ${rest} more bad lines` : ''}`, { param });
}

function shownProblem({ line, message }: LineProblem): string {
  return line === null ? message : `line ${line}: ${message}`;
}
