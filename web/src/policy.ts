/**
 * What the Content-Security-Policy of the page's server forbids. A program sees of it nothing but a connection that
 * failed, or WebAssembly that does not compile; only an event says why.
 */
import { HubError } from './failure';

interface Violation {
  directive: string;
  blocked: string;
  /** On the clock of `performance.now`. */
  at: number;
}

const heard: Violation[] = [];
const waiting = new Set<() => void>();

// In a page and in a Worker alike; a test in Node.js has no such events.
globalThis.addEventListener?.('securitypolicyviolation', (event) => {
  const { effectiveDirective, blockedURI } = event as SecurityPolicyViolationEvent;
  heard.push({ directive: effectiveDirective, blocked: blockedURI, at: performance.now() });
  waiting.forEach((heed) => heed());
});

/** The event may come a moment after the failure (milliseconds). */
const MOMENT = 100;

/** The parts of a policy that people must change, and how. */
const NEEDS = {
  'connect-src': (blocked: string) => `\`connect-src 'self' ${originOf(blocked)}\`, and where that sends on to,`,
  'script-src': () => "`script-src 'self' 'wasm-unsafe-eval'`",
  'worker-src': () => "`worker-src 'self'`",
};
type Directive = keyof typeof NEEDS;

/** An error that WebAssembly does not compile, with its reason; any other as it is. */
export async function explained(error: unknown): Promise<unknown> {
  if (!(error instanceof WebAssembly.CompileError)) return error;
  const advice = 'take a current browser';
  return (
    (await forbidden('script-src', 0)) ?? new HubError('page', `WebAssembly does not compile: ${error.message}`, advice)
  );
}

/** The error that says so, if the policy has refused something of this kind since `since` (`performance.now`). */
export async function forbidden(directive: Directive, since: number): Promise<HubError | undefined> {
  const find = () => heard.find((it) => it.at >= since && it.directive.startsWith(directive));
  if (!find()) {
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, MOMENT);
      waiting.add(done);
    });
  }
  const found = find();
  return found && new HubError('policy', messageOf(directive, found), adviceOf(directive, found));
}

function messageOf(directive: Directive, { blocked }: Violation): string {
  const what = {
    'connect-src': `to connect to ${originOf(blocked)}`,
    'script-src': 'to run WebAssembly',
    'worker-src': 'to start a Worker',
  };
  return `the server of this page does not allow it ${what[directive]} (Content-Security-Policy)`;
}

const adviceOf = (directive: Directive, { blocked }: Violation): string =>
  `who runs the server must add ${NEEDS[directive](blocked)} to the policy`;

function originOf(blocked: string): string {
  try {
    return new URL(blocked).origin;
  } catch {
    return blocked;
  }
}
