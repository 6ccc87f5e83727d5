// Tensors of the base itself inside an adapter's file: copies, trained biases, trained rows, whole modules. Says for each what it is and
// whether it fits the base; what it does to the packed form is pack-replaced.ts's business.
import { AppError } from '../core/index.ts';
import {
  isSavedModule,
  tokenIdsOf,
  type ModuleTensors,
  type PeftLoraConfig,
  type SafetensorsFile,
  type SafetensorsTensor,
} from '../formats/index.ts';
import type { AdapterSite, BaseModelDescription } from '../models/index.ts';
import { hasShape, requireShape, shownShape } from './checked-tensor.ts';

export type ReplacedPart =
  /** Still to be compared with the base's. */
  | { readonly kind: 'copy'; readonly site: AdapterSite; readonly tensor: SafetensorsTensor }
  /** `name` is the checkpoint's. */
  | { readonly kind: 'full'; readonly name: string; readonly tensor: SafetensorsTensor }
  | { readonly kind: 'bias'; readonly site: AdapterSite; readonly tensor: SafetensorsTensor }
  /** Row i of the tensor is that of tokenIds[i], in the embedding, the head or, where the head is tied, both. */
  | {
      readonly kind: 'rows';
      readonly sites: readonly AdapterSite[];
      readonly tokenIds: readonly number[];
      readonly tensor: SafetensorsTensor;
    };

interface Upload {
  readonly config: PeftLoraConfig;
  readonly groups: ReadonlyMap<string, ModuleTensors>;
  readonly tensors: SafetensorsFile['tensors'];
  readonly base: BaseModelDescription;
}

/** @throws AppError `invalid_adapter` or `unsupported_adapter`, naming what does not fit. */
export function planReplacedParts(upload: Upload): readonly ReplacedPart[] {
  requireAnnouncedRows(upload);
  return [...upload.groups.values()].flatMap((group) => [
    ...planWeight(upload, group),
    ...planBias(upload, group),
    ...planRows(upload, group),
  ]);
}

function planWeight({ config, tensors, base }: Upload, { module, baseWeight }: ModuleTensors): readonly ReplacedPart[] {
  if (baseWeight === undefined) return [];
  const tensor = present(baseWeight, tensors);
  const site = base.sites.find((each) => each.module === module);
  const name = `${module}.weight`;
  const expected = site === undefined ? shapeOf(base, name, tensor) : weightShape(site);
  if (!hasShape(tensor, expected)) {
    throw new AppError(
      'unsupported_adapter',
      `tensor ${JSON.stringify(baseWeight)} is a full weight of shape ${shownShape(tensor.shape)}, expected the base's own ${shownShape(expected)}; ` +
        'an embedding or head of another size (a resized vocabulary) is not supported',
    );
  }
  if (isSavedModule(config, module)) return [{ kind: 'full', name, tensor }];
  return site === undefined ? [] : [{ kind: 'copy', site, tensor }];
}

function planBias({ config, tensors, base }: Upload, group: ModuleTensors): readonly ReplacedPart[] {
  const { module } = group;
  if (group.form === 'embedding' || group.baseBias === undefined) return [];
  const tensor = present(group.baseBias, tensors);
  const name = `${module}.bias`;
  requireShape(tensor, shapeOf(base, name, tensor));
  if (isSavedModule(config, module)) return [{ kind: 'full', name, tensor }];
  const site = base.sites.find((each) => each.module === module);
  return site === undefined ? [] : [{ kind: 'bias', site, tensor }];
}

function planRows({ config, tensors, groups, base }: Upload, group: ModuleTensors): readonly ReplacedPart[] {
  if (group.form !== 'replaced' || group.tokenRows === undefined) return [];
  const tensor = present(group.tokenRows, tensors);
  const own = base.sites.find((site) => site.module === group.module && site.kind !== 'linear');
  const tokenIds = tokenIdsOf(config, group.module) ?? [];
  if (own === undefined)
    throw new AppError('unsupported_adapter', `module "${group.module}" has no rows of tokens`, { param: 'trainable_token_indices' });
  const wrong = tokenIds.find((id) => id >= base.vocabularySize);
  if (wrong !== undefined) {
    const message = `adapter_config.json: token id ${wrong}, expected ids below the base's vocabulary of ${base.vocabularySize}`;
    throw new AppError('invalid_adapter', message, { param: 'trainable_token_indices' });
  }
  requireShape(tensor, [tokenIds.length, base.hiddenSize]);
  const head = tiedHeadOf(base, own);
  const headGroup = head && groups.get(head.module);
  if (head === undefined || (headGroup !== undefined && hasOwnRows(headGroup))) return [{ kind: 'rows', sites: [own], tokenIds, tensor }];
  if (headGroup !== undefined && (headGroup.form !== 'replaced' || isSavedModule(config, head.module))) {
    throw new AppError(
      'unsupported_adapter',
      `rows of "${own.module}" (trainable_token_indices) change the head tied to it, which has LoRA or a full weight too; PEFT does not load that either`,
    );
  }
  return [{ kind: 'rows', sites: [own, head], tokenIds, tensor }];
}

function tiedHeadOf(base: BaseModelDescription, site: AdapterSite): AdapterSite | undefined {
  return base.tiedHead && site.kind === 'embedding' ? base.sites.find(({ kind }) => kind === 'head') : undefined;
}

function hasOwnRows(group: ModuleTensors): boolean {
  return group.form === 'replaced' && group.tokenRows !== undefined;
}

/** PEFT would begin with the base's rows where the file lacks them. A tied head needs none when it has the embedding's ids. */
function requireAnnouncedRows({ config, groups, base }: Upload): void {
  const withRows = [...groups.values()].filter(hasOwnRows);
  for (const [name, tokenIds] of config.tokenRows ?? []) {
    const isThere = withRows.some(({ module }) => tokenIdsOf(config, module) === tokenIds);
    const tied = base.sites.some(({ kind, module }) => base.tiedHead && kind === 'head' && module.endsWith(name));
    const isTied = tied && withRows.some(({ module }) => tokenIdsOf(config, module)?.join() === tokenIds.join());
    if (isThere || isTied) continue;
    const message = `adapter_config.json: "trainable_token_indices" names ${JSON.stringify(name)}, but the file has no token_adapter of it`;
    throw new AppError('invalid_adapter', message, { param: 'trainable_token_indices' });
  }
}

/** Shape of a weight as PyTorch keeps it. */
function weightShape({ kind, inFeatures, outFeatures }: AdapterSite): readonly number[] {
  return kind === 'embedding' ? [inFeatures, outFeatures] : [outFeatures, inFeatures];
}

function shapeOf(base: BaseModelDescription, name: string, tensor: SafetensorsTensor): readonly number[] {
  const found = base.tensors.find((each) => each.name === name);
  if (found !== undefined) return found.shape;
  throw new AppError('invalid_adapter', `tensor ${JSON.stringify(tensor.name)} replaces ${name}, which base ${base.id} does not have`);
}

function present(name: string, tensors: SafetensorsFile['tensors']): SafetensorsTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`replaced parts: tensor ${name} was grouped but is not there`);
  return tensor;
}
