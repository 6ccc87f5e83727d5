// One run of a session over raw pointers alone, so that any thread of the process can make it: binding and tensors live for the run.
import { NativeHandle } from './handles.ts';
import type { OrtLibrary } from './library.ts';
import { bytesOf } from './memory.ts';
import { createNativeTensor, type NativeTensor } from './native-tensor.ts';

export interface NamedTensor extends Pick<NativeTensor, 'type' | 'shape'> {
  readonly name: string;
  /** Several are copied together, one behind the other: of inputs alone. */
  readonly parts: readonly Pick<NativeTensor, 'data' | 'bytes'>[];
}

/** A plain record that can be sent to another thread. Everything that it points to must outlive the call. */
export interface NativeRunRequest {
  readonly session: unknown;
  readonly runOptions: unknown;
  readonly memoryInfo: unknown;
  readonly inputs: readonly NamedTensor[];
  readonly outputs: readonly NamedTensor[];
}

/** @throws Error with ONNX Runtime's message. */
export function runNative(library: OrtLibrary, { session, runOptions, memoryInfo, inputs, outputs }: NativeRunRequest): void {
  const values: NativeHandle[] = [];
  const memories: unknown[] = [];
  using binding = new NativeHandle('binding', library.create('CreateIoBinding', session), (pointer) =>
    library.call('ReleaseIoBinding', pointer),
  );
  const bind = (name: 'BindInput' | 'BindOutput', tensor: NamedTensor): void => {
    const whole = wholeOf(tensor);
    memories.push(whole.data);
    const pointer = createNativeTensor(library, memoryInfo, { ...tensor, ...whole });
    const value = new NativeHandle('tensor', pointer, (released) => library.call('ReleaseValue', released));
    values.push(value);
    library.check(name, binding.pointer, tensor.name, value.pointer);
  };
  try {
    for (const input of inputs) bind('BindInput', input);
    for (const output of outputs) bind('BindOutput', output);
    library.check('RunWithBinding', session, runOptions, binding.pointer);
  } finally {
    for (const value of values) value.dispose();
    memories.length = 0;
  }
}

function wholeOf({ parts }: NamedTensor): Pick<NativeTensor, 'data' | 'bytes'> {
  const [first, ...others] = parts;
  if (first && others.length === 0) return first;
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
  const whole = new Uint8Array(new ArrayBuffer(bytes));
  let offset = 0;
  for (const part of parts) {
    whole.set(bytesOf(part), offset);
    offset += part.bytes;
  }
  return { data: whole, bytes };
}
