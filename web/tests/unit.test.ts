import type { Direction, Summary } from 'mppc';
import { describe, expect, it } from 'vitest';
import { cells } from '../src/figures/heatmap';
import { domainOf } from '../src/figures/curves';
import { bins } from '../src/figures/histogram';
import { count, duration, megabytes, percent, ratio, visible } from '../src/format';
import { isHub, parseHub } from '../src/hub/address';
import { expand, known } from '../src/hub/known';
import { Meter } from '../src/hub/meter';
import { Pace } from '../src/pace';

describe('numbers', () => {
  it('are written as people read them', () => {
    expect(count(1234567)).toBe('1,234,567');
    expect(ratio(0.12345)).toBe('0.123');
    expect(ratio(null)).toBe('–');
    expect(ratio(undefined)).toBe('–');
  });

  it('keep a digit of small shares', () => {
    expect(percent(0.884)).toBe('88.4%');
    expect(percent(0.0001)).toBe('0.01%');
    expect(percent(0)).toBe('0.0%');
    expect(percent(null)).toBe('–');
  });

  it('give time in its own unit', () => {
    expect([2.34, 45.6, 600, 7200].map(duration)).toEqual(['2.3 s', '46 s', '10 min', '2.0 h']);
  });

  it('give bytes as storage is sold', () => {
    expect([0, 2_116_640, 99_950_000, 324_662_840, 999_600_000].map(megabytes)).toEqual([
      '0.0 MB',
      '2.1 MB',
      '100 MB',
      '325 MB',
      '1.00 GB',
    ]);
  });

  it('show white space', () => {
    expect(visible('a\n\tb')).toBe('a⏎⇥b');
  });
});

describe('time left', () => {
  const at = (stage_index: number, done: number) => ({
    stage: 's',
    stage_index,
    stages: 2,
    done,
    total: 100,
    unit: 't',
    warnings: [],
  });

  it('follows the pace of the stage', () => {
    const pace = new Pace();
    expect(pace.left(at(1, 0), 10)).toBeUndefined();
    expect(pace.left(at(1, 10), 10.5)).toBeUndefined();
    expect(pace.left(at(1, 20), 12)).toBeCloseTo(8);
  });

  it('starts anew with each stage', () => {
    const pace = new Pace();
    pace.left(at(1, 0), 0);
    pace.left(at(1, 90), 9);
    expect(pace.left(at(2, 0), 10)).toBeUndefined();
    expect(pace.left(at(2, 50), 15)).toBeCloseTo(5);
  });
});

describe('a download', () => {
  const at = (done: number, phase: 'download' | 'check' = 'download') => ({ phase, done, total: 100 });

  it('is timed by its last seconds', () => {
    const meter = new Meter();
    expect(meter.at(at(50), 0)).toBeUndefined();
    expect(meter.at(at(52), 1)).toEqual({ rate: 2, left: 24 });
    for (let second = 2; second <= 10; second++) meter.at(at(52 + 4 * (second - 1)), second);
    expect(meter.at(at(92), 11)!.rate).toBeCloseTo(4);
    expect(meter.at(at(0, 'check'), 12)).toBeUndefined();
  });

  it('that stands still has no end', () => {
    const meter = new Meter();
    meter.at(at(10), 0);
    expect(meter.at(at(10), 5)).toEqual({ rate: 0, left: Infinity });
  });
});

describe('names', () => {
  it('of the list stand for repositories', () => {
    expect(expand('mamba-130m')).toBe('state-spaces/mamba-130m-hf');
    expect(expand('some/model@v1')).toBe('some/model@v1');
    expect(known.map(({ alias }) => alias)).toContain('pythia-160m');
    expect(known.every(({ repo }) => /^[\w.-]+\/[\w.-]+$/.test(repo))).toBe(true);
  });

  it('of hubs are whole addresses', () => {
    expect(parseHub(' https://hub.example/mirror/ ')).toBe('https://hub.example/mirror');
    // A token goes to the hub it was typed for, however that was written, and to no other.
    expect(isHub('https://hub.example', 'https://HUB.example/')).toBe(true);
    expect(isHub('https://hub.example', 'https://hub.example.org')).toBe(false);
    expect(isHub('https://hub.example', 'nothing')).toBe(false);
    for (const wrong of ['', 'hub', 'ftp://hub', 'https://user:word@hub', 'javascript:alert(1)']) {
      expect(() => parseHub(wrong), wrong).toThrow(/is no address of a hub/);
    }
  });
});

describe('figures', () => {
  const summary = (histogram: number[]): Summary => ({
    count: 0,
    mean: undefined,
    median: undefined,
    above_half: undefined,
    histogram,
  });

  it('have an axis, even where all is 0', () => {
    expect(domainOf([0, 0])).toEqual([0, 1]);
    expect(domainOf([])).toEqual([0, 1]);
    expect(domainOf([NaN])).toEqual([0, 1]);
    expect(domainOf([0, 0.5])).toBeUndefined();
  });

  it('turn counts into shares', () => {
    expect(bins(summary([1, 3]))).toEqual([
      { from: 0, to: 0.5, share: 0.25 },
      { from: 0.5, to: 1, share: 0.75 },
    ]);
    expect(bins(summary([0, 0]))).toEqual([]);
  });

  it('mark the best layer of each row and leave holes open', () => {
    const direction = {
      layer_mean: [
        [0.2, 0.5],
        [undefined, undefined],
      ],
    } as Pick<Direction, 'layer_mean'>;
    expect(cells(direction as Direction)).toEqual([
      { own: 0, other: 0, mean: 0.2, best: false },
      { own: 0, other: 1, mean: 0.5, best: true },
      { own: 1, other: 0, mean: null, best: false },
      { own: 1, other: 1, mean: null, best: false },
    ]);
  });
});
