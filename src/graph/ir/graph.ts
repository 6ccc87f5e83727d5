// The graph: values, nodes in topological order, initializers as recipes. The one place that changes them, so that uses are always right.
// Knows nothing of operators (ops/ does) and nothing of file formats (serde does).
import { type Attributes } from './attributes.ts';
import { recipeKey, recipeShape, recipeType, type WeightRecipe } from './recipe.ts';
import { type ElementType, type Shape, sameShape } from './tensor-type.ts';

/** A tensor of the graph. Identity, not name, is equality. */
export interface Value {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
}

/** The place of an adapter inside a projection: `site` is its id, `outFeatures` its share of the projection's output. */
export interface SitePart {
  readonly site: string;
  readonly outFeatures: number;
}

/** Marks the node whose output is W x of one or several adapter sites. Read by passes; leaves no trace in the ONNX file. */
export interface ProjectionSite {
  readonly kind: 'linear' | 'head' | 'embedding';
  /** Projections over one input with the same group may be fused: `layers.3.qkv`. */
  readonly group: string;
  readonly parts: readonly SitePart[];
}

export interface Node {
  readonly op: string;
  readonly domain: '' | 'com.microsoft';
  /** Hierarchical: `layers.3/attention/q/MatMul`. */
  readonly name: string;
  /** `null` is an optional input that is left out. */
  readonly inputs: readonly (Value | null)[];
  readonly outputs: readonly (Value | null)[];
  readonly attributes: Attributes;
  readonly site?: ProjectionSite;
}

