// Emits nodes into a graph under a name scope, with the types that the operator table infers.
import type { Attributes } from '../ir/attributes.ts';
import type { Graph, Node, ProjectionSite, Value } from '../ir/graph.ts';
import type { PartialTensorType, Shape } from '../ir/tensor-type.ts';
import { inferOutputs } from './infer.ts';
import { slotName } from './schema.ts';
import { opSchema } from './table.ts';

export interface EmitOptions {
  /** Last part of the node's name; the operator's name when absent. */
  readonly name?: string;
  /** One flag an output: whether it is wanted. Absent: the first one only. */
  readonly wanted?: readonly boolean[];
  /** Shapes of outputs whose dimensions the inputs do not determine. */
  readonly shapes?: readonly Shape[];
  readonly site?: ProjectionSite;
}

export interface Emitter {
  readonly graph: Graph;
  /** Emits into the same place under `scope/name`. */
  scope(name: string): Emitter;
  /** First output of a new node. */
  readonly emit: (op: string, inputs: readonly (Value | null)[], attributes?: Attributes, options?: EmitOptions) => Value;
  /** Wanted outputs of a new node, in order. */
  emitAll(op: string, inputs: readonly (Value | null)[], attributes: Attributes, options: EmitOptions): readonly Value[];
}

/** Where nodes go: at the end of the graph, or behind a node, each one behind the one before. */
interface Cursor {
  last: Node | null | undefined;
}

/** Emits at the end of the graph. */
export function emitterAtEnd(graph: Graph, scope = ''): Emitter {
  return makeEmitter(graph, scope, { last: undefined });
}

/** Emits behind `node`; `null` is in front of all nodes. */
export function emitterAfter(graph: Graph, node: Node | null, scope: string): Emitter {
  return makeEmitter(graph, scope, { last: node });
}

/** Scope of a node's name: `layers.3/attention/q` of `layers.3/attention/q/MatMul`. */
export function scopeOf(node: Node): string {
  return node.name.slice(0, Math.max(0, node.name.lastIndexOf('/')));
}

function makeEmitter(graph: Graph, scope: string, cursor: Cursor): Emitter {
  const emitAll: Emitter['emitAll'] = (op, inputs, attributes, options) => {
    const name = joinScope(scope, options.name ?? op);
    const wanted = options.wanted ?? [true];
    const types = inferOutputs(graph, { op, inputs, attributes, outputCount: wanted.length });
    const outputs = wanted.map((want, index) => {
      const type = types[index];
      if (!want || !type) return null;
      const valueName = wanted.length === 1 ? name : `${name}.${slotName(opSchema(op).outputs, index)}`;
      return { name: valueName, type: type.type, shape: completeShape(type, options.shapes?.[index], valueName) };
    });
    const { domain } = opSchema(op);
    const node = graph.addNode({ op, domain, name, inputs, attributes, ...(options.site && { site: options.site }) }, outputs, cursor.last);
    if (cursor.last !== undefined) cursor.last = node;
    return node.outputs.filter((output) => output !== null);
  };
  return {
    graph,
    scope: (name) => makeEmitter(graph, joinScope(scope, name), cursor),
    emitAll,
    emit: (op, inputs, attributes = {}, options = {}) => {
      const [first] = emitAll(op, inputs, attributes, options);
      if (!first) throw new Error(`${op} was emitted without its first output`);
      return first;
    },
  };
}

function joinScope(scope: string, name: string): string {
  return scope === '' ? name : `${scope}/${name}`;
}

function completeShape({ shape }: PartialTensorType, given: Shape | undefined, name: string): Shape {
  return shape.map((dim, axis) => {
    const complete = dim ?? given?.[axis];
    if (complete === undefined) throw new Error(`axis ${axis} of ${name} follows from no input: name it`);
    if (given && given[axis] !== complete) throw new Error(`axis ${axis} of ${name} is ${complete}, expected ${given[axis]}`);
    return complete;
  });
}
