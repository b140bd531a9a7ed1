/** What the page says of errors, whatever thread they come from. */
import { describe, expect, it } from 'vitest';
import { asFailure, HubError } from '../src/failure';
import { partOf } from '../src/hub/plan';

const refusal = (name: string) => new DOMException('said by the browser', name);

describe('a failure', () => {
  it('keeps its code and its advice on the way between threads', () => {
    const want = { code: 'busy', message: 'another tab is training', advice: 'close that tab' };
    const told = asFailure(new HubError(want.code, want.message, want.advice));
    // An Error would arrive without them.
    expect(structuredClone(told)).toEqual(want);
    expect(told).not.toBeInstanceOf(Error);
    expect(asFailure(want)).toEqual(want);
  });

  it.each([
    new HubError('model', 'x does not come with this page'),
    new HubError('a code nobody knows', 'x'),
    { code: 'engine', message: 'the GPU refused a command', advice: '' },
    { code: 'run', message: 'x', advice: '' },
    new TypeError('x is not a function'),
    refusal('UnknownError'),
    'a word',
    undefined,
    null,
  ])('has advice: %s', (error) => {
    const { code, message, advice } = asFailure(error);
    expect([code, message, advice].every((text) => text.length > 0)).toBe(true);
  });

  it('that a browser means is said in words of ours', () => {
    expect(asFailure(refusal('QuotaExceededError'))).toMatchObject({
      code: 'quota',
      advice: expect.stringContaining('delete'),
    });
    expect(asFailure(refusal('NotReadableError'))).toMatchObject({ code: 'file', advice: 'choose it again' });
    expect(asFailure(refusal('NotFoundError')).code).toBe('file');
    expect(asFailure(refusal('NoModificationAllowedError')).code).toBe('busy');
    expect(asFailure(refusal('AbortError')).code).toBe('cancelled');
  });
});

it('a link’s size of a part is taken where it can be one', () => {
  expect(['131072', '16384'].map(partOf)).toEqual([131072, 16384]);
  for (const wrong of [null, '', '0', '-131072', '1', '1e300', '131072.5', 'NaN', 'x']) {
    expect(partOf(wrong), String(wrong)).toBeUndefined();
  }
});
