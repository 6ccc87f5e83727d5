// Inputs and outputs that differ in every call. They stay until the next call of the same binding.
import { type Binding, createTensor, type ElementType, type OrtEnvironment, type Tensor, type TensorData } from '../../runtime/index.ts';

export class CallTensors implements Disposable {
  readonly #environment: OrtEnvironment;
  readonly #binding: Binding;
  #tensors: Tensor[] = [];

  constructor(environment: OrtEnvironment, binding: Binding) {
    this.#environment = environment;
    this.#binding = binding;
  }

  input(name: string, type: ElementType, shape: readonly number[], data: TensorData): void {
    this.#binding.input(name, this.#tensor(type, shape, data));
  }

  output(name: string, type: ElementType, shape: readonly number[], data: TensorData): void {
    this.#binding.output(name, this.#tensor(type, shape, data));
  }

  dispose(): void {
    for (const tensor of this.#tensors) tensor.dispose();
    this.#tensors = [];
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #tensor(type: ElementType, shape: readonly number[], data: TensorData): Tensor {
    const tensor = createTensor(this.#environment, type, shape, data);
    this.#tensors.push(tensor);
    return tensor;
  }
}
