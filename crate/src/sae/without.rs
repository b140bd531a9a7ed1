//! An SAE with some of its features silenced.

use super::{Sae, SaeError};

impl Sae {
    /// The same SAE, in which features that are not `kept` never fire: their encoder's column, bias and decoder's row
    /// are zeros. Indices stay as they are.
    ///
    /// # Errors
    /// When the device failed.
    ///
    /// # Panics
    /// When `kept` is not one flag a feature.
    pub async fn without(&self, kept: &[bool]) -> Result<Self, SaeError> {
        let (d, f) = (self.config.d_in, self.config.d_sae);
        assert_eq!(kept.len(), f, "one flag a feature");
        let mut weights = self.weights().await?;
        for j in (0..f).filter(|&j| !kept[j]) {
            (0..d).for_each(|c| weights.w_enc[c * f + j] = 0.0);
            weights.w_dec[j * d..][..d].fill(0.0);
            weights.b_enc[j] = 0.0;
        }
        Ok(Self::new(self.w_enc.engine(), self.config.clone(), weights))
    }
}
