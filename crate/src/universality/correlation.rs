use super::Best;

/// MPPC between two sets of features, both ways.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Correlation {
    /// For each feature of A the best feature of B.
    pub a_to_b: Best,
    /// For each feature of B the best feature of A.
    pub b_to_a: Best,
}

impl Correlation {
    /// Checks that it is one: of each feature a correlation and a partner on the other side, or NaN and −1.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn check(&self) -> Result<(), String> {
        for (name, best, others) in
            [("a_to_b", &self.a_to_b, &self.b_to_a), ("b_to_a", &self.b_to_a, &self.a_to_b)]
        {
            let (mppc, argmax) = (&best.mppc, &best.argmax);
            if mppc.len() != argmax.len() {
                return Err(format!("{name} has {} maxima but {} partners", mppc.len(), argmax.len()));
            }
            for (i, (&rho, &partner)) in mppc.iter().zip(argmax).enumerate() {
                let paired = usize::try_from(partner).is_ok_and(|j| j < others.mppc.len());
                // f32 rounds beyond 1 now and then.
                let sound = if rho.is_nan() { partner == -1 } else { paired && rho.abs() <= 1.001 };
                if !sound {
                    return Err(format!("{name} says {rho} with partner {partner} of feature {i}"));
                }
            }
        }
        Ok(())
    }
}
