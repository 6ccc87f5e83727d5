// What is measured: the default base model as the product imported it, at a precision, and token ids of a fixed text.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createOrtExecutor, type OrtModelExecutor } from '../../src/engine/executor/index.ts';
import {
  type CompiledModel,
  formsOf,
  type KvPrecision,
  type ModelPackage,
  openCompiled,
  openModelPackage,
  type Precision,
  prepareForms,
} from '../../src/models/index.ts';
import { childCalibrator } from '../../src/entries/calibrator.ts';
import { createTokenizer } from '../../src/text/index.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const MODEL = 'smollm2-135m-instruct';

/** The package that `npm run up` imports. */
export async function openSubject(): Promise<ModelPackage> {
  const modelsDir = process.env['LORIKEET_MODELS_DIR'] ?? join(ROOT, 'models');
  try {
    return await openModelPackage(join(modelsDir, MODEL));
  } catch (cause) {
    throw new Error(`the benchmark needs the default model: run "npm run -s lorikeet -- pull ${MODEL}" first`, { cause });
  }
}

/** The GGUF file that the package was imported from: the peer reads the same bytes. */
export function sourceFile({ folder, record }: ModelPackage): string {
  const name = record.sourceFiles[0]?.name;
  if (record.sourceKind !== 'gguf' || name === undefined)
    throw new Error(`${record.id} was not imported from a GGUF file; the peer needs one`);
  return join(folder, 'source', name);
}

export interface ExecutorNeeds {
  readonly precision: Precision;
  /** Of the cache; fp32 when absent. */
  readonly kvPrecision?: KvPrecision;
  /** auto: calls of many tokens run on the form that the server would choose on this machine. */
  readonly prefillPrecision: 'auto' | 'same';
  readonly threadCount: number;
  readonly maxRows: number;
  readonly maxContext: number;
}

export interface SubjectForms {
  readonly decode: CompiledModel;
  /** For calls of many tokens; null: they run on the other form. */
  readonly second: CompiledModel | null;
}

/** The forms that a server would take; compiles what is missing. */
export async function openSubjectForms(
  model: ModelPackage,
  { precision, kvPrecision = 'fp32', prefillPrecision }: Pick<ExecutorNeeds, 'precision' | 'kvPrecision' | 'prefillPrecision'>,
): Promise<SubjectForms> {
  const forms = formsOf(model, { precision, prefillPrecision, kvPrecision });
  await prepareForms(model, forms, { calibrate: childCalibrator({ threadCount: null, ortLibrary: null }) });
  const open = async (wanted: Precision): Promise<CompiledModel> => {
    const form = await openCompiled(model.folder, wanted, forms.kv);
    if (!form) throw new Error(`the ${wanted} form was made, but is not there`);
    return form;
  };
  return { decode: await open(forms.decode), second: forms.second && (await open(forms.second)) };
}

/** The executor as the engine process opens it. */
export async function openSubjectExecutor(
  model: ModelPackage,
  { precision, kvPrecision = 'fp32', prefillPrecision, ...limits }: ExecutorNeeds,
): Promise<OrtModelExecutor> {
  const { decode, second } = await openSubjectForms(model, { precision, kvPrecision, prefillPrecision });
  return createOrtExecutor({ model: decode, ...(second && { secondModel: second }), allowSpinning: true, ...limits });
}

/** Token ids of test/fixtures/kl.txt, at least `count`. */
export async function subjectTokenIds(model: ModelPackage, count: number): Promise<readonly number[]> {
  const text = await readFile(join(ROOT, 'test', 'fixtures', 'kl.txt'), 'utf8');
  const tokenIds = createTokenizer(model.tokenizer).encode(text);
  if (tokenIds.length < count) throw new Error(`the benchmark text has ${tokenIds.length} tokens, ${count} are needed`);
  return tokenIds;
}
