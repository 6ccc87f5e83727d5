// What our forms of a base ask of the machine, read from their compiled graphs.
import { readFile } from 'node:fs/promises';
import { decodeOnnxModel } from '../../../src/formats/index.ts';
import type { CompiledModel, ModelPackage, Precision } from '../../../src/models/index.ts';
import { openSubjectForms } from '../subject.ts';
import type { FormCost, ModelSize } from './distance.ts';
import { inputElementBytes, weightBytesRead } from './graph-bytes.ts';

export interface OurCosts {
  readonly size: ModelSize;
  readonly decode: FormCost;
  readonly prefill: FormCost;
}

export async function ourCosts(model: ModelPackage, precision: Precision): Promise<OurCosts> {
  const { decode, second } = await openSubjectForms(model, { precision, prefillPrecision: 'auto' });
  const cost = await formCost(decode);
  return { size: modelSize(model), decode: cost, prefill: second ? await formCost(second) : cost };
}

async function formCost({ graphs, shape, precision, kvScales }: CompiledModel): Promise<FormCost> {
  const base = decodeOnnxModel(await readFile(graphs.none.path));
  const withAdapters = decodeOnnxModel(await readFile(graphs.linear.path));
  const aName = graphs.linear.loraGroups.find(({ kind }) => kind === 'linear')?.inputs.a ?? '';
  const { layerCount, kvHeadCount, headSize } = shape;
  return {
    weightBytes: weightBytesRead(base),
    kvBytesPerPosition: layerCount * 2 * kvHeadCount * headSize * (kvScales ? 1 : Float32Array.BYTES_PER_ELEMENT),
    adapterElementBytes: inputElementBytes(withAdapters, aName),
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
