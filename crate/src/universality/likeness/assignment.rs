use std::cmp::Ordering;
use std::collections::BinaryHeap;

use thiserror::Error;

use crate::failure::{Fails, Failure, printed};

/// Which features of B each feature of A may be matched with, and how much each match is worth.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    /// Features of B.
    others: usize,
    /// Candidates of A's feature i are those from `indptr[i]` to `indptr[i + 1]`.
    indptr: Vec<usize>,
    /// Features of B.
    indices: Vec<u32>,
    /// Weights.
    values: Vec<f32>,
}

/// Why something cannot be a candidate.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CandidatesError {
    /// No such feature.
    Partner {
        /// The candidate.
        partner: u32,
        /// Features of B.
        others: usize,
    },
    /// NaN or infinity.
    Weight {
        /// The candidate.
        partner: u32,
        /// Its weight.
        weight: f32,
    },
}

impl Fails for CandidatesError {
    fn failure(&self) -> Failure {
        match self {
            Self::Partner { partner, others } => Failure::new(
                format!("feature {partner} is a candidate, but B has {others} features"),
                "give indices of B's features",
            ),
            Self::Weight { partner, weight } => Failure::new(
                format!("the match with feature {partner} is worth {weight}"),
                "weights must be finite",
            ),
        }
    }
}

printed!(CandidatesError);

impl Candidates {
    /// No feature of A yet, and `others` features of B.
    pub fn new(others: usize) -> Self {
        Self { others, indptr: vec![0], indices: Vec::new(), values: Vec::new() }
    }

    /// Adds the next feature of A with its candidates among B's features and their weights. Weights of 0 and below
    /// are dropped: without such a match the whole is worth no less.
    ///
    /// # Errors
    /// When B has no such feature or a weight is not finite. Then nothing is added.
    pub fn push(&mut self, row: &[(u32, f32)]) -> Result<(), CandidatesError> {
        for &(partner, weight) in row {
            if partner as usize >= self.others {
                return Err(CandidatesError::Partner { partner, others: self.others });
            }
            if !weight.is_finite() {
                return Err(CandidatesError::Weight { partner, weight });
            }
        }
        for &(partner, weight) in row.iter().filter(|(_, weight)| *weight > 0.0) {
            self.indices.push(partner);
            self.values.push(weight);
        }
        self.indptr.push(self.indices.len());
        Ok(())
    }

    /// How many features of A there are.
    pub fn len(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Whether A has no feature.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The candidates of A's feature `i` and their weights.
    ///
    /// # Panics
    /// When there is no such feature.
    pub fn row(&self, i: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.indptr[i]..self.indptr[i + 1];
        let indices = self.indices[range.clone()].iter().map(|&j| j as usize);
        indices.zip(self.values[range].iter().map(|&w| f64::from(w)))
    }
}

/// A one-to-one matching of largest total weight.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Assignment {
    /// For each feature of A its partner, if it has one.
    pub partner: Vec<Option<u32>>,
    /// What the match is worth; 0 where there is none.
    pub weight: Vec<f32>,
    /// Sum of the weights.
    pub total: f64,
}

/// Matches features of A with features of B one to one, so that the sum of the weights is the largest there is on
/// these candidates; features may stay alone.
///
/// Successive shortest augmenting paths with potentials (the sparse form of Jonker and Volgenant 1987). It is exact:
/// arithmetic is float64, which adds f32 weights between 2⁻²⁰ and 1 without rounding. Of several matchings of the
/// same worth it finds one, always the same.
pub fn assignment(candidates: &Candidates) -> Assignment {
    let mut search = Search::new(candidates);
    (0..candidates.len()).for_each(|i| search.add(i));
    let weight = |(i, partner): (usize, &Option<u32>)| {
        let matched = candidates.row(i).filter(|(j, _)| Some(*j as u32) == *partner);
        matched.map(|(_, w)| w).fold(0.0, f64::max) as f32
    };
    let weight: Vec<f32> = search.partner.iter().enumerate().map(weight).collect();
    Assignment { total: weight.iter().map(|&w| f64::from(w)).sum(), weight, partner: search.partner }
}

/// A matching that is the best one for the features of A added so far, and the proof of it: prices of B's features
/// and profits of A's, none negative, with weight(i, j) ≤ profit(i) + price(j) for every candidate, equality for
/// matched ones, and 0 for everyone who is alone.
struct Search<'a> {
    candidates: &'a Candidates,
    partner: Vec<Option<u32>>,
    owner: Vec<Option<u32>>,
    profit: Vec<f64>,
    price: Vec<f64>,
    /// Of the search for a path: how far each feature of B is, and from which feature of A.
    distance: Vec<f64>,
    from: Vec<u32>,
    /// Features of B that have a distance.
    seen: Vec<usize>,
    heap: BinaryHeap<Node>,
    /// Features of B as far as the one that the search is at.
    level: Vec<usize>,
}

