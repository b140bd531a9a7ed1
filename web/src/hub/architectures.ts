/**
 * The architectures that the engine can run, as its own registry has them (a test of the engine holds the file to it).
 */
import list from '../../../models/architectures.json';

export interface Architecture {
  /** `model_type` of its config.json. */
  model_type: string;
  /** Its name in sentences. */
  title: string;
  /** Keys by which a config.json without a `model_type` is known. */
  keys: string[];
  /** What stands behind `layers.N.` in the names of tensors that every layer has. */
  part: string;
}

export const architectures: Architecture[] = list;

/** The architecture that a config.json tells of, if it can be run here. */
export const architectureOf = (config: Record<string, unknown>): Architecture | undefined =>
  architectures.find(({ model_type, keys }) =>
    config['model_type'] === undefined
      ? keys.length > 0 && keys.every((key) => config[key])
      : config['model_type'] === model_type,
  );
