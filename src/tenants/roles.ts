// What a role may do: a total order, inference below admin below operator.
import { AppError } from '../core/index.ts';
import type { Principal, Role } from './port.ts';

/** From least to most. */
export const ROLES: readonly Role[] = ['inference', 'admin', 'operator'];

export function parseRole(text: string): Role | undefined {
  return ROLES.find((role) => role === text);
}

/** Whether a holder of `held` may do what needs `needed`. */
export function roleAllows(held: Role, needed: Role): boolean {
  return ROLES.indexOf(held) >= ROLES.indexOf(needed);
}

/** @throws AppError `forbidden` when the principal's role is below `needed`. */
export function requireRole(principal: Principal, needed: Role): void {
  if (!roleAllows(principal.role, needed)) {
    throw new AppError('forbidden', `this needs a key with role ${needed}, yours has role ${principal.role}`);
  }
}
