// Everything that a job knows between two micro-batches. Together with order and files it decides all that follows: orders, masks and initial values are
// functions of seed and step (random.ts, dataset/step-plan.ts), so there is no state of a generator and no position in the data.
import type { StepMetrics } from '../../messages.ts';
import type { TrainedParameter } from '../ports.ts';

/** A trained tensor with AdamW's moments, same length. */
export interface OptimizedParameter {
  readonly parameter: TrainedParameter;
  readonly moment1: Float32Array;
  readonly moment2: Float32Array;
}

export interface BestStep {
  readonly step: number;
  readonly validLoss: number;
  /** Copies, in the order of the parameters. */
  readonly values: readonly Float32Array[];
}

export interface TrainingState {
  /** Optimizer steps done; the parameters' values are those after it. */
  step: number;
  /** The last step is done but for its evaluation. */
  evaluationDue: boolean;
  /** One a step. Their speeds alone differ between two runs of a job. */
  readonly curve: StepMetrics[];
  best: BestStep | null;
  evaluationsWithoutBetter: number;
  /** Tokens that gradients were computed over. */
  trainedTokens: number;
  readonly parameters: readonly OptimizedParameter[];
}

/** A state at step 0 over the parameters as they are. */
export function newState(parameters: readonly TrainedParameter[]): TrainingState {
  return {
    step: 0,
    evaluationDue: false,
    curve: [],
    best: null,
    evaluationsWithoutBetter: 0,
    trainedTokens: 0,
    parameters: parameters.map((parameter) => ({
      parameter,
      moment1: new Float32Array(parameter.values.length),
      moment2: new Float32Array(parameter.values.length),
    })),
  };
}