/// A feature of B on the border of a search; the nearest comes first, of equals the one of the lowest index.
#[derive(PartialEq)]
struct Node {
    distance: f64,
    feature: usize,
}

impl Eq for Node {}

impl Ord for Node {
    fn cmp(&self, other: &Self) -> Ordering {
        other.distance.total_cmp(&self.distance).then(other.feature.cmp(&self.feature))
    }
}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a path ends.
enum End {
    /// This feature of A gives up its partner and is alone.
    Alone(usize),
    /// This feature of B was alone.
    Free(usize),
}

impl<'a> Search<'a> {
    fn new(candidates: &'a Candidates) -> Self {
        let others = candidates.others;
        Self {
            candidates,
            partner: vec![None; candidates.len()],
            owner: vec![None; others],
            profit: vec![0.0; candidates.len()],
            price: vec![0.0; others],
            distance: vec![f64::INFINITY; others],
            from: vec![0; others],
            seen: Vec::new(),
            heap: BinaryHeap::new(),
            level: Vec::new(),
        }
    }

    /// Adds feature `root` of A: along the path that costs the least, everyone moves on by one partner.
    fn add(&mut self, root: usize) {
        let profits = self.candidates.row(root).map(|(j, weight)| weight - self.price[j]);
        self.profit[root] = profits.fold(0.0, f64::max);
        let (length, end, settled) = self.shortest_path(root);
        self.profit[root] -= length;
        for &j in &settled {
            let shorter = length - self.distance[j];
            self.price[j] += shorter;
            if let Some(i) = self.owner[j] {
                self.profit[i as usize] -= shorter;
            }
        }
        let mut next = match end {
            // What it leaves is taken by who stands before it on the path.
            End::Alone(i) => {
                self.profit[i] = 0.0;
                self.partner[i].take().map(|j| j as usize)
            }
            End::Free(j) => Some(j),
        };
        while let Some(j) = next {
            let i = self.from[j];
            self.owner[j] = Some(i);
            next = self.partner[i as usize].replace(j as u32).map(|j| j as usize);
        }
        self.heap.clear();
        self.level.clear();
        self.seen.drain(..).for_each(|j| self.distance[j] = f64::INFINITY);
    }

    /// Dijkstra's search from `root` over what candidates fall short of profit and price: the length of the
    /// shortest path to somebody who may be alone, where it ends, and the features of B that it passed.
    fn shortest_path(&mut self, root: usize) -> (f64, End, Vec<usize>) {
        let mut settled = Vec::new();
        let (mut length, mut end) = (f64::INFINITY, End::Alone(root));
        let (mut at, mut here) = (root, 0.0);
        loop {
            if here + self.profit[at] < length {
                (length, end) = (here + self.profit[at], End::Alone(at));
            }
            for (j, weight) in self.candidates.row(at) {
                // Rounding may not make a step negative.
                let there = here + (self.profit[at] + self.price[j] - weight).max(0.0);
                if there >= self.distance[j] || there >= length {
                    continue;
                }
                if self.distance[j] == f64::INFINITY {
                    self.seen.push(j);
                }
                self.distance[j] = there;
                self.from[j] = at as u32;
                if self.owner[j].is_none() {
                    (length, end) = (there, End::Free(j));
                } else if there == here {
                    self.level.push(j);
                } else {
                    self.heap.push(Node { distance: there, feature: j });
                }
            }
            // No path is shorter than the way to here.
            if length <= here {
                return (length, end, settled);
            }
            let Some(next) = self.level.pop().or_else(|| self.pop_nearest(length)) else {
                return (length, end, settled);
            };
            settled.push(next);
            here = self.distance[next];
            // Only owned features wait.
            at = self.owner[next].map_or(root, |i| i as usize);
        }
    }

    /// The nearest feature of B on the border, if it is nearer than `length`.
    fn pop_nearest(&mut self, length: f64) -> Option<usize> {
        while let Some(node) = self.heap.pop() {
            if node.distance >= length {
                return None;
            }
            // Else a shorter way to it was found since.
            if node.distance == self.distance[node.feature] {
                return Some(node.feature);
            }
        }
        None
    }
}

#[cfg(test)]
#[path = "assignment_tests.rs"]
mod tests;
