// What our forms of a base ask of the machine, read from their compiled graphs.
import { readFile } from 'node:fs/promises';
import { decodeOnnxModel } from '../../../src/formats/index.ts';
import type { CompiledModel, LoraInputGroup, ModelPackage, Precision } from '../../../src/models/index.ts';
import { openSubjectForms } from '../subject.ts';
import type { FormCost, ModelSize } from './distance.ts';
import { inputElementBytes, weightBytesRead } from './graph-bytes.ts';

export interface OurCosts {
  readonly size: ModelSize;
  /** By precision: those that the server takes, for calls of few tokens and of many. */
  readonly forms: ReadonlyMap<string, FormCost>;
}

export async function ourCosts(model: ModelPackage, precision: Precision): Promise<OurCosts> {
  const { decode, second } = await openSubjectForms(model, { precision, prefillPrecision: 'auto' });
  const forms = new Map<string, FormCost>();
  for (const form of [decode, ...(second ? [second] : [])]) forms.set(form.precision, await formCost(form));
  return { size: modelSize(model), forms };
}

async function formCost({ graphs, shape, precision, kvScales }: CompiledModel): Promise<FormCost> {
  const base = decodeOnnxModel(await readFile(graphs.none.path));
  const withAdapters = decodeOnnxModel(await readFile(graphs.linear.path));
  const linears = graphs.linear.loraGroups.filter(({ kind }) => kind === 'linear');
  const bytesAtRank1 = ({ inFeatures, parts, inputs }: LoraInputGroup): number =>
    parts.length * inFeatures * inputElementBytes(withAdapters, inputs.a) +
    parts.reduce((sum, { outFeatures }, index) => sum + outFeatures * inputElementBytes(withAdapters, inputs.b[index] ?? ''), 0);
  const { layerCount, kvHeadCount, headSize } = shape;
  return {
    weightBytes: weightBytesRead(base),
    kvBytesPerPosition: layerCount * 2 * kvHeadCount * headSize * (kvScales ? 1 : Float32Array.BYTES_PER_ELEMENT),
    adapterBytesPerRank: linears.reduce((sum, group) => sum + bytesAtRank1(group), 0),
    isFloat32: precision === 'fp32',
  };
}

function modelSize({ config, description }: ModelPackage): ModelSize {
  const { headCount, headSize, layerCount, hiddenSize, vocabularySize } = config;
  const linears = description.sites.filter(({ kind }) => kind === 'linear');
  return {
    linearProducts: linears.reduce((sum, { inFeatures, outFeatures }) => sum + inFeatures * outFeatures, 0),
    headProducts: hiddenSize * vocabularySize,
    attentionProducts: 2 * layerCount * headCount * headSize,
    adapterValuesPerRank: linears.reduce((sum, { inFeatures, outFeatures }) => sum + inFeatures + outFeatures, 0),
  };
}
