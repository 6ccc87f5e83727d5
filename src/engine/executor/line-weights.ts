// Weights of all tokens from one line of logits, by ONNX Runtime's exponential: 27 us for 49,152 of them, where JavaScript's takes 600.
import { lineWeightsGraph } from '../../models/index.ts';
import { type Binding, createSmallSession, createTensor, type OrtEnvironment, type Session, type Tensor } from '../../runtime/index.ts';

export class LineWeights implements Disposable {
  readonly #logits: Float32Array<ArrayBuffer>;
  readonly #weights: Float32Array<ArrayBuffer>;
  readonly #largest = floats(1);
  readonly #scale = floats(1);
  readonly #session: Session;
  readonly #tensors: readonly Tensor[];
  readonly #binding: Binding;

  constructor(environment: OrtEnvironment, vocabularySize: number) {
    this.#logits = floats(vocabularySize);
    this.#weights = floats(vocabularySize);
    this.#session = createSmallSession(environment, lineWeightsGraph());
    this.#binding = this.#session.createBinding();
    const tensor = (data: Float32Array<ArrayBuffer>): Tensor => createTensor(environment, 'float32', [data.length], data);
    const inputs = { logits: tensor(this.#logits), largest: tensor(this.#largest), scale: tensor(this.#scale) };
    const output = tensor(this.#weights);
    for (const [name, input] of Object.entries(inputs)) this.#binding.input(name, input);
    this.#binding.output('weights', output);
    this.#tensors = [...Object.values(inputs), output];
  }

  /** exp((logits - largest) * scale), [vocabularySize]; the array is the caller's until the next call. */
  weigh(logits: Float32Array, largest: number, scale: number): Float32Array {
    this.#logits.set(logits);
    this.#largest[0] = largest;
    this.#scale[0] = scale;
    this.#binding.run();
    return this.#weights;
  }

  dispose(): void {
    this.#binding.dispose();
    for (const tensor of this.#tensors) tensor.dispose();
    this.#session.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Outside of the JavaScript heap, whatever its length. */
function floats(length: number): Float32Array<ArrayBuffer> {
  return new Float32Array(new ArrayBuffer(length * Float32Array.BYTES_PER_ELEMENT));
}
