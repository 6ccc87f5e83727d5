export { requireRole, roleAllows, ROLES } from './roles.ts';
export { createTenantDirectory, type TenantDirectoryParts } from './tenant-directory.ts';
export type * from './port.ts';
