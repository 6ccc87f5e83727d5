// What a sweep trains: the product of ranks, matrices, methods and learning-rate ratios, or one of three studies. Pure.
import { AppError } from '../../core/index.ts';

export const METHODS = ['lora', 'rslora', 'dora', 'lora+', 'pissa', 'lora-ga'] as const;
export type Method = (typeof METHODS)[number];

export const STUDIES = ['ranks', 'matrices', 'methods'] as const;
export type Study = (typeof STUDIES)[number];

export interface SweepPoint {
  readonly method: Method;
  readonly rank: number;
  /** With commas, or all-linear. */
  readonly targets: string;
  /** Learning rate of B over that of A; null: what the method has. */
  readonly ratio: number | null;
}

export interface SweepOptions {
  readonly study?: Study;
  readonly ranks?: string;
  readonly targets?: string;
  readonly methods?: string;
  readonly ratios?: string;
}

/** The ratio that LoRA+'s authors recommend (arXiv 2402.12354). */
const LORAPLUS_RATIO = 16;
const QUERY_VALUE = 'q_proj,v_proj';

/**
 * The studies of the LoRA paper (arXiv 2106.09685, sections 7.1 and 7.2) and of its followers. Matrices: ranks with which the default base has about 30,700
 * trained parameters a layer each.
 */
const STUDY_OPTIONS: Readonly<Record<Study, SweepOptions>> = {
  ranks: { ranks: '1,2,4,8,64', targets: QUERY_VALUE },
  matrices: { targets: `q_proj@27;v_proj@40;${QUERY_VALUE}@16;q_proj,k_proj,v_proj,o_proj@8;all-linear@3` },
  methods: { methods: METHODS.join(','), targets: QUERY_VALUE },
};

/** @throws AppError `usage` for a list that cannot be read. */
export function sweepPoints(options: SweepOptions): readonly SweepPoint[] {
  const {
    ranks = '8',
    targets = QUERY_VALUE,
    methods = 'lora',
    ratios = '',
  } = options.study === undefined ? options : STUDY_OPTIONS[options.study];
  const wanted = targets.split(';').map(targetOf);
  const rankList = ranks.split(',').map((text) => positive('--ranks', text));
  const ratioList = ratios === '' ? [null] : ratios.split(',').map((text) => positive('--ratios', text));
  return methods
    .split(',')
    .flatMap((name) =>
      wanted.flatMap(({ names, rank }) =>
        (rank === null ? rankList : [rank]).flatMap((each) =>
          ratioList.map((ratio): SweepPoint => ({ method: methodOf(name), rank: each, targets: names, ratio })),
        ),
      ),
    );
}

/** Hyperparameters of a point, as the API has them in `lora`. */
export function loraOf({ method, rank, targets, ratio }: SweepPoint): Record<string, unknown> {
  const learning = ratio ?? (method === 'lora+' ? LORAPLUS_RATIO : null);
  return {
    r: rank,
    target_modules: targets === 'all-linear' ? targets : targets.split(','),
    ...(method === 'rslora' && { use_rslora: true }),
    ...(method === 'dora' && { use_dora: true }),
    ...(method === 'pissa' && { init: 'pissa' }),
    ...(method === 'lora-ga' && { init: 'lora_ga' }),
    ...(learning !== null && { loraplus_lr_ratio: learning }),
  };
}

export function pointName({ method, rank, targets, ratio }: SweepPoint): string {
  const matrices = targets.replaceAll('_proj', '');
  return `${method} r=${rank} ${matrices}${ratio === null ? '' : ` ratio ${ratio}`}`;
}

function targetOf(text: string): { readonly names: string; readonly rank: number | null } {
  const [names = '', rank] = text.split('@');
  if (names === '')
    throw new AppError(
      'usage',
      `--targets "${text}": expected names with commas, sets of them apart by ";", such as "q_proj;q_proj,v_proj@4"`,
    );
  return { names, rank: rank === undefined ? null : positive('--targets', rank) };
}

function methodOf(name: string): Method {
  const method = METHODS.find((candidate) => candidate === name);
  if (method === undefined) throw new AppError('usage', `--methods "${name}": expected some of ${METHODS.join(', ')}`);
  return method;
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new AppError('usage', `${option} "${text}": expected a number above 0`);
  return value;
}
