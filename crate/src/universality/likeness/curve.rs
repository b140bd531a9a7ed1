use serde::{Deserialize, Serialize};

/// Shares of features above thresholds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(target_arch = "wasm32", derive(tsify_next::Tsify), tsify(into_wasm_abi))]
pub struct Curve {
    /// How many features have a value.
    pub count: usize,
    /// The thresholds.
    pub thresholds: Vec<f32>,
    /// Beside each threshold the share of values above it; empty when there is no value.
    pub shares: Vec<f64>,
}

/// The share of values above each threshold (not at it); NaN (a feature without variance) is left out.
pub fn above(values: impl IntoIterator<Item = f32>, thresholds: &[f32]) -> Curve {
    let mut values: Vec<f32> = values.into_iter().filter(|v| !v.is_nan()).collect();
    values.sort_unstable_by(f32::total_cmp);
    let count = values.len();
    let share = |threshold: &f32| (count - values.partition_point(|v| v <= threshold)) as f64 / count as f64;
    let shares = if count == 0 { Vec::new() } else { thresholds.iter().map(share).collect() };
    Curve { count, thresholds: thresholds.to_vec(), shares }
}

/// 0, 0.05, … 1: the usual thresholds of [`above`].
pub fn usual_thresholds() -> Vec<f32> {
    (0..=20u8).map(|step| f32::from(step) / 20.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_above() {
        let curve = above([0.05, f32::NAN, -0.0, 0.5, 1.0, -0.5], &usual_thresholds());
        assert_eq!(curve.count, 5);
        assert_eq!(curve.thresholds.len(), 21);
        // Above 0: three of five. 0.05 is not above 0.05, nor 1 above 1, nor −0 above 0.
        let at = |threshold: f32| {
            let place = curve.thresholds.iter().position(|t| *t == threshold).expect("a threshold");
            curve.shares[place]
        };
        assert_eq!([at(0.0), at(0.05), at(0.45), at(0.5), at(0.95), at(1.0)], [0.6, 0.4, 0.4, 0.2, 0.2, 0.0]);
        let json = serde_json::to_string(&above([0.5, 0.25], &[0.25])).expect("numbers");
        assert_eq!(json, r#"{"count":2,"thresholds":[0.25],"shares":[0.5]}"#);
        assert_eq!(above([f32::NAN], &[0.0]), Curve { count: 0, thresholds: vec![0.0], shares: vec![] });
    }
}
