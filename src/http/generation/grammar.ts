// The grammar that a request asks for, whichever of its fields says so; compiled once before anything is queued.
import { AppError, type TenantId } from '../../core/index.ts';
import type { Grammar } from '../../text/index.ts';
import type { AppServices } from '../services.ts';

/** A field of the request, with how its grammar is made when the field asks for one. */
export interface GrammarWish {
  readonly param: string;
  readonly make: () => Grammar;
}

/**
 * @returns null when no field asks for a grammar.
 * @throws AppError invalid_request when two do, when end-of-text is ignored beside one, or when it cannot be compiled.
 */
export async function checkedGrammar(
  services: AppServices,
  tenant: TenantId,
  wishes: readonly GrammarWish[],
  ignoresEnd = false,
): Promise<Grammar | null> {
  const [wish, other] = wishes;
  if (wish === undefined) return null;
  const { param } = wish;
  if (other !== undefined)
    throw new AppError('invalid_request', `got both "${param}" and "${other.param}", expected one of them`, { param });
  // A complete output can only be followed by the end.
  if (ignoresEnd)
    throw new AppError('invalid_request', `"ignore_eos": got true together with "${param}", expected one of them`, { param: 'ignore_eos' });
  const grammar = wish.make();
  await services.grammars.check(grammar, tenant, param);
  return grammar;
}
