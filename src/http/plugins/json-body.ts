// Fastify's own JSON parser, with a refusal that names the key when a body tries to reach an object's prototype.
import { AppError } from '../../core/index.ts';
import type { App } from '../services.ts';

const PROTOTYPE_KEY = '__proto__';

export function registerJsonBody(app: App): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    void parse(request, body, (error, value) => {
      if (error === null) done(null, value);
      else done(prototypeRefusal(body) ?? error);
    });
  });
}

/** null: the body was refused because it is not JSON. */
function prototypeRefusal(body: string): AppError | null {
  let hasPrototypeKey = false;
  try {
    JSON.parse(body, (key, value: unknown) => {
      hasPrototypeKey ||= key === PROTOTYPE_KEY;
      return value;
    });
  } catch {
    return null;
  }
  const name = hasPrototypeKey ? PROTOTYPE_KEY : 'constructor.prototype';
  return new AppError('invalid_request', `the body has a key "${name}", which no route takes`, { param: name });
}