export interface Use {
  readonly node: Node;
  readonly index: number;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export class Graph {
  readonly name: string;
  readonly #inputs: Value[] = [];
  readonly #outputs: Value[] = [];
  readonly #nodes: Node[] = [];
  readonly #recipes = new Map<Value, WeightRecipe>();
  readonly #producers = new Map<Value, Node>();
  readonly #uses = new Map<Value, Use[]>();
  readonly #valueNames = new Map<string, Value>();
  readonly #nodeNames = new Set<string>();

  constructor(name: string) {
    this.name = name;
  }

  get inputs(): readonly Value[] {
    return this.#inputs;
  }

  get outputs(): readonly Value[] {
    return this.#outputs;
  }

  /** In topological order. */
  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  get initializers(): ReadonlyMap<Value, WeightRecipe> {
    return this.#recipes;
  }

  producer(value: Value): Node | undefined {
    return this.#producers.get(value);
  }

  uses(value: Value): readonly Use[] {
    return this.#uses.get(value) ?? [];
  }

  recipe(value: Value): WeightRecipe | undefined {
    return this.#recipes.get(value);
  }

  isOutput(value: Value): boolean {
    return this.#outputs.includes(value);
  }

  value(name: string): Value | undefined {
    return this.#valueNames.get(name);
  }

  /** @throws Error when the name is taken. */
  addInput(name: string, type: ElementType, shape: Shape): Value {
    const value = this.#newValue(name, type, shape);
    this.#inputs.push(value);
    return value;
  }

  /** Changes the element type of an input; its users must then be replaced by nodes that take it. */
  retypeInput(value: Value, type: ElementType): void {
    if (!this.#inputs.includes(value)) throw new Error(`${value.name} is no input`);
    (value as Mutable<Value>).type = type;
  }

  /** Makes `value` an output under `name`. @throws Error when another value has that name. */
  addOutput(value: Value, name: string): void {
    if (this.isOutput(value)) throw new Error(`${value.name} is an output already`);
    this.#rename(value, name);
    this.#outputs.push(value);
  }

  /**
   * The initializer of a recipe, made on first use. Its name comes from the recipe's key, and from the shape where that differs from
   * the recipe's own, so it is the same in every graph.
   */
  initializer(recipe: WeightRecipe, shape: readonly number[] = recipeShape(recipe)): Value {
    const key = recipeKey(recipe);
    const name = sameShape(shape, recipeShape(recipe)) ? key : `${key}:${shape.join('x')}`;
    const known = this.#valueNames.get(name);
    if (known) {
      const type = recipeType(recipe);
      if (!this.#recipes.has(known) || known.type !== type || !sameShape(known.shape, shape))
        throw new Error(`initializer ${name} would clash with another value`);
      return known;
    }
    const value = this.#newValue(name, recipeType(recipe), shape);
    this.#recipes.set(value, recipe);
    return value;
  }

  /**
   * Adds a node and its outputs behind `after` (`null`: in front of all nodes; absent: at the end). Its name and those of its outputs get
   * a number when they are taken.
   */
  addNode(node: Omit<Node, 'outputs'>, outputs: readonly (Value | null)[], after?: Node | null): Node {
    const added: Node = {
      ...node,
      name: this.#freeName(node.name, this.#nodeNames),
      outputs: outputs.map((output) => output && this.#newValue(this.#freeName(output.name, this.#valueNames), output.type, output.shape)),
    };
    this.#nodes.splice(this.#positionAfter(after), 0, added);
    this.#nodeNames.add(added.name);
    for (const output of added.outputs) if (output) this.#producers.set(output, added);
    for (const [index, input] of added.inputs.entries()) if (input) this.#addUse(input, { node: added, index });
    return added;
  }

  /** @throws Error when one of its outputs is still used or is an output of the graph. */
  removeNode(node: Node): void {
    for (const output of node.outputs) {
      if (output && (this.uses(output).length > 0 || this.isOutput(output)))
        throw new Error(`${node.name} can't be removed: ${output.name} is still used`);
    }
    this.#nodes.splice(this.#position(node), 1);
    this.#nodeNames.delete(node.name);
    for (const input of node.inputs) if (input) this.#dropUses(input, node);
    for (const output of node.outputs) if (output) this.#forget(output);
  }

  /** Puts the nodes into another order, which must again be topological (`verify` checks). @throws Error when it is not the same nodes. */
  reorderNodes(nodes: readonly Node[]): void {
    const present = new Set(this.#nodes);
    if (nodes.length !== present.size || new Set(nodes).size !== nodes.length || nodes.some((node) => !present.has(node)))
      throw new Error(`the new order of ${nodes.length} nodes is none of the ${present.size} nodes of ${this.name}`);
    this.#nodes.splice(0, this.#nodes.length, ...nodes);
  }

  /** @throws Error when the initializer is still used. */
  removeInitializer(value: Value): void {
    if (!this.#recipes.has(value)) throw new Error(`${value.name} is no initializer`);
    if (this.uses(value).length > 0 || this.isOutput(value))
      throw new Error(`initializer ${value.name} can't be removed: it is still used`);
    this.#recipes.delete(value);
    this.#forget(value);
  }

  /**
   * Uses of `from` (all, or just the given ones) become uses of `to`. When `from` is an output of the graph, `to` takes its place and its
   * name.
   */
  replaceUses(from: Value, to: Value, uses: readonly Use[] = this.uses(from)): void {
    if (from === to) return;
    for (const use of uses) {
      if (use.node.inputs[use.index] !== from) throw new Error(`input ${use.index} of ${use.node.name} is not ${from.name}`);
      (use.node as Mutable<Node>).inputs = use.node.inputs.map((input, index) => (index === use.index ? to : input));
      this.#dropUses(from, use.node, use.index);
      this.#addUse(to, use);
    }
    const position = this.#outputs.indexOf(from);
    if (position < 0) return;
    this.#outputs[position] = to;
    const { name } = from;
    this.#rename(from, this.#freeName(this.producer(from)?.name ?? `${name}/replaced`, this.#valueNames));
    this.#rename(to, name);
  }

  #newValue(name: string, type: ElementType, shape: Shape): Value {
    if (name === '' || this.#valueNames.has(name))
      throw new Error(`a value named "${name}" can't be added: the name is ${name === '' ? 'empty' : 'taken'}`);
    const value: Value = { name, type, shape };
    this.#valueNames.set(name, value);
    return value;
  }

  #rename(value: Value, name: string): void {
    if (value.name === name) return;
    if (this.#valueNames.has(name)) throw new Error(`${value.name} can't be renamed: ${name} is taken`);
    this.#valueNames.delete(value.name);
    (value as Mutable<Value>).name = name;
    this.#valueNames.set(name, value);
  }

  #freeName(name: string, taken: { has(name: string): boolean }): string {
    let free = name;
    for (let count = 2; taken.has(free); count++) free = `${name}_${count}`;
    return free;
  }

  #positionAfter(node: Node | null | undefined): number {
    if (node === undefined) return this.#nodes.length;
    return node === null ? 0 : this.#position(node) + 1;
  }

  #position(node: Node): number {
    const position = this.#nodes.indexOf(node);
    if (position < 0) throw new Error(`${node.name} is no node of graph ${this.name}`);
    return position;
  }

  #addUse(value: Value, use: Use): void {
    if (this.#valueNames.get(value.name) !== value)
      throw new Error(`${use.node.name} uses ${value.name}, which is no value of graph ${this.name}`);
    const uses = this.#uses.get(value);
    if (uses) uses.push(use);
    else this.#uses.set(value, [use]);
  }

  #dropUses(value: Value, node: Node, index?: number): void {
    const left = this.uses(value).filter((use) => use.node !== node || (index !== undefined && use.index !== index));
    if (left.length > 0) this.#uses.set(value, left);
    else this.#uses.delete(value);
  }

  #forget(value: Value): void {
    this.#producers.delete(value);
    this.#uses.delete(value);
    this.#valueNames.delete(value.name);
  }
}
